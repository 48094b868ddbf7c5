"""A network that the command line names keeps its file's numbers: a preset's were tuned for another one.

What the experiment and the command line say of it still counts. Only the preset that is found by itself does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from rlrun.chosen_options import preset_is_automatic
from rlrun.config_files import options, search_path

_NAMES = re.compile(r"network=(?!\{)")  # network={hidden: [8]} names none


def leaves_preset_out(choices: Mapping[str, str | None], overrides: Sequence[str]) -> bool:
    """Whether a network is named that is not the preset's business.

    Args:
        choices: the option of every group.
        overrides: what the command line asked for.
    """
    return any(_NAMES.match(item) for item in overrides) and preset_is_automatic(choices)


def without_preset(
    composed: DictConfig, choices: Mapping[str, str | None], overrides: Sequence[str], directories: Sequence[Path]
) -> DictConfig:
    """The config with its network as it would be without the preset, where that is left out.

    Args:
        composed: without Hydra's own node, unresolved. Not changed.
        choices: the option of every group.
        overrides: what the command line asked for.
        directories: where config files are searched; the last one has `config.yaml`.

    Raises:
        HydraException: if there is something in the config that only works with the preset.
    """
    if not leaves_preset_out(choices, overrides) or choices.get("preset") not in options(directories, "preset"):
        return composed
    from rlrun.composition import for_hydra  # not above: it reads what is here

    words = [item for item in for_hydra(overrides) if not item.startswith("preset=")]
    loader = ConfigLoaderImpl(create_config_search_path(str(directories[-1])))  # not the one of a job that may run
    alone = loader.load_configuration("config", [*words, "preset='null'", *search_path(directories)], RunMode.RUN)
    written = OmegaConf.to_container(alone, resolve=False)
    assert isinstance(written, dict)
    result = composed.copy()
    with open_dict(result):
        result["network"] = written.get("network")
    return result
