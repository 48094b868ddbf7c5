"""Iterative policy evaluation (Sutton and Barto 2018, section 4.1): V(s) ← Σ π(a|s) Σ p (r + γ V(s'))."""

from __future__ import annotations

import logging
from typing import Annotated

import torch
from pydantic import Field

from rlrun.agents.planning.convergence import Convergence, solution_if_slow
from rlrun.agents.planning.model import require_model
from rlrun.agents.tables.policies import PolicySource, draw_actions, load_policy
from rlrun.numerics.bellman import Bellman
from rlrun.types import ActorOutput, Carry, EnvSpec, Metrics, NoSteps, Obs, Rollout, State, Tables, seen

_LOG = logging.getLogger(__name__)


class PolicyEvaluation:
    """V and Q of a fixed policy, one sweep per `learn`, from V = 0. It acts by that policy.

    Where sweeps are slow and the model is small, the linear equations are solved instead, and a final sweep checks.

    Args:
        policy: `uniform`, the directory of a run with tables, or a YAML file from states to actions.
        gamma: discount factor per step.
        tolerance: stops once no value changes by more in a sweep.
        spec: with a model.
        device: where values live.

    Raises:
        UserError: if there is no model, or the policy does not fit it.
    """

    def __init__(
        self,
        *,
        policy: PolicySource,
        gamma: Annotated[float, Field(ge=0, le=1)],
        tolerance: Annotated[float, Field(ge=0)],
        spec: EnvSpec,
        device: torch.device,
    ) -> None:
        model = require_model(spec)
        self.collection = NoSteps()
        self.finished = False
        self._gamma = gamma
        self._bellman = Bellman(model, device)
        self._policy = torch.from_numpy(load_policy(policy, "policy", spec, model.num_states)).to(device)  # [S, A]
        self._played = self._policy.T > 0  # [A, S]
        self._initial = torch.from_numpy(model.initial).to(device)
        self._values = torch.zeros(model.num_states, dtype=torch.float64, device=device)
        self._convergence = Convergence(tolerance, self._bellman, gamma)
        self._sweeps = 0

    @property
    def residual(self) -> float:
        """The largest change of a value in the last sweep, reward units."""
        return self._convergence.residual

    def learn(self, rollout: Rollout) -> Metrics:
        """One sweep.

        Raises:
            NoLimitError: if values will never converge.
        """
        del rollout
        policy = self._policy.T
        values = self._bellman.expected(self._bellman.q_values(self._values, self._gamma), policy)
        residual = float((values - self._values).abs().max())
        self._values = values
        self._sweeps += 1
        self.finished = self._convergence.converged(residual, values, lambda: self._played, self._played)
        if self.finished:
            _LOG.info(f"values converged in sweep {self._sweeps:,} (residual {residual:.2g})")
        else:
            solution = solution_if_slow(self._bellman, policy, self._gamma, self._sweeps)
            if solution is not None:
                _LOG.info(
                    f"sweeps are slow (residual {residual:.2g} after {self._sweeps:,}): linear equations solved instead"
                )
                self._values = solution
        return {"plan/residual": residual, "value/start": values @ self._initial}

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def act(self, obs: Obs, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """Draws from the policy, in training and in evaluation."""
        del explore
        return ActorOutput(draw_actions(self._policy, seen(obs), rng), carry, {})

    def tables(self) -> Tables:
        """V and Q of the policy, and the policy."""
        q = self._bellman.q_values(self._values, self._gamma)
        values, of_actions, acting = (table.cpu().numpy().copy() for table in (self._values, q.T, self._policy))
        return Tables(values, of_actions, acting, gamma=self._gamma)

    def state_dict(self) -> State:
        """The values and the state of convergence."""
        return {
            "values": self._values,
            "sweeps": self._sweeps,
            "convergence": self._convergence.state_dict(),
            "finished": self.finished,
        }

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self._values = state["values"].to(self._values.device)
        self._sweeps = state["sweeps"]
        self._convergence.load_state_dict(state["convergence"])
        self.finished = state["finished"]
