"""What a command would be made of, as far as completion needs it: the YAML files are read as text, without Hydra.

Importing Hydra and composing takes half a second; a Tab may take 0.4. Follows what rlrun's own files and a plug-in's
use: groups with their packages, files of the same group, `_self_`, `optional`, `override`, `@package`, and the preset's
`${oc.select:...}`. `tests/completion/test_config_tree.py` compares it with what a run would have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rlrun.files import read_text

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # every scalar is text; the fast one where libyaml is there
_HEADER = re.compile(r"^# ?@package +(\S+)", re.MULTILINE)
_CHOICE = re.compile(r"\$\{oc\.select: *([\w/]+), *(\w+)\}")
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
_GLOBAL = "_global_"
_NETWORK = "network@algo.network"  # what `network=` means; the key `network` of other files suggests an option
_DEEPEST = 20  # files that include one another

Tree = dict[str, Any]  # leaves are text or lists


class Item(NamedTuple):
    """One line of a defaults list."""

    group: str  # empty: a file that nobody can choose another one for
    option: str  # a file of the group; may refer to others' options; empty: `_self_`
    package: str  # where its content goes
    override: bool = False

    @property
    def key(self) -> str:
        """What the command line calls it: with its package where that is not the group's own."""
        return self.group if self.package == self.group.replace("/", ".") else f"{self.group}@{self.package}"

    def paths(self, options: Mapping[str, str]) -> list[str]:
        """Its file, under the options chosen so far; several for `[a,b]`."""
        if not self.group:
            return [self.option]
        option = _CHOICE.sub(lambda match: options.get(match[1], match[2]), options.get(self.key, self.option))
        names = option[1:].rstrip("]").split(",") if option.startswith("[") else [option]
        return [f"{self.group}/{name}" for name in names]


class Composed(NamedTuple):
    """What a run would be made of."""

    values: Tree
    options: dict[str, str]  # of every group: `algo`, `optimizer@algo.optimizer` ...

    def at(self, key: str) -> Any:
        """What stands at a dotted key; None where nothing does."""
        tree: Any = self.values
        for name in key.split(".") if key else ():
            tree = tree.get(name) if isinstance(tree, dict) else None
        return tree

    def text(self, key: str) -> str | None:
        """A value as one would type it, with references followed; None if it is not plain text."""
        value = self.at(key)
        for _ in range(_DEEPEST):
            match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
            value = self.at(match[1]) if match else value
        return value if isinstance(value, str) and "${" not in value and value not in ("???", "") else None


class Configs:
    """The YAML files of some directories; the first directory that has a file wins. What cannot be read is empty."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self._directories = directories
        self._text = cache(self._find)
        self._content = cache(lambda path: _mapping(self._text(path)))

    def options(self, group: str) -> list[str]:
        """The names that `group=` can take, sorted."""
        return sorted({path.stem for folder in self._directories for path in (folder / group).glob("*.yaml")})

    def summary(self, group: str, option: str) -> str:
        """The first comment of an option's file."""
        found = re.search(r"^# (?!@package)(.*)$", self._text(f"{group}/{option}"), re.MULTILINE)
        return found[1].strip() if found else ""

    def comments(self, path: str = "config") -> dict[str, str]:
        """What a file says of its own keys."""
        return dict(re.findall(r"^(\w+):[^#\n]*# (.*)$", self._text(path), re.MULTILINE))

    def groups(self) -> list[str]:
        """What every run chooses, in the order of `config.yaml`."""
        items = [item for item in self.items("config", "") if item.key == item.group != "" and not item.override]
        return list(dict.fromkeys([*(item.group for item in items), "network"]))

    def body(self, path: str) -> Tree:
        """What a file says of itself."""
        return {key: value for key, value in self._content(path).items() if key not in ("defaults", "hydra")}

    def package(self, path: str, given: str) -> str:
        """Where a file's content goes: where it says so itself, or else where it is included."""
        header = _HEADER.search(self._text(path))
        return given if header is None else header[1].removeprefix(_GLOBAL).lstrip(".")

    def items(self, path: str, package: str) -> list[Item]:
        """The defaults list of a file that is included in a package."""
        lines = self._content(path).get("defaults")
        items = [item for line in (lines if isinstance(lines, list) else []) for item in _items(line, path, package)]
        return items if any(not item.option for item in items) else [Item("", "", package), *items]

    def _find(self, path: str) -> str:
        return next((text for folder in self._directories if (text := _read(folder, path)) is not None), "")


def compose(configs: Configs, overrides: Sequence[str]) -> Composed:
    """What `rlrun OVERRIDES` would be made of, as far as they go.

    Args:
        configs: the files there are.
        overrides: `key=value`, without commas that mean several runs.
    """
    given = dict(override.lstrip("+").split("=", 1) for override in overrides if "=" in override)
    groups = configs.groups()
    options = {key: option.strip("'\"") for key, option in given.items() if "@" in key or key in groups}
    if "network" in options:
        options.setdefault(_NETWORK, options["network"])
    chosen: dict[str, str] = {}  # by files, for other groups than their own
    for _ in range(_DEEPEST):  # a file that another one chooses may choose others
        composed, before, chosen = Composed({}, chosen | options), chosen, {}
        _merge(configs, "config", "", composed, chosen)
        if chosen == before:
            break
    for key, value in given.items():
        parent, _, name = key.rpartition(".")
        section = composed.at(parent)
        if key not in options and isinstance(section, dict) and not isinstance(section.get(name), dict):
            section[name] = value
    return composed


def _merge(
    configs: Configs, path: str, package: str, composed: Composed, chosen: dict[str, str], depth: int = 0
) -> None:
    """Adds what a file and those that it includes say, in their order, and notes what they choose elsewhere."""
    items = configs.items(path, package) if depth < _DEEPEST else []
    for item in items:
        if not item.option:
            body = configs.body(path)
            if package in ("", "env") and isinstance(body.get("network"), str):
                chosen[_NETWORK] = body.pop("network")
            _put(composed.values, package.split(".") if package else [], body)
        elif not item.override:
            for inner in item.paths(composed.options):
                if item.group:
                    composed.options[item.key] = inner.rpartition("/")[2]
                _merge(configs, inner, configs.package(inner, item.package), composed, chosen, depth + 1)
    chosen.update({item.key: item.option for item in items if item.override})


def _items(line: Any, path: str, parent: str) -> Iterator[Item]:
    """The line of a defaults list in the file at `path`, which is included in the package `parent`."""
    folder = path.rpartition("/")[0]
    if line == "_self_":
        yield Item("", "", parent)
    elif isinstance(line, str):
        name, _, package = line.partition("@")
        yield Item("", _absolute(folder, name), _inside(parent, package))
    elif isinstance(line, dict):
        for key, option in line.items():
            *marks, name = str(key).split()
            name, _, package = name.partition("@")
            package = _inside(parent, package or name.strip("/").replace("/", "."))
            option = f"[{','.join(map(str, option))}]" if isinstance(option, list) else option
            yield Item(_absolute(folder, name), str(option).strip("'\""), package, "override" in marks)


def _absolute(folder: str, name: str) -> str:
    return (name if name.startswith("/") else f"{folder}/{name}").lstrip("/")


def _inside(parent: str, package: str) -> str:
    """A package as a file names it, from the root."""
    if package.startswith(_GLOBAL):
        return package.removeprefix(_GLOBAL).lstrip(".")
    return ".".join(filter(None, (parent, package)))


def _read(directory: Path, path: str) -> str | None:
    try:
        return read_text(directory / f"{path}.yaml")
    except (OSError, UnicodeDecodeError):
        return None


def _mapping(text: str) -> Tree:
    """What YAML says; empty if it cannot be read, or is no mapping."""
    try:
        content = yaml.load(text, _LOADER)  # its scalars are text, so that nothing is made of tags
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}


def _put(tree: Tree, package: Sequence[str], body: Tree) -> None:
    """Merges `body` into what stands at `package`."""
    for name in package if body else ():
        if not isinstance(tree.get(name), dict):
            tree[name] = {}
        tree = tree[name]
    for key, value in body.items():
        if isinstance(value, dict):
            _put(tree, [key], value)
            tree.setdefault(key, {})
        else:
            tree[key] = value


def run_config(directory: Path) -> Composed:
    """What a run's own `config.yaml` says."""
    return Composed(_mapping(_read(directory, "config") or ""), {})
