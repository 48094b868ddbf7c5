"""The files that one run's config is made of, as Hydra finds them, and what they set; nothing is composed yet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from yaml import YAMLError

from rlrun.config.arguments import given_text, is_choice, key_of
from rlrun.config.config import LOGGERS
from rlrun.config.files import GROUPS, config_directory, not_yaml, one_line, options, search_path, unknown_option
from rlrun.config.plugins import own_directories, owner
from rlrun.config.provenance import Setting, read, shown_path
from rlrun.errors import UnknownKeyError, UserError, likeness, nearest

NETWORK = "network@algo.network"  # the group, where algorithms that take a network put it
_SUGGESTIONS = ("network", "env.network")  # the key by which an environment, a preset or an experiment suggests one
_WHOLE = ("preset", "experiment", "debug")  # groups whose files say something of everything
_MANY = ("experiment", "debug", LOGGERS)  # of which there may be several, or none
_NEARLY = 0.85  # a preset's file whose name is as like as that to the one that is looked for was meant to be it


@dataclass(frozen=True, slots=True)
class Entry:
    """One file."""

    path: str  # group/option
    package: str  # where its content is put, dotted; empty for the top
    file: Path

    @property
    def group(self) -> str:
        """The group that it is an option of; empty for config.yaml."""
        return self.path.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which network, chosen how strongly (as `Setting.order`), and where."""

    name: str
    order: int
    where: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the overrides of one run choose."""

    words: tuple[str, ...]  # the choices as Hydra is given them
    entries: tuple[Entry, ...]  # the weakest first
    choices: Mapping[str, str | None]  # the option of every group
    settings: tuple[Setting, ...]  # the weakest first
    launching: tuple[Setting, ...]  # what files of others say of Hydra itself
    preset: str | None  # the one that counts
    network: _Choice | None  # None where the algorithm takes none

    def own(self, setting: Setting, groups: Sequence[str] = GROUPS) -> bool:
        """Whether it stands in a person's own file, in one of `groups`."""
        return setting.order > 0 and self.entries[setting.order].group in groups and not _is_ours(setting.path)


def choose(items: Sequence[Override], directories: Sequence[Path]) -> Chosen:
    """What the overrides of one run choose.

    Args:
        items: without those that are about Hydra itself.
        directories: where config files are searched; the last one has `config.yaml`.

    Raises:
        UserError: if an option does not exist, or is chosen where it has no effect.
    """
    words, network = [], None
    for item in (item for item in items if is_choice(item)):
        names = _names(item)
        if key_of(item) in ("network", NETWORK):
            network = item, names[0]
        elif isinstance(item.value(), list) or names != [None] or key_of(item) not in _MANY:
            words.append(f"{key_of(item)}={_quoted(item, names, directories)}")
    with hydra(directories) as loader:
        entries, choices = _files(loader, words, directories)
        settings = _settings(entries)
        choice = _network(network, entries, choices, settings, directories)
        if choice is not None and choice.name != choices[NETWORK]:
            words.append(f"{NETWORK}='{choice.name}'")
            entries, choices = _files(loader, words, directories)  # since its file may start from another one
            settings = _settings(entries)
    _refuse_two(entries, directories)
    launching = tuple(each for each in settings if each.key.split(".")[0] == "hydra" and each.order and each.value)
    preset = _preset(entries, choices, directories)
    settings = [each for each in settings if each.key.split(".")[0] != "hydra" and each.key not in _SUGGESTIONS]
    return Chosen(tuple(words), tuple(entries), choices, tuple(settings), launching, preset, choice)


def refuse_other_network(chosen: Chosen) -> None:
    """Refuses keys of a network in files that are weaker than the choice of one: they were meant for another.

    Raises:
        UserError: naming the key and the choice.
    """
    for setting in chosen.settings if chosen.network is not None else ():
        is_of_network = setting.key.startswith("algo.network.") and chosen.entries[setting.order].group != "network"
        if is_of_network and chosen.network is not None and setting.order < chosen.network.order:
            raise UserError(
                f"{setting.key} is set in {setting.place}, for another network than {chosen.network.where} chooses: "
                "leave one out"
            )


@contextmanager
def hydra(directories: Sequence[Path]) -> Iterator[ConfigLoader]:
    """Hydra with our config files, for `compose`; what it raises is one line. One that a process has already stays so.

    Raises:
        UserError: for what Hydra refuses.
    """
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(directories[-1]), version_base="1.3"):
            yield GlobalHydra.instance().config_loader()
    except MissingConfigException as error:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        raise unknown_option(group.lstrip("/"), name, sorted(error.options or []), directories) from error
    except YAMLError as error:
        raise UserError(not_yaml(error)) from error
    except (HydraException, ValueError) as error:  # ValueError: a file's first line, or its letters
        raise UserError(one_line(error)) from error
    finally:
        GlobalHydra.instance().hydra = outer


def _names(item: Override) -> list[str | None]:
    """The options that an override chooses; None for null."""
    if item.type is not OverrideType.CHANGE:
        raise UserError(f"{item.input_line}: an option of a group is chosen without + or ~, as {key_of(item)}=NAME")
    value, text = item.value(), given_text(item)
    names = value if isinstance(value, list) else [None if text.strip("'\"").lower() == "null" else text.strip("'\"")]
    group = key_of(item).partition("@")[0]
    if not all(isinstance(name, str) for name in names) and (
        isinstance(value, list) or names != [None] or group not in _WHOLE
    ):
        raise UserError(f"{item.input_line} is not allowed: an option of {group} is chosen by name")
    if isinstance(value, list) and group not in _MANY:
        raise UserError(f"{item.input_line} is not allowed: {group} is one option, chosen by name")
    return [str(name) if name is not None else None for name in names]


def _quoted(item: Override, names: Sequence[str | None], directories: Sequence[Path]) -> str:
    quoted = ["'" + str(name or "null").replace("'", "\\'") + "'" for name in names]
    for name in names:
        if name is not None and "@" not in key_of(item) and name not in (known := options(directories, key_of(item))):
            raise unknown_option(key_of(item), name, known, directories)
    return f"[{','.join(quoted)}]" if isinstance(item.value(), list) else quoted[0]


def _files(
    loader: ConfigLoader, words: Sequence[str], directories: Sequence[Path]
) -> tuple[list[Entry], Mapping[str, str | None]]:
    given = [*words, *search_path(directories)]
    try:
        found = loader.compute_defaults_list("config", given, RunMode.RUN)
    except MissingConfigException:
        raise
    except HydraException:
        placed = [word for word in words if "@" in word.partition("=")[0]]
        if not placed:
            raise
        choices = loader.compute_defaults_list("config", [w for w in given if w not in placed], RunMode.RUN)
        known = [name for name in choices.overrides.known_choices if "@" in name]
        for key in (word.partition("=")[0] for word in placed if word.partition("=")[0] not in known):
            close = [name for name in known if name.startswith(f"{key.partition('@')[0]}@")] or nearest(key, known)
            raise UnknownKeyError(f"unknown key {key}; nearest: {', '.join(close)}", key) from None
        raise
    entries = []
    for each in found.defaults:
        places = (place / f"{each.config_path}.yaml" for place in (directories[-1], *directories[:-1]))
        file = next((file for file in places if file.is_file()), None)
        if file is not None and not each.config_path.startswith("hydra/"):
            entries.append(Entry(each.config_path, each.package or "", file))
    return entries, dict(found.overrides.known_choices)


def _settings(entries: Sequence[Entry]) -> list[Setting]:
    return [
        replace(setting, order=order)
        for order, entry in enumerate(entries)
        for setting in read(entry.file, entry.package)
    ]


def _network(
    asked: tuple[Override, str | None] | None,
    entries: Sequence[Entry],
    choices: Mapping[str, str | None],
    settings: Sequence[Setting],
    directories: Sequence[Path],
) -> _Choice | None:
    """The choice of the network: the command line's, or the last that a file suggests, or else the algorithm's."""
    default = choices.get(NETWORK)
    suggested = next((each for each in reversed(settings) if each.key in _SUGGESTIONS and each.value), None)
    name, order, where = default, 0, ""
    if suggested is not None:
        name, order, where = suggested.value, suggested.order, suggested.place
    if asked is not None:
        name, order, where = str(asked[1]), len(entries), str(asked[0].input_line)
    if name is not None and name not in (known := options(directories, "network")):
        problem = unknown_option("network", name, known, directories)
        raise UserError(str(problem), [f"set in {where}", *problem.details]) if asked is None else problem
    if name is None or default is not None:
        return None if name is None else _Choice(name, order, where)
    # Environments and presets suggest one to whichever algorithm; a command and an experiment ask for it.
    asks = asked is not None or (entries[order].group == "experiment" and not _is_ours(entries[order].file))
    if asks and choices.get("algo") is not None:
        raise UserError(
            f"algo={choices['algo']} takes no network, so network={name} has no effect: leave it out", [where]
        )
    return None


def _refuse_two(entries: Sequence[Entry], directories: Sequence[Path]) -> None:
    """No file that a config is made of may have two meanings."""
    for entry in entries:
        files = [file for directory in directories if (file := directory / f"{entry.path}.yaml").is_file()]
        if len(files) > 1 and entry.group:
            where = " and ".join(f"{file} ({owner(file)})" for file in files)
            option = entry.path.rpartition("/")[2]
            raise UserError(f"{entry.group}={option} is there {len(files)} times: {where}; rename all but one of them")


def _preset(entries: Sequence[Entry], choices: Mapping[str, str | None], directories: Sequence[Path]) -> str | None:
    """The preset that counts.

    Raises:
        UserError: if one that was asked for is not there, or one of one's own has nearly the name that is looked for.
    """
    name, wanted = choices.get("preset"), f"{choices.get('algo')}_{choices.get('env')}"
    if any(entry.path == f"preset/{name}" for entry in entries):
        return name
    if name not in (None, "null", wanted):
        raise unknown_option("preset", str(name), options(directories, "preset"), directories)
    pairs = [f"{algo}_{env}" for algo in options(directories, "algo") for env in options(directories, "env")]
    for directory in own_directories(directories) if name == wanted else []:
        for file in (directory / "preset").glob("*"):
            is_another = file.stem in pairs or re.search(rf"(^|[\W\d_]){re.escape(wanted)}($|[\W\d_])", file.stem)
            if (file.suffix == ".yml" and file.stem == wanted) or (
                not is_another and likeness(file.stem, wanted) >= _NEARLY
            ):
                raise UserError(f"{shown_path(file)} is not used: the preset of this pair is called {wanted}.yaml")
    return None


def _is_ours(path: Path) -> bool:
    return path.is_relative_to(config_directory())
