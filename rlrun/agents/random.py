"""The random agent: every action equally likely. The yardstick below everything else."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from rlrun.types import ActorOutput, Carry, EnvSpec, Metrics, Rollout, State, Steps


class Random:
    """Acts uniformly at random, whether it explores or is evaluated, and learns nothing.

    Args:
        rollout_steps: steps of every slot per turn of the loop.
        spec: the environment's.
    """

    def __init__(self, *, rollout_steps: Annotated[int, Field(gt=0)], spec: EnvSpec) -> None:
        self.collection = Steps(rollout_steps)
        self.finished = False
        self._num_actions = spec.num_actions

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def act(self, obs: Tensor, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """A uniform action for each of the B slots."""
        del explore
        action = torch.randint(self._num_actions, obs.shape[:1], generator=rng, device=obs.device)
        return ActorOutput(action, carry, {})

    def learn(self, rollout: Rollout) -> Metrics:
        """Nothing to learn."""
        del rollout
        return {}

    def state_dict(self) -> State:
        """No state."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """No state."""
        del state
