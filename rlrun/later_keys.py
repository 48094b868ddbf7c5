"""Keys that came later: what they say of a run whose `config.yaml` is older than they are.

Each has the value that means what was done before there was such a key, whatever today's default is. A key that is
added to a class of ours gets its line here, so that unfinished runs go on; with that value it does not count among what
defines an experiment, so that the same command finds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LATER_KEYS: Mapping[str, Mapping[str, Any]] = {  # by `_target_`
    "rlrun.agents.dqn.DQN": {"replay_storage": "memory", "replay_folder": None},
    "rlrun.envs.gymnasium.GymnasiumEnv": {"wrappers": [], "channels": "auto"},
    "rlrun.device.Device": {"precision": "float32"},
}


def with_later_keys(config: Any) -> Any:
    """`config`, a tree as YAML has it, with those that it lacks; all others are as they were."""
    if isinstance(config, Mapping):
        inside = {key: with_later_keys(value) for key, value in config.items()}
        return {**LATER_KEYS.get(str(config.get("_target_")), {}), **inside}
    return [with_later_keys(item) for item in config] if isinstance(config, list) else config
