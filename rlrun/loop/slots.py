"""Acting in the slots of an environment, step by step, for training and evaluation alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch

from rlrun.compute.transfer import Upload
from rlrun.loop.meter import EpisodeMeter
from rlrun.numerics.tree import tree_leaves, tree_where
from rlrun.protocols import VecEnv, reset
from rlrun.types import ActorOutput, BoolArray, Carry, Episodes, Int64Array, Obs, ObsArray, TimeStep

Act = Callable[[Obs, Carry, torch.Generator], ActorOutput]


class Acted(NamedTuple):
    """One step of every slot."""

    output: ActorOutput
    action: Int64Array  # [B] what the environment was given
    result: TimeStep  # of the environment; `last` also where an episode was cut off
    ended: Episodes  # those that count


class Slots:
    """The slots of an environment in the middle of their episodes: what is observed, remembered and counted so far.

    Args:
        env: the environment.
        upload: how arrays are transferred to the agent's device.
        limit_steps: agent steps after which an episode that counts is cut off.
    """

    def __init__(self, env: VecEnv, upload: Upload, limit_steps: float = math.inf) -> None:
        self.env = env
        self.obs: Obs | None = None  # [B, ...] what to act on next; None before the first reset
        self.carry: Carry = ()
        self.meter = EpisodeMeter(env.spec.name, env.spec.num_envs, env.spec.num_players)
        self.seconds = {"env": 0.0, "act": 0.0}  # wall time so far
        self._upload = upload
        self._limit_steps = limit_steps

    def reset(self, seed: int, first_slot: int, carry: Carry) -> None:
        """Starts the streams of `seed` in every slot, with the memory `carry`."""
        self.carry = carry
        self.show(reset(self.env, seed, first_slot), np.ones(self.env.spec.num_envs, bool))

    def restart(self, slots: BoolArray) -> None:
        """Abandons the episodes of the slots in the mask [B] and begins new ones; the memory stays."""
        self.show(self.env.restart(slots), slots)

    def show(self, obs: ObsArray, begun: BoolArray) -> None:
        """Acts on `obs` [B, ...] next; episodes begin in the slots of the mask [B]."""
        self.meter.begun(obs, begun)
        self.obs = self._upload.begun(obs)

    def step(self, act: Act, rng: torch.Generator, initial_carry: Carry, counts: BoolArray) -> Acted:
        """Acts once in every slot.

        Args:
            act: chooses actions for observations and memory.
            rng: of the agent.
            initial_carry: the memory at the start of an episode, for slots whose episode ends.
            counts: [B] the slots whose episodes count.
        """
        started = perf_counter()
        with torch.no_grad():
            output = act(self.obs, self.carry, rng)
        action = output.action.cpu().numpy()
        acted = perf_counter()
        result = self.env.step(action)
        if self._limit_steps < math.inf:
            result = self._cut(result, counts)
        self.obs = self._upload.following(self.obs, result)
        self.seconds["act"] += acted - started
        self.seconds["env"] += perf_counter() - acted
        ended = self.meter.record(result, counts)
        self.carry = output.carry
        if tree_leaves(initial_carry) and result.last.any():
            self.carry = tree_where(self._upload.array(result.last), initial_carry, output.carry)
        return Acted(output, action, result, ended)

    def _cut(self, result: TimeStep, counts: BoolArray) -> TimeStep:
        cut = counts & ~result.last & (self.meter.running_length + 1 >= self._limit_steps)
        return result._replace(last=result.last | cut, obs=self.env.restart(cut)) if cut.any() else result
