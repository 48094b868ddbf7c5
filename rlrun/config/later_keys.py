"""Keys that came later: what they say of a run whose `config.yaml` is older than they are.

Each has the value that means what was done before there was such a key, whatever today's default is. A key that is
added to a class of ours gets its line here, so that unfinished runs go on; with that value it does not count among what
defines an experiment, so that the same command finds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlrun.config.catalogue import SETTINGS

LATER_KEYS: Mapping[str, Mapping[str, Any]] = {  # by `_target_`, or the class of a section
    "rlrun.envs.gymnasium.GymnasiumEnv": {
        "wrappers": [],
        "channels": "auto",
        "fresh_instances": False,
        "replay_probe_seconds": 2.0,
    },
    "rlrun.compute.device.Device": {"precision": "float32"},
    "rlrun.loop.evaluate.EvaluationSettings": {
        "max_episode_frames": None,
        "greedy_episodes": 0,
        "greedy_limit_steps": 4500,
    },
}


def with_later_keys(config: Any, section: str | None = None) -> Any:
    """`config`, a tree as YAML has it, with those that it lacks; all others are as they were.

    Args:
        config: of a run, or a part of it.
        section: the class whose fields it has, if it is a section, which names none.
    """
    if isinstance(config, Mapping):
        inside = {key: with_later_keys(value, SETTINGS.get(str(key))) for key, value in config.items()}
        return {**LATER_KEYS.get(str(config.get("_target_", section)), {}), **inside}
    return [with_later_keys(item) for item in config] if isinstance(config, list) else config
