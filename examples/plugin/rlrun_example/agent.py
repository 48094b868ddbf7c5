"""Expected Sarsa: Q(s, a) += α (r + γ d Σ π(a'|s') Q(s', a') − Q(s, a)), with π the ε-greedy policy that acts.

van Seijen et al. 2009; Sutton and Barto 2018, section 6.6, equation 6.9.
"""

from __future__ import annotations

from typing import Annotated

import torch
from gymnasium import spaces
from pydantic import Field
from torch import Tensor

from rlrun import ActorOutput, Carry, EnvSpec, Metrics, Rollout, State, Steps, UserError


class ExpectedSarsa:
    """A table of Q that learns from every step of every slot.

    Args:
        gamma: discount factor per step.
        alpha: step size.
        epsilon: probability of a random action while training.
        rollout_steps: steps of every slot per `learn`.
        spec: with numbered states. rlrun passes it, and `device`, `seed` and `network` to constructors that take them.

    Raises:
        UserError: if observations are not state numbers.
    """

    def __init__(
        self,
        *,
        gamma: Annotated[float, Field(ge=0, le=1)],
        alpha: Annotated[float, Field(gt=0, le=1)],
        epsilon: Annotated[float, Field(ge=0, le=1)],
        rollout_steps: Annotated[int, Field(gt=0)],
        spec: EnvSpec,
    ) -> None:
        if spec.shows_mask:
            raise UserError(f"expected_sarsa plays every action, and {spec.name} does not allow all of them everywhere")
        if not isinstance(spec.obs_space, spaces.Discrete):
            raise UserError(f"algo=expected_sarsa needs numbered states, and {spec.name} shows {spec.shown}")
        self.collection = Steps(rollout_steps)
        self.finished = False
        self._gamma, self._alpha, self._epsilon = gamma, alpha, epsilon
        self._q = torch.zeros(int(spec.obs_space.n), spec.num_actions)

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def act(self, obs: Tensor, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """ε-greedy in each of the B slots, greedy when evaluated; of equal actions the first."""
        action = self._q[obs].argmax(dim=1)
        if explore:
            anything = torch.randint(self._q.shape[1], action.shape, generator=rng)
            action = torch.where(torch.rand(action.shape, generator=rng) < self._epsilon, anything, action)
        return ActorOutput(action, carry, {})

    def learn(self, rollout: Rollout) -> Metrics:
        """One update for each step, in the order of time and then slot."""
        error = torch.zeros(())
        for time in range(len(rollout.action)):
            for slot in range(rollout.action.shape[1]):
                state, action = rollout.obs[time, slot], rollout.action[time, slot]
                future = rollout.discount[time, slot] * self._expected(rollout.next_obs[time, slot])
                error = rollout.reward[time, slot] + self._gamma * future - self._q[state, action]
                self._q[state, action] += self._alpha * error
        return {"loss/td": error.square()}

    def _expected(self, state: Tensor) -> Tensor:
        """Σ π(a|s) Q(s, a)."""
        return self._epsilon * self._q[state].mean() + (1 - self._epsilon) * self._q[state].max()

    def state_dict(self) -> State:
        """The table."""
        return {"q": self._q}

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self._q.copy_(state["q"])
