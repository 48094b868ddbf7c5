"""Config files of a person's or a package's own that would be read as nobody means, or not at all. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import yaml

from rlrun.config.chosen_files import ChosenFiles
from rlrun.config.files import config_directory
from rlrun.config.plugins import own_directories, owner
from rlrun.config.suggestions import closest
from rlrun.errors import UserError
from rlrun.files import BYTE_ORDER_MARK, read_text

_NO_GROUP = (".", "_")  # how directories begin that are nobody's options: .git, __pycache__
_WHOLE = ("preset", "experiment", "debug")  # groups whose files say something of everything
_HEADER = re.compile(r"\s*#\s*@(.*)")
_BASE_8 = re.compile(r"[-+]?0[0-7_]+")  # YAML 1.1, as PyYAML reads it: 010 is 8
_BASE_60 = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?")  # 1:30 is 90
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.\w+)+")


def _misplaced(directory: Path, directories: Sequence[Path]) -> str | None:
    """What is wrong with an added directory: a file in it that nothing would ever read; None if there is none.

    These are a `config.yaml`, since every run begins with rlrun's own; a file in a group that does not end in `.yaml`;
    and options in a directory that is no group, neither of rlrun nor in any defaults list of an added file.

    Args:
        directory: which one.
        directories: where config files are searched; the last one is rlrun's own.
    """
    root = next((file for file in (directory / "config.yaml", directory / "config.yml") if file.is_file()), None)
    if root is not None:
        return (
            f"{root} would not be read, since every run begins with rlrun's own config.yaml: put what it sets into "
            f"{directory / 'experiment'}/NAME.yaml, below the line # @package _global_, and give experiment=NAME"
        )
    inner = sorted(path for path in directory.iterdir() if path.is_dir() and not path.name.startswith(_NO_GROUP))
    return next((wrong for each in inner if (wrong := _misplaced_options(each, directories)) is not None), None)


def refuse_misplaced(directories: Sequence[Path]) -> None:
    """Refuses files that nothing would ever read, in directories that a person added.

    Raises:
        UserError: naming the file or directory.
    """
    for directory in own_directories(directories):
        if (wrong := _misplaced(directory, directories)) is not None:
            raise UserError(wrong)


def misplaced_in_packages(directories: Sequence[Path], among: Sequence[Path] | None = None) -> list[str]:
    """The same for what installed packages bring: only to be told to those who use it, or miss something.

    Args:
        directories: where config files are searched; the last one is rlrun's own.
        among: only these; None: all.
    """
    packages = set(directories[:-1]) - set(own_directories(directories))
    wrong = {each: _misplaced(each, directories) for each in directories if each in packages}
    return [f"{text} ({owner(each)})" for each, text in wrong.items() if text and (among is None or each in among)]


def _misplaced_options(inside: Path, directories: Sequence[Path]) -> str | None:
    groups = _groups()
    known = inside.name in groups
    files = sorted(file for file in (inside.rglob("*") if known else inside.glob("*")) if _is_yaml(file))
    if files and not known and not any(inside.name in path.split("/")[:-1] for path in _named(directories, inside)):
        near = closest(inside.name, groups, count=1)[0]
        return (
            f"{files[0]} would not be read: {inside.name} is no group of config files; nearest: {near}; "
            f"available: {', '.join(groups)}"
        )
    wrong = next((file for file in files if file.suffix != ".yaml"), None)
    return f"{wrong} would not be read: config files end in .yaml; rename it to {wrong.stem}.yaml" if wrong else None


def _groups() -> list[str]:
    return sorted({path.name for path in config_directory().iterdir() if path.is_dir()} | {"hydra"})


def _is_yaml(file: Path) -> bool:
    return file.suffix.lower() in (".yaml", ".yml") and file.is_file()


def named_in_defaults(directories: Sequence[Path], group: str) -> set[str]:
    """The options of a group that a defaults list of an added file names."""
    return {path.rpartition("/")[2] for path in _named(directories) if path.rpartition("/")[0] == group}


def _named(directories: Sequence[Path], besides: Path | None = None) -> Iterator[str]:
    """Each `group/option` in a defaults list of an added file; what cannot be read is for its own runs to tell.

    Args:
        directories: where config files are searched; the last one is rlrun's own.
        besides: a directory whose files do not count.
    """
    for directory in directories[:-1]:
        of_groups = (file for group in _groups() for file in (directory / group).rglob("*.yaml"))
        for file in {*of_groups, *directory.glob("*/*.yaml")}:
            if besides is not None and file.is_relative_to(besides):
                continue
            try:
                content = yaml.safe_load(read_text(file))
            except (OSError, UnicodeDecodeError, yaml.YAMLError):
                continue
            listed = content.get("defaults") if isinstance(content, dict) else None
            for item in listed if isinstance(listed, list) else []:
                yield from _paths(item, file.parent.relative_to(directory))


def _paths(item: object, group: Path) -> Iterator[str]:
    """What an entry of a defaults list stands for: `/group@package: option`, `override group: [a, b]`, `option` ..."""
    given = item.items() if isinstance(item, dict) else [(f"/{group}", item)]
    for key, value in given:
        *_, name = str(key).split() or [""]
        for option in value if isinstance(value, list) else [value]:
            path = f"{name.partition('@')[0]}/{str(option).partition('@')[0]}"
            path = str(option).partition("@")[0] if str(option).startswith("/") else path
            yield path.lstrip("/") if path.startswith("/") else f"{group}/{path}"


def refuse_misread(chosen: ChosenFiles, directories: Sequence[Path], keys: Iterable[str]) -> None:
    """Refuses what added files that were chosen say in a way that YAML or Hydra takes for something else.

    So it does what nothing reads in the directory of a package whose files were chosen: other runs need not know.

    Args:
        chosen: the files of a run.
        directories: where config files are searched; the last one is rlrun's own.
        keys: what a config has at its top.

    Raises:
        UserError: naming file and line.
    """
    added = [(entry, file) for entry in chosen.entries if (file := _added(entry.file(directories), directories))]
    used = [each for each in directories[:-1] if any(file.is_relative_to(each) for _, file in added)]
    for wrong in misplaced_in_packages(directories, used):
        raise UserError(wrong)
    for entry, file in added:
        _refuse_marked(file)
        if entry.group in _WHOLE:
            _refuse_elsewhere(file, entry.group, entry.package, keys)
        _refuse_within(file)


def _added(file: Path | None, directories: Sequence[Path]) -> Path | None:
    return file if file is not None and not file.is_relative_to(directories[-1]) else None


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
    for group, _, names in (item.partition("=") for item in overrides if item.partition("=")[0] in _WHOLE):
        for name in (each.strip(" '\"") for each in names.strip("[]").split(",")):
            for file in (directory / group / f"{name}.yaml" for directory in directories[:-1]):
                if file.is_file():
                    _refuse_marked(file)
                    header = _header(read_text(file))
                    where = next((line[1] for line in header if line[0] == "package"), group)
                    _refuse_elsewhere(file, group, where.removeprefix("_global_").removeprefix("."), keys)


def _refuse_marked(file: Path) -> None:
    """Hydra reads no `# @package` behind a byte order mark, which does no harm elsewhere."""
    if file.read_bytes().startswith(BYTE_ORDER_MARK) and _header(read_text(file)):
        raise UserError(
            f"{file} begins with a byte order mark, behind which Hydra does not see the line # @package: save it as "
            "UTF-8 without one (BOM)"
        )


def _refuse_elsewhere(file: Path, group: str, package: str, keys: Iterable[str]) -> None:
    """A file without its first line would set keys of the group's own name, which nothing takes."""
    if yaml.safe_load(read_text(file)) is None:
        raise UserError(f"{file} is empty, so {group}={file.stem} would do nothing")
    if package.split(".")[0] not in {"", "hydra", *keys}:
        raise UserError(
            f"{file} must begin with the line # @package _global_: what it sets would be put below {package}, "
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
            header = _header(read_text(file))
        except UnicodeDecodeError:
            return file
        if any(len(words) != 2 for words in header):
            return file
    return None


def _refuse_within(file: Path) -> None:
    root = yaml.compose(read_text(file), Loader=yaml.SafeLoader)
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
