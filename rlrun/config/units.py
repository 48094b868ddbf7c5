"""Units of configured numbers, by the names of their keys: a duration carries its unit in its name."""

from __future__ import annotations

_BY_ENDING = {
    "_steps": "agent steps",
    "_frames": "emulator frames",
    "_seconds": "seconds",
    "_updates": "updates",
    "_sweeps": "sweeps",
    "num_envs": "environment slots",
    "num_threads": "threads",
    "num_states": "states",
    "n_step": "steps",
    "episodes": "episodes",
    "episodes_per_batch": "episodes",
    "batch_size": "transitions",
    "epsilon": "probability",
    "slip": "probability",
    "reward": "reward units",
    "reward_clip": "reward units",
    "huber_delta": "reward units",
    "tolerance": "reward units",
    "initial_q": "reward units",
    "initial_value": "reward units",
    "entropy_bonus": "reward units per nat",
    "kernels": "pixels",
    "strides": "pixels",
}


def unit_of(key: str) -> str | None:
    """The unit of a key, or None where its name does not say it: then it has none, or its meaning tells."""
    name = key.rpartition(".")[2]
    return next((unit for ending, unit in _BY_ENDING.items() if name.endswith(ending)), None)
