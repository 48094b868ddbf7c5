"""From a composed config to a checked one. Nothing is built, and no directory is made, before all of it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from rlrun.config.added_files import refuse_misread
from rlrun.config.chosen_files import ChosenFiles
from rlrun.config.chosen_options import refuse_clashes, refuse_missing, unused_presets
from rlrun.config.config import CONFIG_KEYS, Config, check_plain
from rlrun.config.files import identity, one_line
from rlrun.config.hydra_words import for_hydra
from rlrun.config.named_files import refuse_missing_files
from rlrun.config.problem_report import check_of_some_network, reported, unknown_key
from rlrun.config.unused_keys import refuse_unused
from rlrun.errors import UnknownKeyError, UserError, WrongKeyError


def check(
    composed: DictConfig, choices: Mapping[str, str | None], overrides: Sequence[str], directories: Sequence[Path]
) -> Config:
    """Checks everything about a composed config.

    Args:
        composed: without Hydra's own node.
        choices: the option of every group.
        overrides: what the command line asked for.
        directories: where config files are searched.

    Raises:
        UserError: at the first thing that is wrong.
    """
    chosen = ChosenFiles(for_hydra(overrides), directories)
    refuse_missing(chosen, directories)
    refuse_clashes(chosen, directories)
    refuse_misread(chosen, directories, CONFIG_KEYS)
    remarks = unused_presets(chosen, directories)
    missing = _missing(composed)
    if missing:
        written = OmegaConf.to_container(composed, resolve=False)
        assert isinstance(written, dict)
        raw = {str(key): value for key, value in written.items()}
        unknown = unknown_key(raw)  # first, since a misspelt key may be why another one is missing
        if unknown is not None:
            problem = UnknownKeyError(f"unknown key {unknown}", unknown)
            raise reported(problem, raw, choices, overrides, directories)
        raise UserError(f"{missing[0]} has no value yet: give {missing[0]}=...")
    raw = _resolved(composed)
    try:
        check_of_some_network(raw.get("network"), directories)  # with the preset's numbers, used or not
        used = _resolved(_with_own_network(composed, chosen))
        checked = check_plain(used, {"algo": str(choices.get("algo"))}, overrides)
        refuse_missing_files(checked)
    except WrongKeyError as problem:
        raise reported(problem, raw, choices, overrides, directories) from problem
    refuse_unused(checked, overrides, chosen, directories)
    labels = _labels(raw, choices, directories)
    if chosen.presets:
        labels["preset"] = ", ".join(chosen.presets)
    return replace(checked, labels=labels, remarks=tuple(remarks))


def _missing(composed: DictConfig) -> list[str]:
    try:
        return sorted(OmegaConf.missing_keys(composed))
    except OmegaConfBaseException as error:
        raise UserError(one_line(error)) from error


def _resolved(composed: DictConfig) -> dict[str, Any]:
    try:
        container = OmegaConf.to_container(composed, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(one_line(error)) from error
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _with_own_network(composed: DictConfig, chosen: ChosenFiles) -> DictConfig:
    """The config with the network that was named as its file has it: a preset's numbers were tuned for another one."""
    if chosen.weak_preset is None:
        return composed
    result = composed.copy()
    with open_dict(result):
        result["network"] = chosen.network_without_preset()
    return result


def _labels(raw: Mapping[str, Any], choices: Mapping[str, str | None], directories: Sequence[Path]) -> dict[str, str]:
    """Names for people and paths: `pong`, `gym-Acrobot-v1`, `atari-space_invaders`."""
    env = str(choices.get("env"))
    found = identity(directories, env)
    about = next((str(raw["env"][key]) for key in ("game", "id") if raw["env"].get(key) is not None), None)
    if about is not None and (found is None or found[1] != about):
        env = f"{env}-{about}"
    return {"algo": str(choices.get("algo")), "env": env}
