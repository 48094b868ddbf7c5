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
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from yaml import YAMLError

from rlrun.config.arguments import given_text, is_choice, key_of
from rlrun.config.config import LOGGERS
from rlrun.config.files import config_directory, not_yaml, one_line, options, search_path, unknown_option
from rlrun.config.plugins import own_directories
from rlrun.config.provenance import Setting, read, shown_path
from rlrun.errors import UserError, likeness

NETWORK = "network@algo.network"  # the group, where algorithms that take a network put it
_SUGGESTIONS = ("network", "env.network")  # the key by which an environment, a preset or an experiment suggests one
_OPTIONAL = ("experiment", "debug")  # of which there may be none, by null
_MANY = (*_OPTIONAL, LOGGERS)  # of which there may be several
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

    overrides: tuple[str, ...]  # the choices as Hydra is given them
    entries: tuple[Entry, ...]  # the weakest first
    choices: Mapping[str, str | None]  # the option of every group
    settings: tuple[Setting, ...]  # the weakest first
    launching: tuple[Setting, ...]  # what files of others say of Hydra itself
    preset: str | None  # the one that counts
    network: _Choice | None  # None where the algorithm takes none

    def is_given(self, setting: Setting) -> bool:
        """Whether it stands in an experiment of a person's own; files of all other groups have defaults."""
        return self.entries[setting.order].group in _OPTIONAL and not _is_ours(setting.path)


def choose(items: Sequence[Override], directories: Sequence[Path]) -> Chosen:
    """What the overrides of one run choose.

    Args:
        items: without those that are about Hydra itself.
        directories: where config files are searched; the last one has `config.yaml`.

    Raises:
        UserError: if an option does not exist, or is chosen where it has no effect.
    """
    choices_given, asked = [], None
    for item in (item for item in items if is_choice(item)):
        start, _, option = str(item.input_line).partition("=")
        value, option = item.value(), option.strip("'\"")
        several = isinstance(value, list)
        if isinstance(value, list) and (key_of(item) not in _MANY or not all(isinstance(each, str) for each in value)):
            number = "options are" if key_of(item) in _MANY else f"{key_of(item)} is one option,"  # or they were merged
            raise UserError(f"{item.input_line} is not allowed: {number} chosen by name")
        if key_of(item) in ("network", NETWORK):
            asked = item
        elif several or item.is_delete():
            choices_given.append(str(item.input_line))
        elif option.lower() != "null" or key_of(item) not in _OPTIONAL:
            choices_given.append(f"{start}='{'null' if option.lower() == 'null' else option}'")
    with hydra(directories) as loader:
        entries, choices = _files(loader, choices_given, directories)
        settings = _settings(entries)
        choice = _network(asked, entries, choices, settings, directories)
        if choice is not None and choice.name != choices[NETWORK]:
            choices_given.append(f"{NETWORK}='{choice.name}'")
            entries, choices = _files(loader, choices_given, directories)  # since its file may start from another one
            settings = _settings(entries)
    _refuse_two(entries, directories)
    launching = tuple(each for each in settings if each.key.split(".")[0] == "hydra" and each.order and each.value)
    preset = _preset(entries, choices, directories)
    settings = [each for each in settings if each.key.split(".")[0] != "hydra" and each.key not in _SUGGESTIONS]
    return Chosen(tuple(choices_given), tuple(entries), choices, tuple(settings), launching, preset, choice)


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
        group, _, name = str(error.missing_cfg_file).strip("/").rpartition("/")
        raise unknown_option(group, name, options(directories, group)) from error
    except YAMLError as error:
        raise UserError(not_yaml(error)) from error
    except (HydraException, ValueError) as error:  # ValueError: a file's first line, or its letters
        raise UserError(one_line(error)) from error
    finally:
        GlobalHydra.instance().hydra = outer


def _files(
    loader: ConfigLoader, given: Sequence[str], directories: Sequence[Path]
) -> tuple[list[Entry], Mapping[str, str | None]]:
    found = loader.compute_defaults_list("config", [*given, *search_path(directories)], RunMode.RUN)
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
    asked: Override | None,
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
        name, order, where = given_text(asked).strip("'\""), len(entries), str(asked.input_line)
    if name is None:
        return None
    if name not in (known := options(directories, "network")):
        raise UserError(str(unknown_option("network", name, known)), [f"set in {where}"] if asked is None else [])
    if default is not None:
        return _Choice(name, order, where)
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
            where = " and ".join(map(str, files))
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
        raise unknown_option("preset", str(name), options(directories, "preset"))
    pairs = [f"{algo}_{env}" for algo in options(directories, "algo") for env in options(directories, "env")]
    for directory in own_directories(directories) if name == wanted else []:
        for file in (directory / "preset").glob("*.yaml"):
            is_variant = re.search(rf"(^|[\W\d_]){re.escape(wanted)}($|[\W\d_])", file.stem)
            if file.stem not in pairs and not is_variant and likeness(file.stem, wanted) >= _NEARLY:
                raise UserError(f"{shown_path(file)} is not used: the preset of this pair is called {wanted}.yaml")
    return None


def _is_ours(path: Path) -> bool:
    return path.is_relative_to(config_directory())
