"""Policy iteration (Howard 1960; Sutton and Barto 2018, section 4.3): evaluate the policy, make it greedy, repeat."""

from __future__ import annotations

import logging
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from rlrun.agents.planning.convergence import Convergence, solution_if_slow
from rlrun.agents.planning.greedy_policy import GreedyPolicy
from rlrun.agents.planning.model import require_model
from rlrun.agents.tables.policies import PolicySource, draw_actions, load_policy
from rlrun.numerics.bellman import TIE, Bellman, as_policy, lowest, tie_margin, value_error
from rlrun.numerics.tied_actions import keeps_promises, staying_free
from rlrun.types import ActorOutput, Carry, EnvSpec, Metrics, NoSteps, Obs, Rollout, State, Tables, seen

_LOG = logging.getLogger(__name__)


class PolicyIteration:
    """One evaluation sweep per `learn`; an improvement whenever the evaluation has converged.

    An action replaces another if it is better by more than the error of the evaluation; if it is better by less, but
    by more than the margin m = min(2 tolerance / (1 − γ), 1e-5) + 1e-9 of its value, the evaluation continues until
    that is clear. So in the end no action is better by more than m, and the policy is within 2 m / (1 − γ) of the best
    one. In m, 1 / (1 − γ) counts as 1,000 at most; in the bound, for γ = 1, it is the expected steps of an episode.

    Where an evaluation is slow and the model is small, the linear equations are solved instead, and a sweep checks.

    Args:
        initial_policy: where it starts: `uniform`, a run's directory, or a YAML file from states to actions.
        gamma: discount factor per step.
        tolerance: an evaluation has converged once no value changes by more in a sweep.
        evaluation_sweeps: improves after this many sweeps even if values have not converged (modified policy iteration,
            Puterman and Shin 1978); None: only when they have.
        spec: with a model.
        device: where values live.

    Raises:
        UserError: if there is no model, or the initial policy does not fit it.
    """

    def __init__(
        self,
        *,
        initial_policy: PolicySource,
        gamma: Annotated[float, Field(ge=0, le=1)],
        tolerance: Annotated[float, Field(ge=0)],
        evaluation_sweeps: Annotated[int, Field(gt=0)] | None,
        spec: EnvSpec,
        device: torch.device,
    ) -> None:
        model = require_model(spec)
        self.collection = NoSteps()
        self.finished = False
        self._gamma = gamma
        self._evaluation_sweeps = evaluation_sweeps
        self._margin = tie_margin(tolerance, gamma)
        self._bellman = Bellman(model, device)
        self._greedy = GreedyPolicy(self._bellman, gamma)
        self._may_wait = gamma == 1.0 and bool(self._bellman.free.any())
        self._initial = torch.from_numpy(model.initial).to(device)
        policy = load_policy(initial_policy, "initial_policy", spec, model.num_states)
        self._policy = torch.from_numpy(np.ascontiguousarray(policy.T)).to(device)  # [A, S]
        self._played = self._policy > 0  # [A, S]
        self._values = torch.zeros(model.num_states, dtype=torch.float64, device=device)
        self._convergence = Convergence(tolerance, self._bellman, gamma, period=evaluation_sweeps or 1)
        self._sweeps, self._sweeps_of_this_policy, self._improvements = 0, 0, 0
        self._sweeps_since_change = 0

    @property
    def residual(self) -> float:
        """The largest change of a value in the last sweep, reward units."""
        return self._convergence.residual

    def learn(self, rollout: Rollout) -> Metrics:
        """One sweep of evaluation and, when it has converged, the improvement.

        Raises:
            NoLimitError: if the values of a policy will never converge.
        """
        del rollout
        values = self._bellman.expected(self._bellman.q_values(self._values, self._gamma), self._policy)
        residual = float((values - self._values).abs().max())
        self._values = values
        self._sweeps += 1
        self._sweeps_of_this_policy += 1
        self._sweeps_since_change += 1
        changes = 0
        played = self._played
        offered = played if self._evaluation_sweeps is None else self._bellman.legal  # what it may yet improve to
        converged = self._convergence.converged(residual, values, lambda: played, offered)
        if converged or self._sweeps_of_this_policy == self._evaluation_sweeps:
            changes = self._improve(converged=converged)
        if self.finished:
            _LOG.info(
                f"the policy is stable after {self._improvements} improvements and {self._sweeps:,} sweeps "
                f"(residual {residual:.2g})"
            )
        elif not changes:
            self._solve_if_slow()
        return {
            "plan/residual": residual,
            "plan/policy_changes": float(changes),
            "plan/improvements": float(self._improvements),
            "value/start": values @ self._initial,
        }

    def _solve_if_slow(self) -> None:
        solution = solution_if_slow(self._bellman, self._policy, self._gamma, self._sweeps_since_change)
        if solution is not None:
            _LOG.info(
                f"sweeps of policy {self._improvements} are slow (residual {self.residual:.2g} after "
                f"{self._sweeps_since_change:,}): linear equations solved instead"
            )
            self._values = solution

    def _improve(self, *, converged: bool) -> int:
        """Makes the policy greedy where it clearly is not; returns the number of states changed.

        An action that ties with the best is kept: switching between ties would never end.
        """
        q = self._bellman.q_values(self._values, self._gamma)
        best = self._bellman.best(q)
        gain = best - self._bellman.expected(q, self._policy)
        margin = self._margin + TIE * best.abs()
        error = 0.0 if self._convergence.exact else self._gamma * value_error(self.residual, self._gamma)
        # Between sweeps this approaches the optimum, as in value iteration, and not this policy's values.
        worse = gain > (margin if self._evaluation_sweeps is not None else torch.clamp(margin, min=2.0 * error))
        self._sweeps_of_this_policy = 0
        if self._may_wait:  # no backup shows that staying forever is worth 0
            waiting, staying = staying_free(self._bellman, self._values < -margin, self._bellman.legal)
            if waiting.any():
                self._values = torch.where(waiting, 0.0, self._values)
                return self._take(lowest(staying), waiting)
        if worse.any():
            return self._take(lowest(self._bellman.greedy_set(q)), worse)
        if not converged or bool((gain > margin).any()) or bool((margin < 2.0 * error).any()):
            return 0  # the evaluation continues
        self._conclude(q)
        return 0

    def _take(self, action: Tensor, where: Tensor) -> int:
        """Takes the actions [S] in the states `where` [S]; returns their number."""
        self._policy = torch.where(where, as_policy(action, self._bellman.num_actions), self._policy)
        self._played = self._policy > 0
        self._improvements += 1
        self._sweeps_since_change = 0
        if self._evaluation_sweeps is None:
            self._convergence.restart()
        return int(where.sum())

    def _conclude(self, q: Tensor) -> None:
        """No action is better; but undiscounted values may be those of no policy at all."""
        between_sweeps = self._evaluation_sweeps is not None
        if between_sweeps and self._gamma == 1.0 and not keeps_promises(self._bellman, self._values, self._policy):
            values = self._greedy.unfinished(self._values, q, self._convergence)
            if values is not None:
                self._values = values
                return
            self._policy = as_policy(self._greedy.choice(self._values, q).action, self._bellman.num_actions)
            self._played = self._policy > 0
        self.finished = True

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def act(self, obs: Obs, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """Draws from the current policy."""
        del explore
        return ActorOutput(draw_actions(self._policy.T, seen(obs), rng), carry, {})

    def tables(self) -> Tables:
        """V and Q of the current policy, and the policy."""
        q = self._bellman.q_values(self._values, self._gamma)
        policy = torch.where(self._bellman.terminal, 0.0, self._policy)
        values, of_actions, acting = (table.cpu().numpy().copy() for table in (self._values, q.T, policy.T))
        return Tables(values, of_actions, acting, gamma=self._gamma)

    def state_dict(self) -> State:
        """Values, policy and counters."""
        return {
            "values": self._values,
            "policy": self._policy,
            "sweeps": self._sweeps,
            "sweeps_of_this_policy": self._sweeps_of_this_policy,
            "sweeps_since_change": self._sweeps_since_change,
            "improvements": self._improvements,
            "convergence": self._convergence.state_dict(),
            "finished": self.finished,
        }

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self._values = state["values"].to(self._values.device)
        self._policy = state["policy"].to(self._policy.device)
        self._played = self._policy > 0
        self._sweeps, self._improvements = state["sweeps"], state["improvements"]
        self._sweeps_of_this_policy = state["sweeps_of_this_policy"]
        self._sweeps_since_change = state["sweeps_since_change"]
        self._convergence.load_state_dict(state["convergence"])
        self.finished = state["finished"]
