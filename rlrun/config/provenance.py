"""Where the values of a composed config come from: which file and line set each key, and its comment there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import yaml

from rlrun.config.chosen_files import ChosenFiles
from rlrun.config.files import GROUPS, config_directory
from rlrun.config.hydra_words import override_key
from rlrun.files import read_text


@dataclass(frozen=True, slots=True)
class Setting:
    """One key in one file."""

    key: str  # dotted, as in the composed config
    value: str  # as written; empty for mappings
    path: Path
    line: int  # from 1
    comment: str  # behind it on its line; unit, meaning or source
    counts: bool = True  # not where a preset has numbers for another network than the one that is named

    @property
    def place(self) -> str:
        """The file and the line, short for files of rlrun's own."""
        return f"{shown_path(self.path)}, line {self.line}"


def shown_path(path: Path) -> Path:
    """`conf/...` for files of rlrun's own, the whole path for others."""
    own = config_directory()
    return Path("conf") / path.relative_to(own) if path.is_relative_to(own) else path


def origin(key: str, overrides: Sequence[str], found: Sequence[Setting]) -> str | None:
    """Where the value of `key` comes from: the word on the command line, or else a file and line; None if nowhere.

    Args:
        key: dotted.
        overrides: the command line's.
        found: what files set, the weakest first.
    """
    for item in reversed(overrides):
        name = override_key(item)
        holds = key.startswith(f"{name}[") or (key.startswith(f"{name}.") and "{" in item)
        inside = name != "" and (holds or name.startswith(f"{key}."))
        if ("." in key + name and (key == name or inside)) or (key == name and key not in GROUPS):
            return f"the command line: {item}"
    return next((setting.place for setting in reversed(found) if setting.key == key), None)


def settings(overrides: Sequence[str], directories: Sequence[Path]) -> list[Setting]:
    """Everything that files set, the weakest first.

    Args:
        overrides: as Hydra takes them.
        directories: where config files are searched; the last one has `config.yaml`.

    Raises:
        HydraException: if a group or an option does not exist.
    """
    chosen = ChosenFiles(overrides, directories)
    result: list[Setting] = []
    weaker: list[Setting] = []
    for entry in chosen.entries:
        path = entry.file(directories)
        for setting in read(path, entry.package) if path is not None else []:
            if setting.key.split(".")[0] == "network" and entry.branch == chosen.weak_preset:
                weaker.append(replace(setting, counts=False))
            else:
                result.append(setting)
    return [setting for setting in weaker + result if setting.key.split(".")[0] != "hydra"]


def read(path: Path, package: str) -> list[Setting]:
    """What one file sets below `package` (dotted; empty for the top)."""
    return _read(path, package, path.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _read(path: Path, package: str, changed: int) -> list[Setting]:
    del changed  # a file that was edited is read again
    text = read_text(path)
    node = yaml.compose(text, Loader=yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode):
        return []
    lines = text.splitlines()
    return [
        Setting(key, value, path, line, _comment(lines[line - 1]))
        for key, value, line in _walk(node, package)
        if key not in ("defaults", f"{package}.defaults")
    ]


def _walk(node: yaml.MappingNode, prefix: str) -> Iterator[tuple[str, str, int]]:
    for name, value in node.value:
        key = f"{prefix}.{name.value}" if prefix else str(name.value)
        inner = isinstance(value, yaml.MappingNode)
        yield key, "" if inner else _written(value), name.start_mark.line + 1
        if inner:
            yield from _walk(value, key)


def _written(value: yaml.Node) -> str:
    if isinstance(value, yaml.SequenceNode):
        return "[" + ", ".join(_written(item) for item in value.value) + "]"
    return str(value.value)


def _comment(line: str) -> str:
    """What stands behind " #" outside of quotes."""
    quote = ""
    for index, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and (index == 0 or line[index - 1] in " [{,:"):
            quote = character
        elif character == "#" and (index == 0 or line[index - 1].isspace()):
            return line[index + 1 :].strip()
    return ""
