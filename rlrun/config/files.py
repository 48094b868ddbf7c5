"""What the YAML files under `conf/` offer: groups, options, and what each option says of itself.

Reads text only and imports neither Hydra nor OmegaConf: completion waits for it at every Tab.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rlrun.config.plugins import installed, own_directories
from rlrun.errors import UserError, nearest
from rlrun.files import read_text

GROUPS = ("algo", "env", "network", "device", "logger", "preset", "experiment", "debug")
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # every scalar is a string, and nothing is made of tags
_DEEPEST = 8  # files that start from one another

Tree = dict[str, Any]  # leaves are strings, or lists of them


def config_directory() -> Path:
    """The absolute path of `conf`: the installed package's, or else the repository's."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "conf", package.parent / "conf"):
        if (candidate / "config.yaml").is_file():
            return candidate
    raise UserError(f"there is no conf/config.yaml in {package} or beside it: the installation is broken")


def config_directories(added: str | None) -> list[Path]:
    """Where config files are searched: what `--config-dir` adds, what installed packages bring, then rlrun's own.

    Raises:
        UserError: if there is no such directory.
    """
    if added is not None and (not added or not Path(added).is_dir()):  # '': an unset variable
        raise UserError(f"--config-dir '{added}' is not a directory")
    own = [Path(added).resolve()] if added is not None else []
    return [*own, *(plugin.directory for plugin in installed()), config_directory()]


def search_path(directories: Sequence[Path]) -> list[str]:
    """The override that makes Hydra search `directories`, the last of which it is given anyway."""
    places = [str(directory).replace("'", "\\'") for directory in directories[:-1]]
    return ["hydra.searchpath=[" + ",".join(f"'file://{place}'" for place in places) + "]"] if places else []


def refuse_unread(directories: Sequence[Path]) -> None:
    """Refuses files in directories that a person added which nothing would ever read.

    Raises:
        UserError: naming the file.
    """
    for directory in own_directories(directories):
        for file in (*directory.glob("config.y*ml"), *directory.glob("*/*.yml")):
            why = (
                "files end in .yaml" if file.parent != directory else "what a run sets is an experiment's or a preset's"
            )
            raise UserError(f"{file} would not be read: {why} (docs/plugins.md)")


def options(directories: Sequence[Path], group: str) -> list[str]:
    """The names that `group=` can take, sorted."""
    return sorted({path.stem for directory in directories for path in (directory / group).glob("*.yaml")})


def text_of(directories: Sequence[Path], path: str) -> str:
    """The text of `group/option`; empty where it cannot be read, which is for the run that uses it to tell."""
    for directory in directories:
        file = directory / f"{path}.yaml"
        if file.is_file():
            try:
                return read_text(file)
            except (OSError, UnicodeDecodeError):
                return ""
    return ""


def summary(directories: Sequence[Path], group: str, option: str) -> str:
    """The first comment of an option's file: what it is, in a line."""
    found = re.search(r"^# (?!@package)(.*)$", text_of(directories, f"{group}/{option}"), re.MULTILINE)
    return found[1].strip() if found else ""


def contents(directories: Sequence[Path], path: str, chosen: Mapping[str, str] = {}, depth: int = 0) -> Tree:
    """What `group/option` sets, with the files that its defaults list starts from; empty where it cannot be read.

    Follows `- option` and `- /group@package: option`, which are all that our own files have; Hydra itself is asked for
    what is run.

    Args:
        directories: where config files are searched.
        path: of a file, without its ending.
        chosen: by `group@package`, options instead of those of the defaults list.
        depth: how many files started from this one.
    """
    own, tree, parent = as_mapping(text_of(directories, path)), Tree(), path.partition("/")[0]
    defaults = own.pop("defaults", [])
    for line in defaults if isinstance(defaults, list) and depth < _DEEPEST else ():
        if isinstance(line, str) and line != "_self_":
            put(tree, contents(directories, line.lstrip("/") if "/" in line else f"{parent}/{line}", chosen, depth + 1))
        for key, option in line.items() if isinstance(line, dict) else ():
            group, _, package = key.lstrip("/").partition("@")
            option = chosen.get(f"{group}@{parent}.{package}", option)
            if package and (part := contents(directories, f"{group}/{option}", chosen, depth + 1)):
                for name in reversed(package.split(".")):
                    part = {name: part}
                put(tree, part)
    put(tree, own)
    return tree


def as_mapping(text: str) -> Tree:
    """What YAML says; empty if it cannot be read, or is no mapping."""
    try:
        content = yaml.load(text, _LOADER)
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}


def put(tree: Tree, values: Tree) -> None:
    """Merges nested `values` into `tree`; an object takes the place of one of another class (`_target_`)."""
    for key, value in values.items():
        there = tree.get(key)
        if isinstance(value, dict) and isinstance(there, dict) and _same_class(there, value):
            put(there, value)
        else:
            tree[key] = value


def _same_class(there: Tree, value: Tree) -> bool:
    return "_target_" not in there or value.get("_target_", there["_target_"]) == there["_target_"]


def unknown_option(group: str, name: str, known: Sequence[str]) -> UserError:
    """The error for an option that a group does not have, with the nearest one and all that there are."""
    if not known:
        return UserError(f"unknown {group} '{name}': there is none to choose")
    return UserError(f"unknown {group} '{name}'; nearest: {nearest(name, known)[0]}; available: {', '.join(known)}")


def not_yaml(error: yaml.YAMLError, path: object = None) -> str:
    """Where a file is not YAML, and what is wrong there, in one line."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"{path or 'a config file'} is not YAML: {one_line(error)}"
    problem = getattr(error, "problem", "")
    return f"{path or mark.name} is not YAML: line {mark.line + 1}, column {mark.column + 1}: {problem}"


def one_line(error: Exception) -> str:
    """The part of a message of Hydra or OmegaConf that says what is wrong."""
    text = str(error) or str(error.__cause__)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("See https", "object_type"))]
    return "; ".join(lines[:2]) or type(error).__name__
