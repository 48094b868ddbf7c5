"""Composing configs with Hydra outside of its jobs, and saying in one line why it would not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict

from rlrun.config import Config, check
from rlrun.config_files import GROUPS, one_line, options, resolve_env, unknown_option
from rlrun.errors import UserError, nearest

_NULL_ANYWAY = ("experiment", "debug")


def load_config(overrides: Sequence[str], directories: Sequence[Path]) -> Config:
    """The checked config of one run.

    Args:
        overrides: as on the command line.
        directories: where config files are searched; the last one has `config.yaml`.

    Raises:
        UserError: if anything is wrong with it.
    """
    overrides = resolve_env(directories, overrides)
    try:
        composed, choices = _compose(for_hydra(overrides), directories)
    except HydraException as error:
        raise explain(error, overrides, directories) from error
    task = [item for item in overrides if not item.startswith(("hydra.", "hydra/"))]
    return check(composed, choices, task, directories)


def sweep_jobs(overrides: Sequence[str], directories: Sequence[Path]) -> list[list[str]]:
    """The overrides of every run of a sweep, as Hydra's own sweeper makes them.

    Raises:
        UserError: if an override cannot be read.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(for_hydra(overrides))
        (jobs,) = BasicSweeper.split_arguments(parsed, None)
    except HydraException as error:
        raise explain(error, overrides, directories) from error
    return [list(job) for job in jobs]


def for_hydra(overrides: Sequence[str]) -> list[str]:
    """The overrides as Hydra can take them: it does not know `group=null`.

    `preset=null` becomes a quoted name, which is optional and not there; the groups that are null anyway are left out.

    Raises:
        UserError: if a group is null that cannot be.
    """
    translated = []
    for item in overrides:
        group, _, value = item.partition("=")
        names = value.split(",")
        if group not in GROUPS or "null" not in names:
            translated.append(item)
        elif group == "preset":
            translated.append("preset=" + ",".join("'null'" if name == "null" else name for name in names))
        elif group not in _NULL_ANYWAY or len(names) > 1:
            raise UserError(f"{item} cannot be: {group} must be chosen by name here")
    return translated


def _compose(overrides: list[str], directories: Sequence[Path]) -> tuple[DictConfig, dict[str, str | None]]:
    """The config without Hydra's node, and the option of every group."""
    added = [f"hydra.searchpath=[file://{directory}]" for directory in directories[:-1]]  # at most one
    with initialize_config_dir(str(directories[-1]), version_base="1.3"):
        composed = compose("config", overrides=[*overrides, *added], return_hydra_config=True)
    choices = dict(composed.hydra.runtime.choices)
    OmegaConf.set_readonly(composed, False)
    with open_dict(composed):
        del composed["hydra"]
    return composed, choices


def explain(error: HydraException, overrides: Sequence[str], directories: Sequence[Path]) -> UserError:
    """A Hydra error in one line of our own.

    Args:
        error: what composing raised.
        overrides: what was composed.
        directories: where config files are searched.
    """
    text = str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return UserError(unknown_option(group.lstrip("/"), name, sorted(error.options or [])))
    if match := re.match(r"You must specify '([^']+)'", text):
        known = ", ".join(options(directories, match[1]))
        return UserError(f"no {match[1]} is chosen: give {match[1]}=, one of {known}")
    if match := re.match(r"(?:Could not override|Could not delete from config\.) '([^']+)'", text):
        return UserError(_unknown_key(match[1], _without_values(overrides, directories)))
    if match := re.match(r"Ambiguous value for argument '([^']+)'", text):
        return UserError(f"{match[1]} gives several values: add -m to run each of them, or write a list as [a,b]")
    if isinstance(error, OverrideParseException):
        return UserError(f"cannot read '{error.override}' ({one_line(error)}): overrides look like key=value")
    return UserError(one_line(error))


def _without_values(overrides: Sequence[str], directories: Sequence[Path]) -> Mapping[str, Any]:
    """The same config without the keys that were set: it knows what keys there are."""
    chosen = [item for item in overrides if item.split("=")[0] in GROUPS and "," not in item]
    with suppress(HydraException):  # then it is a group that is wrong, and top-level names are all that helps
        composed, _ = _compose(for_hydra(chosen), directories)
        return {str(key): value for key, value in composed.items()}
    return {}


def _unknown_key(key: str, valid: Mapping[str, Any]) -> str:
    *parents, name = key.split(".")
    inside: Any = valid
    for depth, parent in enumerate(parents):
        if parent not in inside:
            return _unknown_key(".".join(parents[: depth + 1]), valid)
        inside = inside[parent]
        if not isinstance(inside, Mapping | DictConfig):
            return f"unknown key {key}: {'.'.join(parents[: depth + 1])} has no keys"
    names = [str(candidate) for candidate in inside if not str(candidate).startswith("_")]
    if not parents:
        names += GROUPS
    prefix = ".".join(parents) + "." if parents else ""
    close = ", ".join(prefix + candidate for candidate in nearest(name, names))
    return f"unknown key {key}; nearest: {close}"
