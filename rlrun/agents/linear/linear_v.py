"""Linear TD(λ) prediction (Sutton 1988; Sutton and Barto 2018, sections 9.3, 9.4, 12.2): the value of a policy."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field
from torch import Tensor

from rlrun.agents.legality import require_mask
from rlrun.agents.linear.features import Features, count_features, of_states, with_bias
from rlrun.agents.tables.numbered_states import count_states
from rlrun.agents.tables.policies import PolicySource, draw_actions, load_policy
from rlrun.errors import ArgumentError
from rlrun.types import (
    ActorOutput,
    Carry,
    EnvSpec,
    Float64Array,
    Metrics,
    Obs,
    Rollout,
    State,
    Steps,
    Tables,
    action_mask,
    seen,
)


class LinearV:
    """V(s) = w · f(s) + b, by w ← w + α δ z with δ = r + γ d V(s') − V(s); z accumulates earlier gradients of V.

    It acts by the policy. Slots learn together: their steps are averaged, so that α means the same for any number
    of them. With small α, TD(0) approaches the fixed point A⁻¹ b (equation 9.12), which is not the best fit of V unless
    V is linear in f; the longer the traces, the closer the two (section 12.2).

    Args:
        policy: `uniform`, the directory of a run with tables, or a YAML file from states to actions; only `uniform`
            where states are not numbered.
        features: f(s).
        gamma: discount factor per step.
        alpha: step size; stable below about 1 / |f|²; with tile coding, 0.1 / tilings moves 1/10 of the way per step.
        trace_lambda: 0: TD(0); above: accumulating traces; 1: Monte Carlo.
        bias: whether there is a bias b.
        spec: the environment's.
        device: where weights live.

    Raises:
        UserError: if `features` does not say how many there are, the policy does not fit, or it may choose illegal
            actions.
    """

    def __init__(
        self,
        *,
        policy: PolicySource,
        features: Features,
        gamma: Annotated[float, Field(ge=0, le=1)],
        alpha: Annotated[float, Field(gt=0)],
        trace_lambda: Annotated[float, Field(ge=0, le=1)],
        bias: bool,
        spec: EnvSpec,
        device: torch.device,
    ) -> None:
        self.collection = Steps(1)
        self.finished = False
        self._features = features
        self._gamma = gamma
        self._alpha = alpha
        self._trace_lambda = trace_lambda
        self._bias = bias
        self._num_states = count_states(spec) if isinstance(spec.obs_space, spaces.Discrete) else None
        self._policy = torch.from_numpy(_policy_of(policy, spec, self._num_states)).to(device)  # [S or 1, A]
        columns = count_features(features) + bias
        self._weight = torch.zeros(columns, dtype=torch.float64, device=device)
        self._trace = torch.zeros(spec.num_envs, columns, dtype=torch.float64, device=device)
        model = spec.seen_model
        self._over = None if model is None else ~model.legal.any(axis=1)  # [S]
        self._start: Tensor | None = None  # [F (+ 1)] the mean features of first states
        if model is not None:
            initial = torch.from_numpy(model.initial).to(device)
            (states,) = initial.nonzero(as_tuple=True)
            self._start = of_states(lambda part: (initial[part] @ self._described(part))[None], states).sum(dim=0)

    def act(self, obs: Obs, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """Draws from the policy, in training and in evaluation."""
        del explore
        rows = seen(obs)
        if self._num_states is None:
            rows = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
        return ActorOutput(draw_actions(self._policy, rows, rng, action_mask(obs)), carry, {})

    def learn(self, rollout: Rollout) -> Metrics:
        """One step of every slot."""
        obs, next_obs, last = seen(rollout.obs)[0], seen(rollout.next_obs)[0], rollout.last[0]
        reward, discount = rollout.reward[0].double(), self._gamma * rollout.discount[0].double()
        gradient = self._described(obs)
        error = reward + discount * self.values(next_obs) - gradient @ self._weight
        self._trace += gradient
        self._weight += self._alpha * (error @ self._trace) / len(obs)
        self._trace *= (self._trace_lambda * discount)[:, None]
        self._trace[last] = 0.0
        start = {} if self._start is None else {"value/start": self._weight @ self._start}
        return {"loss/td": error.square().mean(), **start}

    def values(self, obs: Tensor) -> Tensor:
        """V(s): obs [B, ...] to [B]."""
        return self._described(obs) @ self._weight

    def _described(self, obs: Tensor) -> Tensor:
        """f(s) with a 1 for the bias: [B, F (+ 1)] float64."""
        state = self._features(obs)
        return with_bias(state) if self._bias else state.to(torch.float64)

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def tables(self) -> Tables:
        """V of every numbered state, 0 where the episode is over, and the policy; there is no Q.

        Raises:
            ValueError: if states are not numbered, so that there are no tables.
        """
        if self._num_states is None:
            raise ValueError("there are no tables where states are not numbered")
        states = torch.arange(self._num_states, device=self._weight.device)
        values: Float64Array = of_states(self.values, states).cpu().numpy()
        if self._over is not None:
            values[self._over] = 0.0
        policy = self._policy.cpu().numpy().copy()
        return Tables(values, np.full(policy.shape, np.nan), policy, gamma=self._gamma)

    def state_dict(self) -> State:
        """Weights, and the traces of the running episodes."""
        return {"weight": self._weight, "trace": self._trace}

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self._weight.copy_(state["weight"])
        self._trace.copy_(state["trace"])


def _policy_of(source: str, spec: EnvSpec, num_states: int | None) -> Float64Array:
    """Probabilities [S, A], or one row for all where states are not numbered."""
    if num_states is not None:
        return load_policy(source, "policy", spec, num_states)
    if source != "uniform":
        raise ArgumentError(
            "policy",
            f"={source} needs numbered states, and {spec.name} shows {spec.shown}: choose observations that are state "
            "numbers, if the environment has them, or uniform",
        )
    require_mask(spec)
    return np.full((1, spec.num_actions), 1.0 / spec.num_actions)
