"""Linear Q with traces: Q(s, a) = w_a · f(s) + b_a, or w · f(s, a) (Sutton and Barto 2018, chapters 9, 10 and 12)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from rlrun.distributions import epsilon_greedy, epsilon_greedy_probs
from rlrun.features import Features, PairFeatures
from rlrun.schedules import Schedule, require_probability
from rlrun.types import ActorOutput, Carry, EnvSpec, Metrics, Rollout, State, Steps


class LinearQ:
    """Semi-gradient temporal-difference control: w ← w + α δ e, where e gathers the gradients that led here.

    δ = r + γ d V(s') − Q(s, a), where V(s') is `max`: the best Q (Q-learning; the trace is cut where an action was not
    greedy, Watkins 1989), or `expected`: the mean of Q under the policy that explores (Expected Sarsa). Slots learn
    together: their steps are averaged, so that α means the same for any number of them.

    Args:
        features: f(s), with a weight vector and a bias for each action; or f(s, a), with one weight vector.
        bootstrap: `max` or `expected`.
        gamma: discount factor per step.
        alpha: step size; with tile coding 1/10 of the way per step is 0.1 / number of tilings.
        trace_lambda: how slowly traces fade; 0: one step.
        replacing: whether a feature's trace is set to the new gradient instead of added to (Singh and Sutton 1996).
        bias: whether there is a bias for each action; f(s) only.
        epsilon: probability of a random action, by agent step.
        evaluation_epsilon: the same when evaluated.
        spec: the environment's.
        device: where weights live.
    """

    def __init__(
        self,
        *,
        features: Features | PairFeatures,
        bootstrap: Literal["max", "expected"],
        gamma: Annotated[float, Field(ge=0, le=1)],
        alpha: Annotated[float, Field(gt=0)],
        trace_lambda: Annotated[float, Field(ge=0, le=1)],
        replacing: bool,
        bias: bool,
        epsilon: Schedule,
        evaluation_epsilon: Annotated[float, Field(ge=0, le=1)],
        spec: EnvSpec,
        device: torch.device,
    ) -> None:
        self.collection = Steps(1)
        self.finished = False
        require_probability(epsilon, "algo.epsilon")
        self._pairs = getattr(features, "of_pairs", None)  # None: features of the state, one weight vector an action
        self._features = features
        self._bootstrap = bootstrap
        self._gamma = gamma
        self._alpha = alpha
        self._trace_lambda = trace_lambda
        self._replacing = replacing
        self._bias = bias and self._pairs is None
        self._epsilon = epsilon
        self._evaluation_epsilon = evaluation_epsilon
        self._num_actions = spec.num_actions
        rows = 1 if self._pairs is not None else spec.num_actions
        columns = features.num_features + self._bias
        self._weight = torch.zeros(rows, columns, dtype=torch.float64, device=device)
        self._trace = torch.zeros(spec.num_envs, rows, columns, dtype=torch.float64, device=device)
        self._steps = 0

    def act(self, obs: Tensor, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """Epsilon-greedy in each of the B slots."""
        epsilon = self._epsilon(self._steps) if explore else self._evaluation_epsilon
        return ActorOutput(epsilon_greedy(self.q_values(obs), epsilon, rng), carry, {})

    def learn(self, rollout: Rollout) -> Metrics:
        """One step of every slot."""
        obs, action, last = rollout.obs[0], rollout.action[0], rollout.last[0]
        reward, discount = rollout.reward[0].double(), self._gamma * rollout.discount[0].double()
        described = self._described(obs)
        q = self._q_of(described)
        next_q = self.q_values(rollout.next_obs[0])
        epsilon = self._epsilon(self._steps)
        following = next_q.amax(dim=1)
        if self._bootstrap == "expected":
            following = (epsilon_greedy_probs(next_q, epsilon) * next_q).sum(dim=1)
        error = reward + discount * following - q.gather(1, action[:, None]).squeeze(1)

        self._remember(described, action, q)
        self._weight += self._alpha * torch.einsum("b,brf->rf", error, self._trace) / len(obs)
        self._trace *= (self._trace_lambda * discount)[:, None, None]
        self._trace[last] = 0.0
        self._steps += rollout.num_steps
        return {"loss/td": error.square().mean(), "value/q_mean": q.mean(), "policy/epsilon": epsilon}

    def _remember(self, described: Tensor, action: Tensor, q: Tensor) -> None:
        """Adds the gradient of Q(s, a) to the traces; with `max`, first forgets what was before a random action."""
        slots = torch.arange(len(action), device=action.device)
        if self._bootstrap == "max":
            chance = q.gather(1, action[:, None]).squeeze(1) < q.amax(dim=1)
            self._trace[chance] = 0.0
        if self._pairs is not None:
            rows, gradient = torch.zeros_like(action), described[slots, action]
        else:
            rows, gradient = action, described
        if self._replacing:
            seen = gradient != 0.0
            kept = self._trace * ~seen[:, None, :]  # the other actions' traces of these features go as well
            kept[slots, rows] += gradient
            self._trace = kept
        else:
            self._trace[slots, rows] += gradient

    def q_values(self, obs: Tensor) -> Tensor:
        """Q(s, a): obs [B, ...] to [B, A]."""
        return self._q_of(self._described(obs))

    def _described(self, obs: Tensor) -> Tensor:
        """f(s) with the 1 that the bias weighs, [B, F (+ 1)]; or f(s, a), [B, A, F]."""
        if self._pairs is not None:
            pairs: Tensor = self._pairs(obs)
            return pairs
        state: Tensor = self._features(obs)  # type: ignore[operator] # has no of_pairs, so it is of the first kind
        return torch.cat([state, torch.ones_like(state[:, :1])], dim=1) if self._bias else state

    def _q_of(self, described: Tensor) -> Tensor:
        if self._pairs is not None:
            return described @ self._weight[0]
        return described @ self._weight.T

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def state_dict(self) -> State:
        """Weights, traces and the counter."""
        return {"weight": self._weight, "trace": self._trace, "steps": self._steps}

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self._weight = state["weight"].to(self._weight.device)
        self._trace = state["trace"].to(self._trace.device)
        self._steps = state["steps"]
