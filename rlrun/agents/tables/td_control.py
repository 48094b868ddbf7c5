"""Q-learning, Sarsa and Expected Sarsa with a table (Sutton and Barto 2018, sections 6.4 to 6.6).

All three move Q(s, a) by α towards r + γ d W; they differ in W, the value of the next state s':

- `max`: max over a of Q(s', a). Q-learning (Watkins 1989), equation 6.8.
- `next_action`: Q(s', a') of the action a' that is taken next. Sarsa (Rummery and Niranjan 1994), equation 6.7.
- `expected`: Σ over a of π(a|s') Q(s', a) for the policy π that explores. Expected Sarsa, equation 6.9.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from rlrun.agents.tables.epsilon_greedy import EpsilonGreedy
from rlrun.agents.tables.numbered_states import count_states
from rlrun.annotations import Takes
from rlrun.numerics.distributions import allowed
from rlrun.numerics.schedules import Schedule
from rlrun.numerics.tabular_updates import update_in_order
from rlrun.types import (
    ActorOutput,
    Carry,
    EnvSpec,
    Metrics,
    Obs,
    Rollout,
    State,
    Steps,
    Tables,
    action_mask,
    obs_at,
    seen,
)


class TDControl:
    """A table of Q, learned from every step of every slot; acts ε-greedily.

    With `next_action` a step is learned from once the next action is chosen, as in the textbook. Where a time limit
    truncates the episode no action follows, and `expected` is used instead (van Seijen et al. 2009).

    Args:
        bootstrap: `max`: Q-learning; `next_action`: Sarsa; `expected`: Expected Sarsa.
        gamma: discount factor per step.
        alpha: step size of the first visit of a state and action.
        alpha_power: the n-th visit uses alpha * n^(-alpha_power); 0: constant; 1 with alpha 1: a plain average.
        epsilon: probability of a random action, by agent step.
        initial_q: the initial Q; larger than any return it makes the agent try everything (optimism).
        rollout_steps: steps of every slot per `learn`; 1 is the textbook's algorithm.
        spec: with numbered states.
        device: where the table lives.

    Raises:
        UserError: if observations are not state numbers.
    """

    def __init__(
        self,
        *,
        bootstrap: Literal["max", "next_action", "expected"],
        gamma: Annotated[float, Field(ge=0, le=1)],
        alpha: Annotated[float, Field(gt=0, le=1)],
        alpha_power: Annotated[float, Field(ge=0, le=1)],
        epsilon: Schedule,
        initial_q: float,
        rollout_steps: Annotated[int, Field(gt=0), Takes(18, per_slot=True)],
        spec: EnvSpec,
        device: torch.device,
    ) -> None:
        self.collection = Steps(rollout_steps)
        self.finished = False
        self._bootstrap = bootstrap
        self.gamma, self._alpha, self._alpha_power = gamma, alpha, alpha_power
        size = (count_states(spec), spec.num_actions)
        self._policy = EpsilonGreedy(epsilon, spec, device)
        self._q = torch.full(size, initial_q, dtype=torch.float64, device=device)
        self._visits = torch.zeros(size, dtype=torch.int64, device=device)
        self._steps = 0
        # Sarsa: the last step of every slot, [B], until its a' is known
        self._waits = torch.zeros(spec.num_envs, dtype=torch.bool, device=device)
        self._pair = torch.zeros(spec.num_envs, dtype=torch.int64, device=device)
        self._reward = torch.zeros(spec.num_envs, dtype=torch.float64, device=device)
        self._discount = torch.zeros(spec.num_envs, dtype=torch.float64, device=device)  # gamma in it

    def act(self, obs: Obs, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """Epsilon-greedy in each of the B slots; ties are broken at random."""
        return ActorOutput(self._policy.act(self.q_values(obs), obs, rng, self._steps, explore=explore), carry, {})

    def q_values(self, obs: Obs) -> Tensor:
        """Q(s, a): obs [B] to [B, A]."""
        return self._q.index_select(0, seen(obs))

    def learn(self, rollout: Rollout) -> Metrics:
        """Updates Q after each step of the rollout, all slots together."""
        reward, discount = rollout.reward.double(), self.gamma * rollout.discount.double()
        pair = seen(rollout.obs) * self._q.shape[1] + rollout.action  # (s, a) as one number
        following = rollout.next_obs
        for t in range(len(pair)):
            next_obs = obs_at(following, t)
            if self._bootstrap == "next_action":
                error = self._sarsa(pair[t], reward[t], discount[t], next_obs, rollout.last[t])
            else:
                error = self._update(pair[t], reward[t] + discount[t] * self._worth(next_obs))
        self._steps += rollout.num_steps
        known = {"loss/td": error.square().mean()} if len(error) else {}
        return {**known, "policy/epsilon": self._policy.epsilon(self._steps)}

    def _worth(self, obs: Obs) -> Tensor:
        q = self.q_values(obs)
        if self._bootstrap == "max":
            return allowed(q, action_mask(obs)).amax(dim=1)
        return self._policy.expected(q, obs, self._steps)

    def _sarsa(self, pair: Tensor, reward: Tensor, discount: Tensor, next_obs: Obs, last: Tensor) -> Tensor:
        """Learns from the previous steps, whose next action is now known, and from the last steps of episodes."""
        waits, following = self._waits, self._q.view(-1)[pair]
        error = self._update(self._pair[waits], (self._reward + self._discount * following)[waits])
        if last.any():
            ends = self._update(pair[last], reward[last] + discount[last] * self._worth(obs_at(next_obs, last)))
            error = torch.cat([error, ends])
        self._waits, self._pair, self._reward, self._discount = ~last, pair, reward, discount
        return error

    def _update(self, pair: Tensor, target: Tensor) -> Tensor:
        return update_in_order(self._q.view(-1), self._visits.view(-1), pair, target, self._alpha, self._alpha_power)

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def tables(self) -> Tables:
        """Q, its maximum, and the greedy policy."""
        return replace(self._policy.tables(self._q, self._visits), gamma=self.gamma)

    def state_dict(self) -> State:
        """The tables, the counter, and the steps that wait for their next action."""
        waiting = {"waits": self._waits, "pair": self._pair, "reward": self._reward, "discount": self._discount}
        return {"q": self._q, "visits": self._visits, "steps": self._steps, **waiting}

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        device = self._q.device
        self._q.copy_(state["q"])
        self._visits.copy_(state["visits"])
        self._steps = state["steps"]
        self._waits, self._pair = state["waits"].to(device), state["pair"].to(device)
        self._reward, self._discount = state["reward"].to(device), state["discount"].to(device)
