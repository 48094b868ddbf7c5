"""Which keys and values a command line would compose, read without Hydra, which is slow to import.

It follows Hydra 1.3 in what our configs and a plug-in's use: groups, `_self_`, `optional`, `override`, `@package`, and
the interpolated preset. `tests/completion/test_config_tree.py` compares it with Hydra's own. Values stay the text that
the file has, so `1.0e-4` is not rewritten.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rlrun.files import read_text

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # every scalar is text; the fast one where libyaml is there
_HEADER = re.compile(r"^# ?@package +(\S+)", re.MULTILINE)
_HEADLINE = re.compile(r"^# (\S+-v\d+)\b")
_GLOBAL = "_global_"
_CHOICE = re.compile(r"\$\{(?:oc\.select: *)?([\w/]+)(?:, *(\w+))?\}")
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
NO_OPTION = ("null", "???", "")

Tree = dict[str, Any]  # leaves are text or lists


class Composed(NamedTuple):
    """What one run would be made of."""

    values: Tree  # without Hydra's own
    choices: Mapping[str, str]  # the option of every group: `algo`, `optimizer@algo.optimizer` ...

    def at(self, key: str) -> Any:
        """What stands at a dotted key; None where nothing does."""
        return _at(self.values, key)

    def text(self, key: str) -> str | None:
        """The value of a key as one would type it, with plain references followed; None if it is not plain text."""
        value = self.at(key)
        for _ in range(8):  # a reference to a reference; no file of ours has more than one
            match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
            if match is None:
                break
            value = self.at(match[1])
        return value if isinstance(value, str) and "${" not in value and value not in ("???", "") else None


class _Item(NamedTuple):
    """One line of a defaults list."""

    group: str  # absolute; of a plain config, its directory
    option: str
    package: str | None  # as given after @
    base: str  # the package where nothing gives another one
    plain: bool  # a config by its name, which cannot be overridden
    override: bool
    is_self: bool


class _File(NamedTuple):
    items: list[_Item]
    body: Tree
    header: str | None


class ConfigFiles:
    """The YAML files of some directories, read once each; what cannot be read is empty, for the run to complain about.

    Args:
        directories: where they are searched; the first that has a file wins.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        self.directories = directories
        self._texts: dict[str, str] = {}
        self._contents: dict[str, Tree] = {}

    def options(self, group: str) -> list[str]:
        """The names that `group=` can take, sorted."""
        return sorted({path.stem for directory in self.directories for path in (directory / group).glob("*.yaml")})

    def summary(self, group: str, option: str) -> str:
        """The first comment of an option's file."""
        text = self._text(f"{group}/{option}")
        lines = (line for line in text.splitlines() if line.startswith("# ") and not line.startswith("# @package"))
        return next(lines, "# ")[2:].strip()

    def groups(self) -> list[str]:
        """The groups that every run chooses from, in the order of `config.yaml`."""
        items = self.file("config").items
        return [item.group for item in items if not (item.override or item.is_self or item.package)]

    def comments(self, path: str = "config") -> dict[str, str]:
        """What a file says of its own keys."""
        found = re.findall(r"^(\w+):[^#\n]*# (.*)$", self._text(path), re.MULTILINE)
        return dict(found)

    def exists(self, path: str) -> bool:
        """Whether there is a file for `group/option`."""
        return any((directory / f"{path}.yaml").is_file() for directory in self.directories)

    def file(self, path: str) -> _File:
        """A config and its defaults list."""
        text, content = self._text(path), self._content(path)
        group = path.rpartition("/")[0]
        body = {key: value for key, value in content.items() if key not in ("defaults", "hydra")}
        given = content.get("defaults")
        items = [item for line in (given if isinstance(given, list) else []) for item in _items(line, group)]
        if not any(item.is_self for item in items):
            items.insert(0, _self())
        header = _HEADER.search(text.split("\n\n")[0])
        return _File(items, body, header[1] if header else None)

    def identity(self, env: str) -> tuple[str, str] | None:
        """Which game or Gymnasium id an environment's file is about (`config_files.identity`)."""
        text, content = self._text(f"env/{env}"), self._content(f"env/{env}")
        given = {key: content[key] for key in ("game", "id") if key in content}
        for key, value in given.items():
            if isinstance(value, str) and value != "???":
                return key, value
        headline = _HEADLINE.match(text)
        return ("id", headline[1]) if headline and not given else None

    def _text(self, path: str) -> str:
        if path not in self._texts:
            self._texts[path] = next(
                (text for folder in reversed(self.directories) if (text := _read(folder, path)) is not None), ""
            )
        return self._texts[path]

    def _content(self, path: str) -> Tree:
        if path not in self._contents:
            self._contents[path] = _mapping(self._text(path))
        return self._contents[path]


def run_config(directory: Path) -> Composed:
    """What a run's own `config.yaml` says."""
    return Composed(_mapping(_read(directory, "config") or ""), {})


def compose(files: ConfigFiles, words: Sequence[str]) -> Composed:
    """What `rlrun WORDS` would be made of, as far as the words go.

    Args:
        files: the configs there are.
        words: `key=value`, without commas that mean several runs.
    """
    words = _with_tuned_env(files, [word.lstrip("+") for word in words if "=" in word])
    given = dict(word.split("=", 1) for word in words)
    groups = files.groups()
    chosen = {key: value for key, value in given.items() if key in groups or "@" in key}
    composition = _Composition(files, chosen)
    values: Tree = {}
    for package, body in composition.pieces("config", "", overrides_allowed=True):
        _merge(values, package.split(".") if package else [], body)
    named = given.get("network") or composition.network_named_by_an_experiment()
    if named and isinstance(values.get("network"), dict):
        values["network"] = dict(files.file(f"network/{named}").body)  # a preset's numbers were tuned for another one
    for key, value in given.items():
        if key not in chosen:
            _assign(values, key, value)
    return Composed(values, composition.known)


class _Composition:
    """Hydra's order of things: overrides count from the end of a list to its start, contents from start to end."""

    def __init__(self, files: ConfigFiles, chosen: Mapping[str, str]) -> None:
        self._files = files
        self._overrides = dict(chosen)  # the command line's come first, and the first of a key wins
        self.known: dict[str, str] = {}
        self._network_is_an_experiments = False

    def network_named_by_an_experiment(self) -> str | None:
        """The option; None where it is the preset's or weaker."""
        return self.known.get("network") if self._network_is_an_experiments else None

    def pieces(self, path: str, package: str, *, overrides_allowed: bool, depth: int = 0) -> list[tuple[str, Tree]]:
        """The contents that a config brings, in the order in which they are merged, each with its package."""
        file = self._files.file(path)
        if depth > 20:  # files that include one another
            return []
        for item in file.items:
            if item.override and overrides_allowed:
                key = _key(item, package)
                if key == "network" and key not in self._overrides and path.startswith(("experiment/", "debug/")):
                    self._network_is_an_experiments = True
                self._overrides.setdefault(key, item.option)
        found: dict[int, list[tuple[str, Tree]]] = {}
        order = [index for index, item in enumerate(file.items) if not item.override]
        late = [index for index in order if "${" in file.items[index].option and self._chosen(file, index, package)[2]]
        for index in [*(index for index in reversed(order) if index not in late), *reversed(late)]:
            item = file.items[index]
            if item.is_self:
                found[index] = [(package, file.body)]
                continue
            key, option, interpolated = self._chosen(file, index, package)
            if interpolated:
                option = _CHOICE.sub(self._known_option, option)
            if not item.plain:
                self.known[key] = option
            inner = f"{item.group}/{option}" if item.group else option
            if option in NO_OPTION or not self._files.exists(inner):
                continue
            found[index] = self.pieces(
                inner,
                self._package(item, inner, package),
                overrides_allowed=overrides_allowed and not interpolated,
                depth=depth + 1,
            )
        return [piece for index in sorted(found) for piece in found[index]]

    def _known_option(self, reference: re.Match[str]) -> str:
        option = self.known.get(reference[1], reference[2] or "")
        return "None" if option == "null" else option  # Hydra's word inside of a name

    def _chosen(self, file: _File, index: int, package: str) -> tuple[str, str, bool]:
        """The key of an item, its option, and whether that is to be put together from others."""
        item = file.items[index]
        key = _key(item, package)
        option = item.option if item.plain else self._overrides.get(key, item.option)
        return key, option.strip("'\""), "${" in option

    def _package(self, item: _Item, path: str, parent: str) -> str:
        header = self._files.file(path).header
        absolute = None if header is None else header if header.startswith(_GLOBAL) else f"{_GLOBAL}.{header}"
        return _joined(parent, item.package or absolute or item.base)


def _items(line: Any, group: str) -> Iterator[_Item]:
    if isinstance(line, str):
        if line == "_self_":
            yield _self()
            return
        name, _, package = line.partition("@")
        folder, _, option = name.rpartition("/")
        where = folder.strip("/") if name.startswith("/") else "/".join(filter(None, (group, folder)))
        yield _Item(where, option, package or None, folder.strip("/").replace("/", "."), True, False, False)
    elif isinstance(line, dict):
        for key, value in line.items():
            *marks, name = str(key).split()
            relative, _, package = name.partition("@")
            base = relative.strip("/").replace("/", ".")
            where = relative.strip("/") if relative.startswith("/") else "/".join(filter(None, (group, relative)))
            override = "override" in marks
            for option in value if isinstance(value, list) else [value]:
                yield _Item(where, str(option), package or None, base, isinstance(value, list), override, False)


def _self() -> _Item:
    return _Item("", "_self_", None, "", True, False, True)


def _key(item: _Item, parent: str) -> str:
    """What overrides call the group: with its package where that is not the group's own."""
    package = _joined(parent, item.package or item.base)
    return item.group if package == item.group.replace("/", ".") else f"{item.group}@{package or _GLOBAL}"


def _joined(parent: str, package: str) -> str:
    if _GLOBAL in package:
        return package.rpartition(_GLOBAL)[2].lstrip(".")
    return ".".join(filter(None, (parent, package)))


def _with_tuned_env(files: ConfigFiles, words: list[str]) -> list[str]:
    """A plain game or id is the environment file that is tuned for it (`config_files.resolve_env`)."""
    given = dict(word.split("=", 1) for word in words)
    chosen = given.get("env")
    if chosen is None or files.identity(chosen) is not None:
        return words
    for key in ("game", "id"):
        wanted = given.get(f"env.{key}")
        if wanted is None:
            continue
        for env in files.options("env"):
            if files.identity(env) == (key, wanted):
                return [f"env={env}", *(word for word in words if not word.startswith((f"env.{key}=", "env=")))]
    return words


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


def _at(tree: Any, key: str) -> Any:
    for name in key.split(".") if key else []:
        if not isinstance(tree, dict) or name not in tree:
            return None
        tree = tree[name]
    return tree


def _merge(tree: Tree, package: Sequence[str], body: Tree) -> None:
    for name in package:
        if not isinstance(tree.get(name), dict):
            tree[name] = {}
        tree = tree[name]
    for key, value in body.items():
        if isinstance(value, dict):
            _merge(tree, [key], value)
        else:
            tree[key] = value


def _assign(tree: Tree, key: str, value: str) -> None:
    """Sets a key that is there, or one beside keys that are."""
    *parents, name = key.split(".")
    inside = _at(tree, ".".join(parents))
    if isinstance(inside, dict) and name and not isinstance(inside.get(name), dict):
        inside[name] = value
