"""Iterative policy evaluation (Sutton and Barto 2018, section 4.1): V(s) ← Σ π(a|s) Σ p (r + γ V(s'))."""

from __future__ import annotations

import logging
from typing import Annotated

import torch
from pydantic import Field

from rlrun.agents.planning.model import require_model
from rlrun.agents.planning.settling import Settling, solution_if_slow
from rlrun.agents.tables.policies import PolicySource, draw_actions, load_policy
from rlrun.numerics.bellman import Bellman
from rlrun.types import ActorOutput, Carry, EnvSpec, Metrics, NoSteps, Obs, Rollout, State, Tables, seen

_LOG = logging.getLogger(__name__)


class PolicyEvaluation:
    """What a policy is worth: V and Q of it, one sweep per `learn`, from V = 0. It acts as the policy does.

    Where sweeps are slow and the model is small, its linear equations are solved at last, and a last sweep checks.

    Args:
        policy: `uniform`, the directory of a run that kept tables, or a YAML file from states to actions.
        gamma: discount factor per step.
        tolerance: stops once no value changed by more in a sweep.
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
        self._settling = Settling(tolerance, self._bellman, gamma)
        self._sweeps = 0

    @property
    def residual(self) -> float:
        """The largest change of a value in the last sweep, reward units."""
        return self._settling.residual

    def learn(self, rollout: Rollout) -> Metrics:
        """One sweep.

        Raises:
            NoLimitError: if values will never settle.
        """
        del rollout
        policy = self._policy.T
        values = self._bellman.expected(self._bellman.q_values(self._values, self._gamma), policy)
        residual = float((values - self._values).abs().max())
        self._values = values
        self._sweeps += 1
        self.finished = self._settling.settled(residual, values, lambda: self._played, self._played)
        if self.finished:
            _LOG.info(f"values settled in sweep {self._sweeps:,} (residual {residual:.2g})")
        else:
            solution = solution_if_slow(self._bellman, policy, self._gamma, self._sweeps)
            if solution is not None:
                _LOG.info(f"sweeps are slow (residual {residual:.2g} after {self._sweeps:,}): linear equations solved")
                self._values = solution
        return {"plan/residual": residual, "value/start": values @ self._initial}

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def act(self, obs: Obs, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """Draws from the policy, whether it explores or is evaluated."""
        del explore
        return ActorOutput(draw_actions(self._policy, seen(obs), rng), carry, {})

    def tables(self) -> Tables:
        """V and Q of the policy, and the policy."""
        q = self._bellman.q_values(self._values, self._gamma)
        columns = [table.cpu().numpy().copy() for table in (self._values, q.T, self._policy)]
        return Tables(*columns, gamma=self._gamma)

    def state_dict(self) -> State:
        """The values and what is known of how they settle."""
        return {
            "values": self._values,
            "sweeps": self._sweeps,
            "settling": self._settling.state_dict(),
            "finished": self.finished,
        }

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self._values = state["values"].to(self._values.device)
        self._sweeps = state["sweeps"]
        self._settling.load_state_dict(state["settling"])
        self.finished = state["finished"]
