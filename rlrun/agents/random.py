"""The random agent: every legal action equally likely. The yardstick below everything else."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from rlrun.agents.legality import forbids_actions, legal_actions
from rlrun.agents.tables.policies import draw_actions, uniform_policy
from rlrun.annotations import Takes
from rlrun.types import ActorOutput, Carry, EnvSpec, Metrics, Rollout, State, Steps


class Random:
    """Acts uniformly at random, whether it explores or is evaluated, and learns nothing.

    Args:
        rollout_steps: steps of every slot per turn of the loop.
        spec: the environment's.

    Raises:
        UserError: if some actions are illegal and observations do not say where.
    """

    def __init__(self, *, rollout_steps: Annotated[int, Field(gt=0), Takes(18, per_slot=True)], spec: EnvSpec) -> None:
        self.collection = Steps(rollout_steps)
        self.finished = False
        self._num_actions = spec.num_actions
        legal = legal_actions(spec) if forbids_actions(spec) else None
        # [observations, A]; None: every action everywhere
        self._policy = None if legal is None else torch.from_numpy(uniform_policy(legal))

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def act(self, obs: Tensor, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """A uniform legal action for each of the B slots."""
        del explore
        if self._policy is not None:
            self._policy = self._policy.to(obs.device)  # where it stays
            return ActorOutput(draw_actions(self._policy, obs, rng), carry, {})
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
