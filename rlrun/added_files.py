"""Config files of a person's or a package's own that would be read as nobody means, or not at all. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

import yaml

from rlrun.config_files import config_directory
from rlrun.errors import UserError
from rlrun.suggestions import closest

_NO_GROUP = (".", "_")  # how directories begin that are nobody's options: .git, __pycache__
_WHOLE = ("preset", "experiment", "debug")  # groups whose files say something of everything
_HEADER = re.compile(r"\s*#\s*@(.*)")
_BASE_8 = re.compile(r"[-+]?0[0-7_]+")  # YAML 1.1, as PyYAML reads it: 010 is 8
_BASE_60 = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?")  # 1:30 is 90
_SEVERAL = re.compile(r"(\w+)=\[(.*)\]")  # experiment=[a,b]
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.\w+)+")


def refuse_misplaced(directories: Sequence[Path]) -> None:
    """Refuses files in added directories that nothing would ever read.

    These are a `config.yaml`, since every run begins with rlrun's own; a file in a group that does not end in `.yaml`;
    and options in a directory that is no group, neither of rlrun nor in the defaults list of a file beside it.

    Args:
        directories: where config files are searched; the last one is rlrun's own.

    Raises:
        UserError: naming the file or directory.
    """
    for directory in directories[:-1]:
        root = next((file for file in (directory / "config.yaml", directory / "config.yml") if file.is_file()), None)
        if root is not None:
            raise UserError(
                f"{root} would not be read, since every run begins with rlrun's own config.yaml: put what it sets into "
                f"{directory / 'experiment'}/NAME.yaml, below the line # @package _global_, and give experiment=NAME"
            )
        for inside in sorted(path for path in directory.iterdir() if path.is_dir()):
            if not inside.name.startswith(_NO_GROUP):
                _refuse_misplaced_options(inside)


def _refuse_misplaced_options(inside: Path) -> None:
    groups = sorted({path.name for path in config_directory().iterdir() if path.is_dir()} | {"hydra"})
    known = inside.name in groups
    files = sorted(file for file in (inside.rglob("*") if known else inside.glob("*")) if _is_yaml(file))
    if files and not known and not _in_a_defaults_list(inside):
        near = closest(inside.name, groups, count=1)[0]
        raise UserError(
            f"{files[0]} would not be read: {inside.name} is no group of config files; nearest: {near}; "
            f"available: {', '.join(groups)}"
        )
    for file in files:
        if file.suffix != ".yaml":
            raise UserError(f"{file} would not be read: config files end in .yaml; rename it to {file.stem}.yaml")


def _is_yaml(file: Path) -> bool:
    return file.suffix.lower() in (".yaml", ".yml") and file.is_file()


def _in_a_defaults_list(group: Path) -> bool:
    line = re.compile(rf"^\s*-\s.*(?<!\w){re.escape(group.name)}[@:/]", re.MULTILINE)
    return any(line.search(file.read_text(encoding="utf-8")) for file in group.parent.glob("*/*.yaml"))


def refuse_misread(
    choices: Mapping[str, str | None], overrides: Sequence[str], directories: Sequence[Path], keys: Iterable[str]
) -> None:
    """Refuses what the chosen files of added directories say in a way that YAML or Hydra takes for something else.

    Args:
        choices: the option of every group; Hydra leaves those out that have several.
        overrides: what the command line asked for.
        directories: where config files are searched; the last one is rlrun's own.
        keys: what a config has at its top.

    Raises:
        UserError: naming file and line.
    """
    seen: set[Path] = set()
    several = [match for item in overrides if (match := _SEVERAL.fullmatch(item))]
    listed = [(match[1], name.strip(" '\"")) for match in several for name in match[2].split(",")]
    for place, option in [*choices.items(), *listed]:
        for file in _files(directories, place.partition("@")[0], option):
            if place in _WHOLE:
                _refuse_elsewhere(file, place, keys)
            _refuse_within(file, seen, directories)


def refuse_unheaded(overrides: Sequence[str], directories: Sequence[Path], keys: Iterable[str]) -> None:
    """Refuses a file that stands for a whole config but begins like a part of one, among those that words choose.

    Hydra then overlooks its `override /group` entries, and only says that the group is not chosen.

    Args:
        overrides: what the command line asked for.
        directories: where config files are searched; the last one is rlrun's own.
        keys: what a config has at its top.

    Raises:
        UserError: naming the file and the line with which it must begin.
    """
    for group, _, names in (item.partition("=") for item in overrides):
        if group in _WHOLE:
            for name in names.strip("[]").split(","):
                for file in _files(directories, group, name.strip(" '\"")):
                    _refuse_elsewhere(file, group, keys)


def _files(directories: Sequence[Path], group: str, option: str | None) -> list[Path]:
    candidates = (directory / group / f"{option}.yaml" for directory in directories[:-1])
    return [file for file in candidates if file.is_file()]


def _refuse_elsewhere(file: Path, group: str, keys: Iterable[str]) -> None:
    """A file without its first line would set keys of the group's own name, which nothing takes."""
    text = file.read_text(encoding="utf-8")
    if yaml.safe_load(text) is None:
        raise UserError(f"{file} is empty, so {group}={file.stem} would do nothing")
    where = next((line[1] for line in _header(text) if line[0] == "package"), group)
    if where.removeprefix("_global_").removeprefix(".").split(".")[0] not in {"", "hydra", *keys}:
        raise UserError(
            f"{file} must begin with the line # @package _global_: what it sets would be put below {where}, "
            "which is no key"
        )


def _header(text: str) -> list[list[str]]:
    """The words of the lines `# @...` with which a file begins; below any other line, Hydra reads none."""
    lines = (line for line in text.splitlines() if line.strip())
    return [match[1].split() for match in takewhile(bool, map(_HEADER.match, lines)) if match is not None]


def file_not_read(directories: Sequence[Path]) -> Path | None:
    """The first file in the groups of added directories that Hydra cannot read; None if there is none."""
    for file in (file for directory in directories[:-1] for file in sorted(directory.glob("*/*.yaml"))):
        try:
            header = _header(file.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            return file
        if any(len(words) != 2 for words in header):
            return file
    return None


def _refuse_within(file: Path, seen: set[Path], directories: Sequence[Path]) -> None:
    """The same for the files of its defaults list that are options of its own group."""
    if file in seen:
        return
    seen.add(file)
    root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    if root is None:
        return
    for node, is_key in _scalars(root, set()):
        place = f"{file}, line {node.start_mark.line + 1}"
        written = str(node.value)
        if is_key and _DOTTED.fullmatch(written):
            *outer, last = written.split(".")
            nested = "".join(f"{name}: {{" for name in outer) + f"{last}: ..." + "}" * len(outer)
            raise UserError(f"{place}: {written} cannot be a key, since dots are for the command line; write {nested}")
        if not is_key and node.style is None and (_BASE_8.fullmatch(written) or _BASE_60.fullmatch(written)):
            value = yaml.safe_load(written)
            if isinstance(value, int | float):
                base = 8 if _BASE_8.fullmatch(written) else 60
                raise UserError(
                    f"{place}: {written} is read as {value}, in base {base}, as YAML 1.1 has it; write {value}, or "
                    f"'{written}' in quotes for text"
                )
    for name in _own_group(root):
        for other in _files(directories, file.parent.name, name):
            _refuse_within(other, seen, directories)


def _scalars(node: yaml.Node, above: set[int]) -> Iterator[tuple[yaml.ScalarNode, bool]]:
    """Every scalar, and whether it is a key."""
    if id(node) in above:  # an alias of what it stands in
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield key, True
                if key.value == "hydra" and not above:
                    continue  # Hydra's own node: a sweeper's params are dotted keys
            yield from _scalars(value, above | {id(node)})
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _scalars(value, above | {id(node)})
    elif isinstance(node, yaml.ScalarNode):
        yield node, False


def _own_group(root: yaml.Node) -> list[str]:
    """The names in a defaults list that stand for options of the same group."""
    entries = root.value if isinstance(root, yaml.MappingNode) else []
    lists = [value for key, value in entries if key.value == "defaults" and isinstance(value, yaml.SequenceNode)]
    return [str(item.value) for found in lists for item in found.value if isinstance(item, yaml.ScalarNode)]
