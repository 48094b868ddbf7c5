"""Sarsa (Rummery and Niranjan 1994; Sutton and Barto 2018, section 6.4): Q(s, a) moves to r + γ Q(s', a')."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from rlrun.agents.tables.table_agent import LegalActions, require_states
from rlrun.numerics.schedules import Schedule, require_probability
from rlrun.numerics.tabular_updates import update_in_order
from rlrun.types import ActorOutput, Carry, EnvSpec, Metrics, Rollout, State, Steps, Tables


class Sarsa:
    """A table of Q of the policy that is being followed, exploration included.

    a' is the action that is really taken next, so a step is learned from when the next one has been chosen; the update
    comes after that choice, as in the textbook. Where a time limit cut the episode off no action follows, and the
    expectation over the policy stands in for it (van Seijen et al. 2009).

    Args:
        gamma: discount factor per step.
        alpha: step size of the first visit of a state and action.
        alpha_power: the n-th visit uses alpha * n^(-alpha_power); 0: constant.
        epsilon: probability of a random action, by agent step.
        evaluation_epsilon: the same when evaluated.
        initial_q: where every Q starts.
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
        spec: EnvSpec,
        device: torch.device,
    ) -> None:
        self.collection = Steps(1)
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
        num_envs = spec.num_envs
        self._waits = torch.zeros(num_envs, dtype=torch.bool, device=device)  # slots whose last step has no a' yet
        self._pair = torch.zeros(num_envs, dtype=torch.int64, device=device)  # its (s, a)
        self._reward = torch.zeros(num_envs, dtype=torch.float64, device=device)
        self._discount = torch.zeros(num_envs, dtype=torch.float64, device=device)  # gamma in it

    def act(self, obs: Tensor, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """Epsilon-greedy in each of the B slots; among equally good actions by chance."""
        epsilon = self._epsilon(self._steps) if explore else self._evaluation_epsilon
        return ActorOutput(self._legal.epsilon_greedy(self._q, obs, epsilon, rng), carry, {})

    def learn(self, rollout: Rollout) -> Metrics:
        """Learns from the steps whose next action is known by now, and from the last steps of episodes."""
        (obs,), (action,), (last,) = rollout.obs, rollout.action, rollout.last
        reward, discount = rollout.reward[0].double(), self._gamma * rollout.discount[0].double()
        pair = obs * self._q.shape[1] + action

        waiting = self._waits
        following = self._q.view(-1).index_select(0, pair[waiting])
        errors = [self._update(self._pair[waiting], self._reward[waiting] + self._discount[waiting] * following)]
        if last.any():
            probs = self._legal.probabilities(self._q, rollout.final_obs, self._epsilon(self._steps))
            rows = self._q.index_select(0, rollout.final_obs)
            expected = torch.where(probs > 0, probs * rows, 0.0).sum(dim=1)
            errors.append(self._update(pair[last], reward[last] + discount[last] * expected))

        self._waits, self._pair, self._reward, self._discount = ~last, pair, reward, discount
        self._steps += rollout.num_steps
        error = torch.cat(errors)
        known = {"loss/td": error.square().mean()} if len(error) else {}
        return {**known, "policy/epsilon": self._epsilon(self._steps)}

    def _update(self, pair: Tensor, target: Tensor) -> Tensor:
        return update_in_order(self._q.view(-1), self._visits.view(-1), pair, target, self._alpha, self._alpha_power)

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def tables(self) -> Tables:
        """Q, the best of it, and the policy as it is evaluated."""
        return self._legal.tables(self._q, self._visits, self._evaluation_epsilon)

    def state_dict(self) -> State:
        """The tables, the counter, and the steps that wait for their next action."""
        return {
            "q": self._q,
            "visits": self._visits,
            "steps": self._steps,
            "waits": self._waits,
            "pair": self._pair,
            "reward": self._reward,
            "discount": self._discount,
        }

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        device = self._q.device
        self._q.copy_(state["q"])
        self._visits.copy_(state["visits"])
        self._steps = state["steps"]
        self._waits, self._pair = state["waits"].to(device), state["pair"].to(device)
        self._reward, self._discount = state["reward"].to(device), state["discount"].to(device)
