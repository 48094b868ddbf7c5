"""An environment whose numbers can be worked out by hand, for tests of collectors, agents and replays."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from rlrun.types import Array, BoolArray, EnvSpec, Int64Array, State, TimeStep


class ScriptedEnv:
    """Observations identify themselves: obs = (slot, episode, time), float32 [B, 3].

    Episode e of slot b lasts 2 + (b + e) % 3 steps. Even episodes terminate (discount 0), odd ones hit a time limit
    (discount 1). The reward of step t is 1 + 10 t + 100 b, and 0.5 more for action 1.
    """

    def __init__(self, num_envs: int) -> None:
        low, high = np.zeros(3, np.float32), np.full(3, np.inf, np.float32)
        self.spec = EnvSpec("scripted", spaces.Box(low, high), spaces.Discrete(2), num_envs)
        self._slot = np.arange(num_envs)  # their numbers
        self._episode = np.zeros(num_envs, np.int64)
        self._time = np.zeros(num_envs, np.int64)

    def _obs(self) -> Array:
        return np.stack([self._slot, self._episode, self._time], axis=1).astype(np.float32)

    def reset(self, seed: int, first_slot: int = 0) -> Array:
        """Starts episode 0 everywhere; nothing is random, so the seed is not used."""
        del seed
        self._slot = first_slot + np.arange(self.spec.num_envs)
        self._episode[:] = 0
        self._time[:] = 0
        return self._obs()

    def restart(self, slots: BoolArray) -> Array:
        """Begins the next episode in `slots`."""
        self._episode[slots] += 1
        self._time[slots] = 0
        return self._obs()

    def step(self, action: Int64Array) -> TimeStep:
        """One step, as scripted."""
        reward = (1 + 10 * self._time + 100 * self._slot + 0.5 * action).astype(np.float32)
        self._time += 1
        last = self._time == 2 + (self._slot + self._episode) % 3
        terminates = last & (self._episode % 2 == 0)
        next_obs = self._obs()
        obs = self.restart(last)
        return TimeStep(next_obs, reward, np.where(terminates, 0.0, 1.0).astype(np.float32), last, obs, {})

    def close(self) -> None:
        """Nothing is open."""

    def state_dict(self) -> State:
        """Episode numbers and times."""
        return {"slot": self._slot.copy(), "episode": self._episode.copy(), "time": self._time.copy()}

    def load_state_dict(self, state: State) -> Array:
        """Continues exactly. Returns obs."""
        self._slot = state["slot"].copy()
        self._episode = state["episode"].copy()
        self._time = state["time"].copy()
        return self._obs()
