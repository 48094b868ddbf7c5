"""Linear Q with traces: Q(s, a) = w_a · f(s) + b_a, or w · f(s, a) (Sutton and Barto 2018, chapters 9, 10 and 12)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch
from gymnasium import spaces
from pydantic import Field
from torch import Tensor

from rlrun.agents.linear.features import Features, PairFeatures, count_features, of_states, with_bias
from rlrun.agents.tables.epsilon_greedy import EpsilonGreedy
from rlrun.annotations import used_unless
from rlrun.numerics.distributions import allowed
from rlrun.numerics.schedules import Schedule
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


class LinearQ:
    """Semi-gradient temporal-difference control: w ← w + α δ e, where e accumulates earlier gradients.

    δ = r + γ d V(s') − Q(s, a), where V(s') is `max`: the best Q (Q-learning; the trace is cut where an action was not
    greedy, Watkins 1989), or `expected`: the mean of Q under the policy that explores (Expected Sarsa). Slots learn
    together: their steps are averaged, so that α means the same for any number of them. Actions that are illegal in
    the model have Q = −∞, so they are neither taken nor bootstrapped from.

    Args:
        features: f(s), with a weight vector and a bias for each action; or f(s, a), with one weight vector.
        bootstrap: `max` or `expected`.
        gamma: discount factor per step.
        alpha: step size; with tile coding, 0.1 / number of tilings moves 1/10 of the way per step.
        trace_lambda: decay of the traces; 0: one step.
        replacing: whether the trace of a nonzero feature is replaced by the new gradient instead of added to, and that
            of the state's other actions by 0 (Singh and Sutton 1996).
        bias: whether there is a bias for each action; f(s) only.
        epsilon: probability of a random action, by agent step.
        spec: the environment's.
        device: where weights live.

    Raises:
        UserError: if `features` does not say how many there are, epsilon leaves [0, 1], or some actions are illegal and
            observations have no mask.
    """

    def __init__(
        self,
        *,
        features: Features | PairFeatures,
        bootstrap: Literal["max", "expected"],
        gamma: Annotated[float, Field(ge=0, le=1)],
        alpha: Annotated[float, Field(gt=0)],
        trace_lambda: Annotated[float, Field(ge=0, le=1)],
        replacing: Annotated[bool, used_unless(trace_lambda=0.0)],
        bias: Annotated[bool, used_unless(features="rlrun.agents.linear.features.Paired")],
        epsilon: Schedule,
        spec: EnvSpec,
        device: torch.device,
    ) -> None:
        self.collection = Steps(1)
        self.finished = False
        self._pairs = getattr(features, "of_pairs", None)  # None: features of the state, one weight vector an action
        self._features = features
        self._bootstrap = bootstrap
        self.gamma = gamma
        self._alpha = alpha
        self._trace_lambda = trace_lambda
        self._replacing = replacing
        self._bias = bias and self._pairs is None
        self._policy = EpsilonGreedy(epsilon, spec, device)
        self._spec = spec
        rows = 1 if self._pairs is not None else spec.num_actions
        columns = count_features(features) + self._bias
        self._weight = torch.zeros(rows, columns, dtype=torch.float64, device=device)
        self._trace = torch.zeros(spec.num_envs, rows, columns, dtype=torch.float64, device=device)
        self._steps = 0

    def act(self, obs: Obs, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """Epsilon-greedy in each of the B slots; ties are broken at random."""
        action = self._policy.act(self.q_values(obs), obs, rng, self._steps, explore=explore)
        return ActorOutput(action, carry, {})

    def learn(self, rollout: Rollout) -> Metrics:
        """One step of every slot."""
        obs, action, last = obs_at(rollout.obs, 0), rollout.action[0], rollout.last[0]
        reward, discount = rollout.reward[0].double(), self.gamma * rollout.discount[0].double()
        described = self._described(seen(obs))
        q = self._q_of(described, obs)
        taken = q.gather(1, action[:, None]).squeeze(1)
        epsilon = self._policy.epsilon(self._steps)
        error = reward + discount * self._worth(obs_at(rollout.next_obs, 0)) - taken
        if self._bootstrap == "max":  # what came before a non-greedy action says nothing about the greedy policy
            self._trace[taken < q.amax(dim=1)] = 0.0

        self._remember(described, action)
        self._weight += self._alpha * torch.einsum("b,brf->rf", error, self._trace) / len(action)
        self._trace *= (self._trace_lambda * discount)[:, None, None]
        self._trace[last] = 0.0
        self._steps += rollout.num_steps
        return {"loss/td": error.square().mean(), "value/q_mean": taken.mean(), "policy/epsilon": epsilon}

    def _worth(self, obs: Obs) -> Tensor:
        """V(s') of each observation: [B]."""
        q = self.q_values(obs)
        return q.amax(dim=1) if self._bootstrap == "max" else self._policy.expected(q, obs, self._steps)

    def _remember(self, described: Tensor, action: Tensor) -> None:
        """Adds the gradient of Q(s, a) to the traces, or replaces them by it."""
        slots = torch.arange(len(action), device=action.device)
        if self._pairs is not None:
            rows, gradient = torch.zeros_like(action), described[slots, action]
            active = (described != 0.0).any(dim=1)
        else:
            rows, gradient = action, described
            active = described != 0.0
        if self._replacing:
            self._trace *= ~active[:, None, :]
        self._trace[slots, rows] += gradient

    def q_values(self, obs: Obs) -> Tensor:
        """Q(s, a): obs [B, ...] to [B, A]; −inf where an action is illegal."""
        return self._q_of(self._described(seen(obs)), obs)

    def _described(self, obs: Tensor) -> Tensor:
        """f(s) with a 1 for the bias, [B, F (+ 1)]; or f(s, a), [B, A, F]."""
        if self._pairs is not None:
            pairs: Tensor = self._pairs(obs)
            return pairs.to(torch.float64)
        state: Tensor = self._features(obs)  # type: ignore[operator] # has no of_pairs, so it is of the first kind
        return with_bias(state) if self._bias else state.to(torch.float64)

    def _q_of(self, described: Tensor, obs: Obs) -> Tensor:
        weight = self._weight[0] if self._pairs is not None else self._weight.T
        return allowed(described @ weight, action_mask(obs))

    def tables(self) -> Tables:
        """Q of every numbered state, its maximum, and the greedy policy; 0 and no action where the episode is over.

        Raises:
            ValueError: if states are not numbered, so that there are no tables.
        """
        if not isinstance(self._spec.obs_space, spaces.Discrete):
            raise ValueError(f"there are no tables of {self._spec.shown}")
        states = torch.arange(int(self._spec.obs_space.n), device=self._weight.device)
        return replace(self._policy.tables(of_states(self.q_values, states)), gamma=self.gamma)

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def state_dict(self) -> State:
        """Weights, traces and the counter."""
        return {"weight": self._weight, "trace": self._trace, "steps": self._steps}

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self._weight.copy_(state["weight"])
        self._trace.copy_(state["trace"])
        self._steps = state["steps"]
