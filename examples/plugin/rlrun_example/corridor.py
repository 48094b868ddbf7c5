"""A corridor with head wind, in many slots at once. All its randomness is a hash of (stream seed, step)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from gymnasium import spaces
from pydantic import Field

from rlrun import (
    Array,
    BoolArray,
    EnvSpec,
    Float64Array,
    Int64Array,
    State,
    TimeStep,
    hash_uniform,
    stream_seeds,
)

_LEFT, _RIGHT = -1, 1
_STEP_REWARD, _GOAL_REWARD = -0.1, 1.0


class Corridor:
    """Cells 0 ... length - 1; action 0 walks left, 1 right. The right end terminates and pays 1, every step costs 0.1.

    Args:
        num_envs: slots that step together.
        length: cells; episodes begin in one of the left half.
        wind: probability that a step to the right is blown one to the left instead.
        max_episode_steps: the time limit (discount 1, last True), agent steps.
    """

    def __init__(
        self,
        *,
        num_envs: Annotated[int, Field(gt=0)],
        length: Annotated[int, Field(ge=4)],
        wind: Annotated[float, Field(ge=0, lt=1)],
        max_episode_steps: Annotated[int, Field(gt=0)],
    ) -> None:
        self.spec = EnvSpec("corridor", spaces.Discrete(length), spaces.Discrete(2), num_envs)
        self._length, self._wind, self._max_episode_steps = length, wind, max_episode_steps
        self._seed = 0
        self._slots = np.arange(num_envs)
        self._episode, self._time, self._cell = (np.zeros(num_envs, np.int64) for _ in range(3))

    def reset(self, seed: int) -> Array:
        """Starts episode 0 of every slot. Returns obs [B]."""
        self._seed = seed
        self._episode[:] = -1  # restart counts up
        return self.restart(np.ones(len(self._slots), bool))

    def restart(self, slots: BoolArray) -> Array:
        """Begins the next episode in the slots of the mask [B]. Returns obs [B]."""
        self._episode[slots] += 1
        self._time[slots] = 0
        first = (self._random() * (self._length // 2)).astype(np.int64)
        self._cell[slots] = first[slots]
        return self._cell.copy()

    def step(self, action: Int64Array) -> TimeStep:
        """Plays action [B]."""
        self._time += 1
        right = (action == 1) & (self._random() >= self._wind)
        self._cell = np.maximum(self._cell + np.where(right, _RIGHT, _LEFT), 0)
        at_goal = self._cell == self._length - 1
        last = at_goal | (self._time == self._max_episode_steps)
        reward = np.where(at_goal, _GOAL_REWARD, 0.0) + _STEP_REWARD
        next_obs = self._cell.copy()
        obs = self.restart(last)
        discount = np.where(at_goal, 0.0, 1.0)  # at the time limit the future is worth as much as ever
        return TimeStep(next_obs, reward.astype(np.float32), discount.astype(np.float32), last, obs, {})

    def close(self) -> None:
        """Nothing is open."""

    def _random(self) -> Float64Array:
        """[B] uniform in [0, 1), one number for each step of each episode."""
        return hash_uniform(stream_seeds(self._seed, self._slots, self._episode), self._time)

    def state_dict(self) -> State:
        """All that steps change."""
        return {
            "seed": self._seed,
            "episode": self._episode.copy(),
            "time": self._time.copy(),
            "cell": self._cell.copy(),
        }

    def load_state_dict(self, state: State) -> Array:
        """Continues in the middle of the episodes. Returns obs [B]."""
        self._seed = state["seed"]
        self._episode, self._time, self._cell = (state[name].copy() for name in ("episode", "time", "cell"))
        return self._cell.copy()
