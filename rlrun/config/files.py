"""What the YAML files under `conf/` offer: groups, options, and which environment file belongs to which game or id.

Reads text only, so that help, completion and most errors need no torch.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from rlrun.annotations import TARGET
from rlrun.config.plugins import installed, own_directories
from rlrun.errors import UserError, nearest
from rlrun.files import read_text

GROUPS = ("algo", "env", "network", "device", "logger", "preset", "experiment", "debug")
_IDENTITY = ("game", "id")
_GYMNASIUM_ID = re.compile(r"-v\d+$")
_WIDTH = 116
_FEW = 4  # so many options are all told about: `gpu` is less like `cuda` than like `cpu`
_HOW_TO_ADD = "files of your own are found with --config-dir DIR (docs/plugins.md)"
_HEADLINE = re.compile(r"^# (\S+-v\d+)\b")


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
    if added == "":  # an unset variable, which would else be the present directory
        raise UserError("--config-dir '' is not a directory")
    if added is not None and not Path(added).is_dir():
        raise UserError(f"--config-dir {added} is not a directory")
    own = [Path(added).resolve()] if added is not None else []
    return [*own, *(plugin.directory for plugin in installed().plugins), config_directory()]


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


def summary(directories: Sequence[Path], group: str, option: str) -> str:
    """The first comment of an option's file: what it is, in a line."""
    for line in _text(directories, group, option).splitlines():
        if line.startswith("# ") and not line.startswith("# @package"):
            return line[2:].strip()
    return ""


def read_option(directories: Sequence[Path], group: str, option: str) -> dict[str, Any]:
    """What an option's file says by itself, without its defaults list.

    Raises:
        UserError: if it is not YAML.
    """
    try:
        content = OmegaConf.to_container(OmegaConf.create(_text(directories, group, option)))
    except (OmegaConfBaseException, YAMLError) as error:
        raise UserError(f"the config file of {group}={option} is not YAML: {_reason(error)}") from error
    return {str(key): value for key, value in content.items()} if isinstance(content, dict) else {}


def merged_option(directories: Sequence[Path], group: str, option: str, depth: int = 0) -> dict[str, Any]:
    """What an option sets in its group, with what the option that it starts from sets.

    Raises:
        UserError: if it is not YAML.
    """
    content = read_option(directories, group, option)
    defaults = content.pop("defaults", [])
    inside = content.get(group)
    own = inside if isinstance(inside, dict) and TARGET not in content else content
    merged: dict[str, Any] = {}
    for item in defaults if isinstance(defaults, list) and depth < 8 else []:
        if isinstance(item, str) and item != "_self_":
            merged |= merged_option(directories, group, item, depth + 1)
    return merged | own


def identity(directories: Sequence[Path], env: str) -> tuple[str, str] | None:
    """Which ("game", name) or ("id", name) the file of `env` is about; None for files that leave it open.

    It is the value of its key `game` or `id`, or, where the environment has no such key, the Gymnasium id that the
    file's first line begins with (`# CartPole-v1 ...`).
    """
    text = _text(directories, "env", env)
    content = read_option(directories, "env", env)
    given = {key: content[key] for key in _IDENTITY if key in content}
    for key, value in given.items():
        if isinstance(value, str) and value != "???":
            return key, value
    headline = _HEADLINE.match(text)
    return ("id", headline[1]) if headline and not given else None


def resolve_env(directories: Sequence[Path], overrides: Sequence[str]) -> list[str]:
    """The overrides, with a plain game or id replaced by the environment file that is tuned for it.

    `env=atari env.game=pong` is `env=pong`; `env=gym env.id=CartPole-v1` is `env=cartpole`. Sweeps (`pong,breakout`)
    are replaced only where every one of them has a file, and nothing where a key is set that only the open environment
    has: `env=gym env.id=CartPole-v1 env.wrappers=[...]` is Gymnasium's.
    """
    given = {key: value for key in _IDENTITY if (value := _value(overrides, f"env.{key}")) is not None}
    if not given:
        return list(overrides)  # the usual case: no file needs to be read
    chosen = _value(overrides, "env")
    known = options(directories, "env")
    if chosen not in known or identity(directories, chosen) is not None:
        return list(overrides)
    files = {found: name for name in reversed(known) if (found := _readable_identity(directories, name)) is not None}
    for key, value in given.items():
        wanted = [(key, item.strip().strip("'\"")) for item in value.split(",")]
        if all(item in files and not _lacks(directories, chosen, files[item], overrides) for item in wanted):
            env = ",".join(files[item] for item in wanted)
            kept = [item for item in overrides if not item.startswith((f"env.{key}=", "env="))]
            return [f"env={env}", *kept]
    return list(overrides)


def _lacks(directories: Sequence[Path], chosen: str, other: str, overrides: Sequence[str]) -> bool:
    """Whether a key is set that the environment `chosen` has and the `other` has not, as far as its file says."""
    content = read_option(directories, "env", other)
    if "defaults" in content:
        return False
    asked = {match[1] for item in overrides if (match := re.match(r"env\.(\w+)[.=]", item))}
    return bool(asked & read_option(directories, "env", chosen).keys() - content.keys() - set(_IDENTITY))


def _readable_identity(directories: Sequence[Path], env: str) -> tuple[str, str] | None:
    """The same; None for a file with an error in it, which is for the run that uses it to tell."""
    try:
        return identity(directories, env)
    except UserError:
        return None


def _value(overrides: Sequence[str], key: str) -> str | None:
    """What overrides set `key` to, as text; None if they do not, or disagree, which is for others to refuse."""
    values = {item.split("=", 1)[1] for item in overrides if item.startswith(f"{key}=")}
    return values.pop() if len(values) == 1 else None


def _text(directories: Sequence[Path], group: str, option: str) -> str:
    for directory in directories:
        path = directory / group / f"{option}.yaml"
        if path.is_file():
            return read_text(path)
    return ""


def unknown_option(group: str, name: str, known: Sequence[str], directories: Sequence[Path]) -> UserError:
    """The error for an option that a group does not have, with what the nearest ones are."""
    troubles = "".join(f"; {trouble}" for trouble in installed().broken)  # it may be one of theirs
    if not known:
        return UserError(f"unknown {group} '{name}': there is none to choose{troubles}")
    close = nearest(name, known)
    message = f"unknown {group} '{name}'; nearest: {close[0]}; available: {', '.join(known)}{troubles}"
    worth_telling = close if len(known) > _FEW else [*close, *(option for option in known if option not in close)]
    meanings = [(option, summary(directories, group, option)) for option in worth_telling]
    details = [
        textwrap.shorten(f"{group} {option}: {meaning}", _WIDTH, placeholder=" ...")
        for option, meaning in meanings
        if meaning
    ]
    if group == "env" and _GYMNASIUM_ID.search(name):
        details.append(f"any Gymnasium id with discrete actions: env=gym env.id={name}")
    if group in GROUPS:
        own = [str(directory / group) for directory in directories if directory != config_directory()]
        details.append(f"searched besides rlrun's own: {', '.join(own)}" if own else _HOW_TO_ADD)
    return UserError(message, details)


def not_yaml(error: YAMLError, path: object = None) -> str:
    """Where a file is not YAML, and what is wrong there, in one line."""
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    return f"{path or (mark.name if mark is not None else 'a config file')} is not YAML: {_reason(error)}"


def _reason(error: Exception) -> str:
    """Of a YAML error, the line and what is wrong there."""
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return str(error)
    context = f"{error.context}, " if error.context else ""
    return f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}: {context}{error.problem}"


def one_line(error: Exception) -> str:
    """The part of a message of Hydra or OmegaConf that says what is wrong."""
    text = str(error) or str(error.__cause__)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("See https", "object_type"))]
    return "; ".join(lines[:2]) or type(error).__name__
