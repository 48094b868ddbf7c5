"""Sweeps: every run is checked before the first begins, and launchers that Hydra would ignore are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from yaml import YAMLError

from rlrun.composition import explain, for_hydra, load_config
from rlrun.config_files import GROUPS, search_path
from rlrun.config_keys import valid_keys
from rlrun.errors import UnknownKeyError, UserError
from rlrun.suggestions import closest

_PARTS = ("launcher", "sweeper")
_NOWHERE = ("hydra.run.dir", "hydra.output_subdir")
_OF_SWEEPS = (*(f"hydra{sign}{part}" for part in _PARTS for sign in "/."), "hydra.sweep")
_OWN = ("BasicLauncher", "BasicSweeper")


def refuse_other_directory(overrides: Sequence[str]) -> None:
    """Refuses Hydra's own words for where a run is kept: rlrun would not heed them.

    Raises:
        UserError: naming the word.
    """
    for item in overrides:
        if item.lstrip("+~").split("=")[0] in _NOWHERE:
            raise UserError(f"{item} would do nothing: runs_dir= and name= say where a run is kept")


def refuse_without_sweep(overrides: Sequence[str]) -> None:
    """Refuses words that only a sweep would heed.

    Raises:
        UserError: naming the word.
    """
    for item in overrides:
        if item.lstrip("+~").startswith("hydra.mode="):
            raise UserError(f"{item} cannot be: -m makes a sweep, and nothing else does")
        if item.lstrip("+~").startswith(_OF_SWEEPS):
            raise UserError(f"{item} would do nothing: launchers and sweepers are for sweeps; add -m, or leave it out")


def refuse_ignored(hydra: Mapping[str, Any]) -> None:
    """Refuses a launcher or sweeper that a config file sets where there is no sweep.

    Args:
        hydra: Hydra's own node of a run that is not part of a sweep.

    Raises:
        UserError: naming what is set.
    """
    for part in _PARTS:
        settings = _given(hydra, part)
        if settings:
            raise UserError(
                f"a config file sets hydra.{part} ({_in_words(settings)}), which would do nothing without a sweep: "
                "add -m, or leave that file out"
            )


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


def check_sweep(overrides: Sequence[str], directories: Sequence[Path]) -> None:
    """Checks every run of a sweep. Of sweepers that choose as they go, all that is fixed, and the swept keys' names.

    Raises:
        UserError: at the first thing that is wrong.
    """
    try:
        hydra = _sweep_node(overrides, directories)
        params = [f"{key}={value}" for key, value in (hydra.get("sweeper", {}).get("params") or {}).items()]
        parsed = OverridesParser.create().parse_overrides([*params, *for_hydra(overrides)])
    except (HydraException, YAMLError) as error:
        raise explain(error, overrides, directories) from error
    task = [item for item in parsed if not item.is_hydra_override()]
    if "BasicSweeper" in str(hydra["sweeper"].get("_target_")):
        (jobs,) = BasicSweeper.split_arguments(task, None)
        files_are_swept = any(item.is_sweep_override() and str(item.key_or_group) in GROUPS for item in task)
        for job in jobs:
            load_config(job, directories)
            if files_are_swept:
                _refuse_other_launcher(job, hydra, directories)
        return
    fixed = [str(item.input_line) for item in task if not item.is_sweep_override()]
    config = load_config(fixed, directories)
    keys = valid_keys(config.as_plain())
    for item in task:
        key = str(item.key_or_group)
        if item.is_sweep_override() and key not in keys:
            raise UnknownKeyError(f"unknown key {key}; nearest: {', '.join(closest(key, keys))}", key)


def _sweep_node(overrides: Sequence[str], directories: Sequence[Path]) -> dict[str, Any]:
    """Hydra's own node as the sweep itself has it: what is swept has no part in it."""
    return _node(for_sweep(overrides), directories, RunMode.MULTIRUN)


def _node(overrides: Sequence[str], directories: Sequence[Path], mode: RunMode) -> dict[str, Any]:
    loader = ConfigLoaderImpl(create_config_search_path(str(directories[-1])))
    words = [*for_hydra(overrides), *search_path(directories)]
    composed = loader.load_configuration("config", words, run_mode=mode)
    parts = {part: OmegaConf.to_container(composed.hydra[part], resolve=False) for part in _PARTS}
    return {part: value for part, value in parts.items() if isinstance(value, dict)}


def _refuse_other_launcher(job: Sequence[str], hydra: Mapping[str, Any], directories: Sequence[Path]) -> None:
    """A file that is itself swept cannot say how the sweep is launched, since that is settled before."""
    own = _node(job, directories, RunMode.RUN)
    for part in _PARTS:
        if _given(own, part) and own[part] != hydra[part]:
            raise UserError(
                f"a config file of {' '.join(job)} sets hydra.{part} ({_in_words(_given(own, part))}), which Hydra "
                f"ignores where the file is swept over: give hydra/{part}= on the command line"
            )


def _given(hydra: Mapping[str, Any], part: str) -> dict[str, Any]:
    """What is not as Hydra has it by itself."""
    return {
        key: value
        for key, value in hydra[part].items()
        if value is not None and not (key == "_target_" and str(value).endswith(_OWN))
    }


def _in_words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items())
