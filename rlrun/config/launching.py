"""Sweeps: every run is checked before the first begins, and launchers that Hydra would ignore are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from yaml import YAMLError

from rlrun.config.compose import explain, load_config
from rlrun.config.files import GROUPS, options, search_path
from rlrun.config.hydra_settings import (
    PARTS,
    given,
    in_words,
    keeps_files,
    refuse_settings,
    refuse_words,
    runs_here,
    set_sweep_directory,
)
from rlrun.config.hydra_words import for_hydra
from rlrun.config.keys import valid_keys
from rlrun.config.repeated_words import refuse_repeated
from rlrun.config.suggestions import closest
from rlrun.config.unused_keys import refuse_unused, unused_keys
from rlrun.errors import UnknownKeyError, UserError

_MOST_RUNS = 100_000  # checking one takes about 0.05 s, and Hydra keeps a list of them all


def for_sweep(overrides: Sequence[str]) -> list[str]:
    """The overrides as Hydra can sweep them: it sets `algo.gamma=0.9` before it knows any of `algo=dqn,sarsa`.

    Keys of groups that are swept over are written as a choice of one, which Hydra leaves to each run.
    """
    parsed = OverridesParser.create().parse_overrides(for_hydra(overrides))
    swept = {str(item.key_or_group) for item in parsed if item.is_sweep_override()}
    return [
        _as_choice(str(item.input_line))
        if "." in str(item.key_or_group)
        and str(item.key_or_group).split(".")[0] in swept
        and not (item.is_sweep_override() or item.is_delete())
        else str(item.input_line)
        for item in parsed
    ]


def _as_choice(override: str) -> str:
    key, _, value = override.partition("=")
    return f"{key}=choice({value})"


def without_globs(overrides: Sequence[str], directories: Sequence[Path]) -> list[str]:
    """The overrides with `algo=glob(q_*)` as a list of options: Hydra would look only into some of the directories.

    Raises:
        UserError: if a glob is not of a group, or no option fits.
    """
    if not any("glob(" in item for item in overrides):
        return list(overrides)
    try:
        parsed = OverridesParser.create().parse_overrides(for_hydra(overrides))
    except HydraException as error:
        raise explain(error, overrides, directories) from error
    written = []
    for item in parsed:
        globbed: object = item.value()  # Hydra's annotation leaves globs out
        word = str(item.input_line)
        if isinstance(globbed, Glob):
            known = options(directories, str(item.key_or_group))
            names = globbed.filter(known)
            if not known:
                raise UserError(f"{word} cannot be: glob() is for groups of config files, such as {', '.join(GROUPS)}")
            if not names:
                raise UserError(f"{word} fits nothing; available: {', '.join(known)}")
            word = f"{item.get_key_element()}={','.join(names)}"
        written.append(word)
    return written


def check_sweep(overrides: Sequence[str], directories: Sequence[Path]) -> bool:
    """Checks every run of a sweep. Of sweepers that choose as they go, all that is fixed, and the swept keys' names.

    Returns:
        whether anybody wants what is kept in `hydra.sweep.dir`: launchers that come back to it later, or the person
        who has set it. Hydra's own launcher only leaves a file there that nobody reads.

    Raises:
        UserError: at the first thing that is wrong.
    """
    try:
        words = for_hydra(overrides)
        refuse_repeated(overrides)
        refuse_words(overrides, in_sweep=True)
        hydra = _sweep_node(overrides, directories)
        params = [f"{key}={value}" for key, value in (hydra["sweeper"].get("params") or {}).items()]
        parsed = OverridesParser.create().parse_overrides([*params, *words])
        task = [item for item in parsed if not item.is_hydra_override()]
        if "BasicSweeper" not in str(hydra["sweeper"].get("_target_")):
            _check_open_ended(task, directories)
            return keeps_files(hydra)
        _refuse_uncountable(task)
        (jobs,) = BasicSweeper.split_arguments(task, None)
    except (HydraException, YAMLError) as error:
        raise explain(error, overrides, directories) from error
    files_are_swept = any(item.is_sweep_override() and str(item.key_or_group) in GROUPS for item in task)
    for job in jobs:
        try:
            config = load_config(job, directories, in_sweep=True)
            if runs_here(hydra):  # other machines may have more memory
                from rlrun.config.memory_need import refuse_too_large  # imports torch, as the first run would

                refuse_too_large(config, None)
        except UserError as error:
            error.details = tuple(_of_the_sweeper(line, params, words) for line in error.details)
            raise
        if files_are_swept:
            _refuse_other_launcher(job, hydra, directories)
    return keeps_files(hydra)


def _of_the_sweeper(line: str, params: Sequence[str], words: Sequence[str]) -> str:
    """A line about where a value was set; a sweeper's params, which a file has, come to a run as words do."""
    place, _, word = line.partition(": ")
    key = word.partition("=")[0]
    in_a_file = any(item.startswith(f"{key}=") for item in params) and word not in words
    is_place = place == "set on the command line"
    return f"set in hydra.sweeper.params of a config file: {word}" if is_place and in_a_file else line


def _refuse_uncountable(task: Sequence[Override]) -> None:
    """Hydra's own sweeper runs nothing at all, and says nothing, where one key has no values."""
    for item in task:
        if item.is_interval_sweep():
            raise UserError(
                f"{item.input_line} has no first value: Hydra's own sweeper takes values one by one, as "
                f"{item.key_or_group}=1,2; an interval is for sweepers that choose (hydra/sweeper=)"
            )
        if item.is_sweep_override() and next(item.sweep_string_iterator(), None) is None:
            raise UserError(f"{item.input_line} is no value at all, so nothing would be run")
    number = 1
    for item in (item for item in task if item.is_sweep_override()):
        number *= sum(1 for _ in islice(item.sweep_string_iterator(), _MOST_RUNS + 1))
        if number > _MOST_RUNS:
            raise UserError(
                f"{item.input_line} makes a sweep of more than {_MOST_RUNS:,} runs, all of which are checked before "
                "the first begins: sweep over fewer values at a time"
            )


def _check_open_ended(task: Sequence[Override], directories: Sequence[Path]) -> None:
    """What can be checked of a sweep whose sweeper chooses values as it goes."""
    fixed = [str(item.input_line) for item in task if not item.is_sweep_override()]
    config = load_config(fixed, directories, in_sweep=True)
    keys = valid_keys(config.as_plain())
    for item in task:
        key = str(item.key_or_group)
        if item.is_sweep_override() and key not in keys:
            raise UnknownKeyError(f"unknown key {key}; nearest: {', '.join(closest(key, keys))}", key)
    swept = {str(item.key_or_group): str(item.input_line) for item in task if item.is_sweep_override()}
    open_keys = [key for key, why in unused_keys(config).items() if why.decided_by in swept]
    refuse_unused(config, [word for key, word in swept.items() if key not in open_keys])


def _sweep_node(overrides: Sequence[str], directories: Sequence[Path]) -> dict[str, Any]:
    """Hydra's own node as the sweep itself has it: what is swept has no part in it."""
    return _node(for_sweep(overrides), directories, RunMode.MULTIRUN)


def _node(overrides: Sequence[str], directories: Sequence[Path], mode: RunMode) -> dict[str, Any]:
    loader = ConfigLoaderImpl(create_config_search_path(str(directories[-1])))
    words = [*for_hydra(overrides), *search_path(directories)]
    composed = loader.load_configuration("config", words, run_mode=mode)
    content = OmegaConf.to_container(composed.hydra, resolve=False)
    assert isinstance(content, dict)
    hydra = {str(key): value for key, value in content.items()}
    refuse_settings(hydra, directories, in_sweep=True)
    return hydra


def _refuse_other_launcher(job: Sequence[str], hydra: Mapping[str, Any], directories: Sequence[Path]) -> None:
    """A file that is itself swept cannot say how the sweep is launched, since that is settled before."""
    own = _node(job, directories, RunMode.RUN)
    directory = set_sweep_directory(own)
    if directory not in (None, set_sweep_directory(hydra)):
        raise UserError(
            f"a config file of {' '.join(job)} sets hydra.sweep.dir={directory}, which Hydra ignores where the file is "
            "swept over: give hydra.sweep.dir= on the command line"
        )
    for part in PARTS:
        if given(own, part) and own[part] != hydra[part]:
            raise UserError(
                f"a config file of {' '.join(job)} sets hydra.{part} ({in_words(given(own, part))}), which Hydra "
                f"ignores where the file is swept over: give hydra/{part}= on the command line"
            )
