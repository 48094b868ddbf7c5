"""Q-learning (Watkins 1989; Sutton and Barto 2018, section 6.5): Q(s, a) += α (r + γ max Q(s', ·) − Q(s, a))."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from rlrun.agents.tables.table_agent import LegalActions, require_states
from rlrun.annotations import Takes
from rlrun.numerics.schedules import Schedule, require_probability
from rlrun.numerics.tabular_updates import update_in_order
from rlrun.types import ActorOutput, Carry, EnvSpec, Metrics, Rollout, State, Steps, Tables


class QLearning:
    """A table of Q, learned from every step of every slot.

    Args:
        gamma: discount factor per step.
        alpha: step size of the first visit of a state and action.
        alpha_power: the n-th visit uses alpha * n^(-alpha_power); 0: constant; 1 with alpha 1: a plain average.
        epsilon: probability of a random action, by agent step.
        evaluation_epsilon: the same when evaluated.
        initial_q: where every Q starts; above what can be earned it makes the agent try everything (optimism).
        rollout_steps: steps of every slot per `learn`; 1 is the textbook's algorithm.
        spec: with numbered states.
        device: where the table lives.

    Raises:
        UserError: if observations are no states.
    """

    def __init__(
        self,
        *,
        gamma: Annotated[float, Field(ge=0, le=1)],
        alpha: Annotated[float, Field(gt=0, le=1)],
        alpha_power: Annotated[float, Field(ge=0, le=1)],
        epsilon: Schedule,
        evaluation_epsilon: Annotated[float, Field(ge=0, le=1)],
        initial_q: float,
        rollout_steps: Annotated[int, Field(gt=0), Takes(18, per_slot=True)],
        spec: EnvSpec,
        device: torch.device,
    ) -> None:
        self.collection = Steps(rollout_steps)
        self.finished = False
        require_probability(epsilon, "epsilon")
        self._gamma = gamma
        self._alpha = alpha
        self._alpha_power = alpha_power
        self._epsilon = epsilon
        self._evaluation_epsilon = evaluation_epsilon
        size = (require_states(spec), spec.num_actions)
        self._legal = LegalActions(spec, size[0], device)
        self._q = self._legal.masked(torch.full(size, initial_q, dtype=torch.float64, device=device))
        self._visits = torch.zeros(size, dtype=torch.int64, device=device)
        self._steps = 0

    def act(self, obs: Tensor, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """Epsilon-greedy in each of the B slots; among equally good actions by chance."""
        epsilon = self._epsilon(self._steps) if explore else self._evaluation_epsilon
        return ActorOutput(self._legal.epsilon_greedy(self._q, obs, epsilon, rng), carry, {})

    def learn(self, rollout: Rollout) -> Metrics:
        """Updates Q after each step of the rollout, all slots together."""
        self._steps += rollout.num_steps
        obs, next_obs, error = rollout.obs, rollout.next_obs, rollout.reward
        reward, discount = rollout.reward.double(), self._gamma * rollout.discount.double()
        for t in range(len(rollout.action)):
            best = self._q.index_select(0, next_obs[t]).amax(dim=1)
            target = reward[t] + discount[t] * best
            pair = obs[t] * self._q.shape[1] + rollout.action[t]
            error = update_in_order(
                self._q.view(-1), self._visits.view(-1), pair, target, self._alpha, self._alpha_power
            )
        return {"loss/td": error.square().mean(), "policy/epsilon": self._epsilon(self._steps)}

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def tables(self) -> Tables:
        """Q, the best of it, and the policy as it is evaluated."""
        return self._legal.tables(self._q, self._visits, self._evaluation_epsilon)

    def state_dict(self) -> State:
        """The tables and the counter."""
        return {"q": self._q, "visits": self._visits, "steps": self._steps}

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self._q.copy_(state["q"])
        self._visits.copy_(state["visits"])
        self._steps = state["steps"]
