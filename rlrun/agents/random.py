"""The random agent: every legal action equally likely. The baseline for everything else."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from rlrun.agents.legality import require_mask
from rlrun.annotations import Takes
from rlrun.numerics.distributions import any_of
from rlrun.types import ActorOutput, Carry, EnvSpec, Metrics, Obs, Rollout, State, Steps, action_mask, seen


class Random:
    """Acts uniformly at random, in training and in evaluation, and learns nothing.

    Args:
        rollout_steps: steps of every slot per iteration of the loop.
        spec: the environment's.

    Raises:
        UserError: if some actions are illegal and observations have no mask.
    """

    def __init__(self, *, rollout_steps: Annotated[int, Field(gt=0), Takes(18, per_slot=True)], spec: EnvSpec) -> None:
        self.collection = Steps(rollout_steps)
        self.finished = False
        self._num_actions = spec.num_actions
        require_mask(spec)

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def act(self, obs: Obs, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """A uniform legal action for each of the B slots."""
        del explore
        mask, shown = action_mask(obs), seen(obs)
        if mask is not None:
            return ActorOutput(any_of(mask, rng), carry, {})
        action = torch.randint(self._num_actions, shown.shape[:1], generator=rng, device=shown.device)
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
