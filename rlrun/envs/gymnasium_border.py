"""The border to other people's environments: all that crosses it is checked and encoded here, and nowhere else."""

from __future__ import annotations

from typing import NamedTuple

from gymnasium import spaces

from rlrun.envs.gymnasium_making import Env
from rlrun.envs.gymnasium_spaces import Channels, Encoding, actions_of, encoding_of
from rlrun.types import Array


class Shown(NamedTuple):
    """What a step shows, once it is known to be right."""

    obs: Array  # [...] as agents see it
    reward: float
    terminated: bool
    truncated: bool


class Border:
    """Resets and steps instances of one environment, in the terms of agents.

    Args:
        env: any instance; all of them have its spaces.
        env_id: for messages.
        channels: which axis of pictures the channels are.

    Raises:
        UserError: if its spaces are not supported.
    """

    def __init__(self, env: Env, env_id: str, channels: Channels) -> None:
        self.action: spaces.Discrete
        self.action, self._first_action = actions_of(env.action_space, env_id)
        self._encoding = encoding_of(env.observation_space, env_id, channels)

    @property
    def encoding(self) -> Encoding:
        """How agents see its observations."""
        return self._encoding

    def reset(self, env: Env, seed: int) -> Array:
        """Begins an episode. Returns its first observation."""
        obs, _ = env.reset(seed=seed)
        return self._encoding.encode(obs)

    def step(self, env: Env, action: int) -> Shown:
        """Plays an action, counted from 0."""
        obs, reward, terminated, truncated, _ = env.step(action + self._first_action)
        return Shown(self._encoding.encode(obs), float(reward), bool(terminated), bool(truncated))
