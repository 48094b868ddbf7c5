"""TD prediction (Sutton 1988; Sutton and Barto 2018, sections 6.1, 12.2): the value of a policy, from samples."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from rlrun.agents.tables.numbered_states import count_states
from rlrun.agents.tables.policies import PolicySource, draw_actions, load_policy
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
    TabularModel,
    action_mask,
    seen,
)


class TD:
    """V(s) ← V(s) + α (r + γ V(s') − V(s)), TD(0); with traces TD(λ). It acts by the policy.

    Besides the running estimate it keeps the sample average: for every state the mean of the discounted returns that
    followed it (every-visit Monte Carlo). Episodes truncated by a time limit have no complete return and are left out,
    so it is biased where limits are common; TD bootstraps there. `value/start_sample_average` is reported once every
    first state has one.

    With a decaying step size the last estimate is a poor one: step sizes that decay fast forget their beginning slowly,
    those that decay slowly stay noisy. The mean of all iterates has neither fault, for any power between 1/2 and 1
    (Polyak and Juditsky 1992); `iterate_average` reports it. Bootstrapping uses the running estimate.

    Args:
        policy: `uniform`, the directory of a run with tables, or a YAML file from states to actions.
        gamma: discount factor per step.
        alpha: step size of the first visit of a state.
        alpha_power: the n-th visit uses alpha * n^(-alpha_power); 0: constant.
        trace_lambda: 0: TD(0); above: accumulating traces, [B, S] of them. Errors of several slots are then added up.
        iterate_average: whether V is the mean of the running estimates after each visit, the n-th one weighted by n
            (Lacoste-Julien, Schmidt and Bach 2012), rather than the last of them.
        sample_average: whether to keep the sample average, which takes [B, S] numbers as well.
        initial_value: where every V starts.
        spec: with numbered states.
        device: where the table lives.

    Raises:
        UserError: if observations are not state numbers, or the policy does not fit.
    """

    def __init__(
        self,
        *,
        policy: PolicySource,
        gamma: Annotated[float, Field(ge=0, le=1)],
        alpha: Annotated[float, Field(gt=0, le=1)],
        alpha_power: Annotated[float, Field(ge=0, le=1)],
        trace_lambda: Annotated[float, Field(ge=0, le=1)],
        iterate_average: bool,
        sample_average: bool,
        initial_value: float,
        spec: EnvSpec,
        device: torch.device,
    ) -> None:
        num_states = count_states(spec)
        self.collection = Steps(1)
        self.finished = False
        self._gamma = gamma
        self._alpha = alpha
        self._alpha_power = alpha_power
        self._trace_lambda = trace_lambda
        self._iterate_average = iterate_average
        self._sample_average = sample_average
        policy_table = load_policy(policy, "policy", spec, num_states)
        self._policy = torch.from_numpy(policy_table).to(device)  # [S, A]
        model = spec.seen_model
        self._initial = None if model is None else torch.from_numpy(model.initial).to(device)
        # [S] where episodes begin; one that begins in a terminal state is worth 0, and no return follows it.
        self._starts = None if model is None else self._initial_states(model).to(device)
        self._starts_have_returns = False

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self._values = torch.full((num_states,), initial_value, dtype=torch.float64, device=device)
        if model is not None:  # no reward follows terminal states
            self._values[torch.from_numpy(~model.legal.any(axis=1)).to(device)] = 0.0
        self._visits = torch.zeros(num_states, dtype=torch.int64, device=device)
        self._averaged = self._values.clone() if iterate_average else zeros(0)
        self._trace = zeros(spec.num_envs, num_states if trace_lambda > 0 else 0)
        # Of the running episodes: the next reward's weight in each visit's return (the trace of λ = 1), and the return.
        size = num_states if sample_average else 0
        self._owed, self._paid, self._seen = (zeros(spec.num_envs, size) for _ in range(3))
        self._returns, self._returns_count = zeros(size), zeros(size)  # over whole episodes

    @staticmethod
    def _initial_states(model: TabularModel) -> Tensor:
        return torch.from_numpy((model.initial > 0) & model.legal.any(axis=1))

    def act(self, obs: Obs, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """Draws from the policy, in training and in evaluation."""
        del explore
        return ActorOutput(draw_actions(self._policy, seen(obs), rng, action_mask(obs)), carry, {})

    def learn(self, rollout: Rollout) -> Metrics:
        """One step of every slot."""
        obs, next_obs, last = seen(rollout.obs)[0], seen(rollout.next_obs)[0], rollout.last[0]
        reward, discount = rollout.reward[0].double(), rollout.discount[0].double()
        target = reward + self._gamma * discount * self._values[next_obs]
        visits = self._visits.clone() if self._iterate_average else self._visits
        if self._trace_lambda == 0.0:
            error = update_in_order(self._values, self._visits, obs, target, self._alpha, self._alpha_power)
        else:
            error = self._update_traced(obs, target, discount, last)
        if self._iterate_average:
            self._average_iterates(visits)
        if self._sample_average:
            self._average(obs, reward, discount, last)
        return {"loss/td": error.square().mean(), **self._start_values()}

    def _update_traced(self, obs: Tensor, target: Tensor, discount: Tensor, last: Tensor) -> Tensor:
        error = target - self._values[obs]
        slots = torch.arange(len(obs), device=obs.device)
        self._trace[slots, obs] += 1.0
        self._visits.index_add_(0, obs, torch.ones_like(obs))
        step = self._alpha * self._visits.clamp(min=1).double().pow(-self._alpha_power)  # [S]
        self._values += step * (error @ self._trace)
        self._trace *= self._gamma * self._trace_lambda * discount[:, None]  # what follows is worth so much less
        self._trace[last] = 0.0
        return error

    def _average_iterates(self, visits_before: Tensor) -> None:
        """Several visits of a state in one batch all count with the estimate after them."""
        before, after = visits_before.double(), self._visits.double()
        total_before, total = before * (before + 1.0), after * (after + 1.0)  # twice 1 + 2 + ... + n
        share = (total - total_before) / total.clamp(min=1.0)  # 0 without a visit, 1 at the first
        self._averaged += share * (self._values - self._averaged)

    def _average(self, obs: Tensor, reward: Tensor, discount: Tensor, last: Tensor) -> None:
        slots = torch.arange(len(obs), device=obs.device)
        self._owed[slots, obs] += 1.0
        self._seen[slots, obs] += 1.0
        self._paid += reward[:, None] * self._owed
        self._owed *= self._gamma * discount[:, None]
        if last.any():
            whole = last & (discount == 0.0)
            self._returns += self._paid[whole].sum(dim=0)
            self._returns_count += self._seen[whole].sum(dim=0)
            for running in (self._owed, self._paid, self._seen):
                running[last] = 0.0
            self._look_for_starts()

    def _look_for_starts(self) -> None:
        if self._starts is not None and self._sample_average and not self._starts_have_returns:
            self._starts_have_returns = bool((self._returns_count[self._starts] > 0).all())

    def _start_values(self) -> dict[str, Tensor]:
        if self._initial is None:
            return {}
        known = {"value/start": self._estimate() @ self._initial}
        if self._starts_have_returns:
            averages = self.sample_averages()
            known["value/start_sample_average"] = averages[self._starts] @ self._initial[self._starts]
        return known

    def _estimate(self) -> Tensor:
        return self._averaged if self._iterate_average else self._values

    def sample_averages(self) -> Tensor:
        """[S] the mean return of every state; NaN where no complete episode visited it."""
        return self._returns / self._returns_count

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def tables(self) -> Tables:
        """V, the policy, visits and the sample average; there is no Q."""
        values = self._estimate().cpu().numpy().copy()
        policy = self._policy.cpu().numpy().copy()
        unknown = torch.full(policy.shape, torch.nan, dtype=torch.float64).numpy()
        visits = self._visits.cpu().numpy()[:, None].copy()
        averages = self.sample_averages().cpu().numpy() if self._sample_average else None
        return Tables(values, unknown, policy, visits, averages, gamma=self._gamma)

    def state_dict(self) -> State:
        """The tables, and the traces of the running episodes."""
        return {name: getattr(self, "_" + name) for name in _STATE}

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        for name in _STATE:
            getattr(self, "_" + name).copy_(state[name])
        self._look_for_starts()


_STATE = ("values", "visits", "averaged", "trace", "owed", "paid", "seen", "returns", "returns_count")
