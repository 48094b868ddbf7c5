"""What one config file sets: each key with its line and comment. What YAML 1.1 would misread is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from rlrun.config.files import config_directory, not_yaml
from rlrun.errors import UserError
from rlrun.files import read_text

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BASE_8 = re.compile(r"[-+]?0[0-7_]+")  # YAML 1.1, as PyYAML reads it: 010 is 8
_BASE_60 = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?")  # 1:30 is 90
_OVERRIDE = re.compile(r"^\s*- override /?hydra/(\w+): *(\S+)")


@dataclass(frozen=True, slots=True)
class Setting:
    """One key in one file."""

    key: str  # dotted, as in the composed config
    value: str  # as written; empty for mappings
    path: Path
    line: int  # from 1
    comment: str  # behind it on its line; unit, meaning or source
    order: int = 0  # among the files of a run: later ones win

    @property
    def place(self) -> str:
        """The file and the line, short for files of rlrun's own."""
        return f"{shown_path(self.path)}, line {self.line}"


def shown_path(path: Path) -> Path:
    """`conf/...` for files of rlrun's own, the whole path for others."""
    own = config_directory()
    return Path("conf") / path.relative_to(own) if path.is_relative_to(own) else path


def read(path: Path, package: str) -> list[Setting]:
    """What one file sets below `package` (dotted; empty for the top), and which part of Hydra it chooses.

    Raises:
        UserError: if it is not YAML, or says something that YAML 1.1 reads otherwise than it looks.
    """
    return _read(path, package, path.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _read(path: Path, package: str, changed: int) -> list[Setting]:
    del changed  # a file that was edited is read again
    text = read_text(path)
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise UserError(not_yaml(error, path)) from error
    lines = text.splitlines()
    found = [
        Setting(f"hydra.{match[1]}", match[2], path, number, "")
        for number, line in enumerate(lines, 1)
        if (match := _OVERRIDE.match(line)) and match[1] in ("launcher", "sweeper")
    ]
    for key, value, line in _walk(node, package, path) if isinstance(node, yaml.MappingNode) else ():
        if key not in ("defaults", f"{package}.defaults"):
            found.append(Setting(key, value, path, line, _comment(lines[line - 1])))
    return found


def _walk(node: yaml.MappingNode, prefix: str, path: Path) -> Iterator[tuple[str, str, int]]:
    for name, value in node.value:
        line = name.start_mark.line + 1
        if "." in name.value and not prefix.startswith("hydra."):  # a sweeper's params are dotted
            raise UserError(
                f"{shown_path(path)}, line {line}: dots in keys are for the command line; nest {name.value}"
            )
        key = f"{prefix}.{name.value}" if prefix else str(name.value)
        _refuse_misread(value, path)
        inner = isinstance(value, yaml.MappingNode)
        yield key, "" if inner else _written(value), line
        if inner:
            yield from _walk(value, key, path)


def _refuse_misread(node: yaml.Node, path: Path) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            for inner in [value for _, value in item.value] if isinstance(item, yaml.MappingNode) else [item]:
                _refuse_misread(inner, path)
    if not isinstance(node, yaml.ScalarNode) or node.style:
        return
    written = node.value
    if _BASE_8.fullmatch(written) or _BASE_60.fullmatch(written):
        value = yaml.safe_load(written)
        if isinstance(value, int | float):
            raise UserError(
                f"{shown_path(path)}, line {node.start_mark.line + 1}: {written} is read as {value} (YAML 1.1, base "
                f"{8 if _BASE_8.fullmatch(written) else 60}): write {value}, or '{written}' in quotes for a string"
            )


def _written(value: yaml.Node) -> str:
    if isinstance(value, yaml.SequenceNode):
        return "[" + ", ".join(_written(item) for item in value.value) + "]"
    return str(value.value)


def _comment(line: str) -> str:
    """What stands behind " # "."""
    found = re.search(r"\s# (.*)$", line)
    return found[1].strip() if found else ""
