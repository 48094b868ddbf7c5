"""Sweeps (-m): every run is checked before the first begins. Each choice of files is composed once."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from rlrun.config.arguments import expanded, given_text, is_choice, is_hydras, parse, refuse_repeated
from rlrun.config.chosen import NETWORK, choose
from rlrun.config.compose import Request, checked, composed, request, with_values
from rlrun.config.config import Config
from rlrun.config.files import search_path
from rlrun.config.hydra_settings import refuse_unused_settings
from rlrun.config.keys import is_wrong
from rlrun.config.messages import unknown_key
from rlrun.config.provenance import Setting
from rlrun.config.unused_keys import refuse_unused, unused_keys
from rlrun.errors import UserError

_PARAMS = "hydra.sweeper.params."


@dataclass(frozen=True, slots=True)
class Sweep:
    """A checked sweep."""

    jobs: Sequence[Sequence[str]]  # the overrides of each run; empty where a sweeper chooses them as it goes
    for_hydra: Sequence[str]  # what Hydra is given; empty where no launcher or sweeper but its own is asked for


def check_sweep(overrides: Sequence[str], directories: Sequence[Path]) -> Sweep:
    """Checks every run of a sweep. Of sweepers that choose as they go, all that is fixed, and the swept keys' names.

    Args:
        overrides: as on the command line.
        directories: where config files are searched; the last one has `config.yaml`.

    Raises:
        UserError: at the first thing that is wrong.
    """
    items = parse(overrides)
    refuse_repeated(items)
    task = [item for item in items if not is_hydras(item)]
    launching = _of_files(task, directories)
    refuse_unused_settings([item for item in items if is_hydras(item)], launching, in_sweep=True)
    hydras = [str(item.input_line) for item in items if is_hydras(item)]
    params = [f"{each.key.removeprefix(_PARAMS)}={each.value}" for each in launching if each.key.startswith(_PARAMS)]
    sweepers = [text for text in hydras if text.lstrip("+").startswith(("hydra/sweeper=", "hydra.sweeper._target_="))]
    sweepers += [f"{each.key}={each.value}" for each in launching if each.key == "hydra.sweeper" and each.value]
    is_here = not launching and all(text in ("hydra/launcher=basic", "hydra/sweeper=basic") for text in hydras)
    if any(not text.endswith("=basic") for text in sweepers):
        _check_open_ended(task, directories)
        jobs: list[list[str]] = []
    else:
        jobs = list(expanded([*parse(params), *task], directories))
        _check(jobs, launching, directories, here=is_here)
    if is_here:
        return Sweep(jobs, ())
    several = any(item.is_sweep_override() and is_choice(item) for item in task)
    given = [text for item in task if (text := _for_hydra(item, several=several)) is not None]
    return Sweep(jobs, (*given, *hydras, *search_path(directories)))


def check_runs(runs: Sequence[Sequence[str]], directories: Sequence[Path]) -> list[Config]:
    """The checked configs of runs that each have a process of their own; those with equal files are composed once.

    Args:
        runs: the overrides of each.
        directories: where config files are searched; the last one has `config.yaml`.

    Raises:
        UserError: at the first thing that is wrong.
    """
    return list(_configs(runs, None, directories))


def _of_files(task: Sequence[Override], directories: Sequence[Path]) -> tuple[Setting, ...]:
    """What the files that are not swept over say of Hydra; none of ours does."""
    fixed = [item for item in task if is_choice(item) and not item.is_sweep_override()]
    return choose(fixed, directories).launching if len(directories) > 1 else ()


def _check(
    jobs: Sequence[Sequence[str]], launching: Sequence[Setting], directories: Sequence[Path], *, here: bool
) -> None:
    for config in _configs(jobs, launching, directories):
        if here:  # other machines may have more memory
            _check_memory(config)


def _configs(
    jobs: Sequence[Sequence[str]], launching: Sequence[Setting] | None, directories: Sequence[Path]
) -> Iterator[Config]:
    """Checks every run; the files of those that choose the same ones are composed once.

    Args:
        jobs: the overrides of each run.
        launching: what files may say of Hydra in this sweep; None: it is no sweep of Hydra's.
        directories: where config files are searched.
    """
    known = {(each.key, each.path) for each in launching or ()}
    bases: dict[tuple[str, ...], tuple[Request, DictConfig]] = {}
    for job in jobs:
        items = parse(job)
        choice = tuple(str(item.input_line) for item in items if not _is_plain_value(item))
        if choice not in bases:
            asked = request(job, directories, in_sweep=launching is not None)
            for setting in asked.chosen.launching:
                if (setting.key, setting.path) not in known:
                    raise UserError(
                        f"{setting.key}={setting.value} has no effect in a file that is itself swept over: give it on "
                        "the command line",
                        [f"set in {setting.place}"],
                    )
            bases[choice] = asked, composed(asked)
        asked, config = bases[choice]
        asked = replace(asked, items=tuple(items))
        yield checked(asked, with_values(copy.deepcopy(config), asked))


def _is_plain_value(item: Override) -> bool:
    return not is_choice(item) and not item.is_delete() and not isinstance(item.value(), dict)


def _check_open_ended(task: Sequence[Override], directories: Sequence[Path]) -> None:
    """What can be checked of a sweep whose sweeper chooses values as it goes."""
    asked = request([str(item.input_line) for item in task if not item.is_sweep_override()], directories, in_sweep=True)
    config = checked(asked, composed(asked))
    swept = {str(item.key_or_group): item for item in task if item.is_sweep_override()}
    for key, item in swept.items():
        if not is_choice(item) and is_wrong(key, asked.keys):
            raise unknown_key(key, f"the command line: {item.input_line}", asked.keys, asked.chosen.choices)
    open_keys = [key for key, why in unused_keys(config).items() if why.decided_by in swept]
    refuse_unused(config, [item for key, item in swept.items() if key not in open_keys])


def _for_hydra(item: Override, *, several: bool) -> str | None:
    """An override as Hydra can sweep it: it would set `algo.gamma=0.9` before it knows any of `algo=dqn,sarsa`."""
    key, value = item.get_key_element(), given_text(item)
    if item.is_delete():
        return None  # each run takes it away itself
    if is_choice(item):
        names = ["[]" if name.lower() == "null" else name for name in value.split(",")]
        if key == "network":
            return f"{NETWORK}={value}" if item.is_sweep_override() or not several else f"{NETWORK}=choice({value})"
        if key in ("experiment", "debug"):
            return f"{key}={','.join(names)}"
        return f"{key}={value}" if value.lower() != "null" else f"{key}='null'"
    choice = f"choice({value})" if several and not item.is_sweep_override() else value
    return f"++{item.key_or_group}={choice}"


def _check_memory(config: Config) -> None:
    from rlrun.config.memory_need import refuse_too_large  # imports torch, as the first run would

    refuse_too_large(config, None)
