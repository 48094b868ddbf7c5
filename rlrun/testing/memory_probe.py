"""A task that needs memory, and an agent that has nothing else: any error with memory shows in its reward."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlrun.rng import hash64, stream_seeds
from rlrun.types import (
    ActorOutput,
    Array,
    BoolArray,
    Collection,
    EnvSpec,
    Int64Array,
    Metrics,
    Rollout,
    State,
    TimeStep,
)

NUM_CUES = 5
BLANK = NUM_CUES  # every observation of an episode after the first


class CueEnv:
    """An episode's first observation is a cue, all others are blank; each step pays 1 if the action is the cue.

    Episode e of slot b lasts 2 + (b + e) % 4 steps; those of even numbers terminate, the others reach a time limit.

    Args:
        num_envs: slots.
    """

    def __init__(self, num_envs: int) -> None:
        self.spec = EnvSpec("cue", spaces.Discrete(NUM_CUES + 1), spaces.Discrete(NUM_CUES), num_envs)
        self._slot: Int64Array = np.arange(num_envs)
        self._seed = 0
        self._episode: Int64Array = np.zeros(num_envs, np.int64)
        self._time: Int64Array = np.zeros(num_envs, np.int64)

    @property
    def cue(self) -> Int64Array:
        """[B] of the running episodes."""
        cue: Int64Array = hash64(stream_seeds(self._seed, self._slot, self._episode), 0).astype(np.int64) % NUM_CUES
        return np.abs(cue)

    def _obs(self) -> Array:
        return np.where(self._time == 0, self.cue, BLANK)

    def reset(self, seed: int, first_slot: int = 0) -> Array:
        """Starts episode 0 everywhere."""
        self._seed = seed
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
        """One step."""
        reward = (action == self.cue).astype(np.float32)
        self._time += 1
        last = self._time == 2 + (self._slot + self._episode) % 4
        discount = np.where(last & (self._episode % 2 == 0), 0.0, 1.0).astype(np.float32)
        next_obs = self._obs()
        return TimeStep(next_obs, reward, discount, last, self.restart(last), {})

    def close(self) -> None:
        """Nothing is open."""

    def state_dict(self) -> State:
        """Seed, slots, episodes and times."""
        arrays = {"slot": self._slot, "episode": self._episode, "time": self._time}
        return {"seed": self._seed, **{name: array.copy() for name, array in arrays.items()}}

    def load_state_dict(self, state: State) -> Array:
        """Continues exactly. Returns obs."""
        self._seed = state["seed"]
        self._slot, self._episode, self._time = (state[name].copy() for name in ("slot", "episode", "time"))
        return self._obs()


class Memory(NamedTuple):
    """The probe's memory of each slot."""

    cue: Tensor  # [B] int64; -1: no episode has begun
    age: Tensor  # [B, 1] float32, steps since it was seen


class MemoryProbe:
    """Repeats the cue that it remembers: every reward is 1, unless its memory is mixed up.

    Args:
        collection: what `learn` gets.
        device: where the memory lives.
    """

    def __init__(self, collection: Collection, device: torch.device) -> None:
        self.collection = collection
        self.finished = False
        self._device = device

    def initial_carry(self, num_envs: int) -> Memory:
        """Nothing seen."""
        cue = torch.full((num_envs,), -1, device=self._device)
        return Memory(cue, torch.zeros(num_envs, 1, device=self._device))

    def act(self, obs: Tensor, carry: Memory, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """The cue of the episode; read from the observation only where nothing is remembered."""
        del rng, explore
        cue = torch.where(carry.cue < 0, obs, carry.cue)
        return ActorOutput(cue % NUM_CUES, Memory(cue, carry.age + 1), {})

    def learn(self, rollout: Rollout) -> Metrics:
        """Nothing to learn; reports the share of correct actions."""
        return {"memory/right": rollout.reward[rollout.mask].mean()}

    def state_dict(self) -> State:
        """No state."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """No state."""
        del state
