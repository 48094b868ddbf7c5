"""Value iteration (Bellman 1957; Sutton and Barto 2018, section 4.4): V(s) ← max over a of Σ p (r + γ V(s'))."""

from __future__ import annotations

import logging
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from rlrun.agents.planning.settling import Settling
from rlrun.agents.tables.table_agent import Acting, PolicyWatch, one_best, require_model, settled_line
from rlrun.numerics.bellman import Bellman, tie_margin
from rlrun.types import ActorOutput, Carry, EnvSpec, Metrics, NoSteps, Rollout, State, Tables

_LOG = logging.getLogger(__name__)


class ValueIteration:
    """One sweep over all states per `learn`, from V = 0.

    The policy that acts gets what V claims, up to residual / (1 − γ) + 1e-9 of V; with γ = 1 up to (residual + 1e-9 of
    V) times the expected steps of an episode, for it takes those of tied actions that end, and end soonest.

    Args:
        gamma: discount factor per step.
        tolerance: stops once no value changed by more in a sweep; V is then within tolerance γ / (1 − γ) of V*.
        spec: with a model.
        device: where values live.

    Raises:
        UserError: if there is no model to plan with.
    """

    def __init__(
        self,
        *,
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
        self._initial = torch.from_numpy(model.initial).to(device)
        self._values = torch.zeros(model.num_states, dtype=torch.float64, device=device)
        self._q = self._bellman.q_values(self._values, gamma)  # [A, S] of the values now: the next sweep's
        self._margin = tie_margin(tolerance, gamma)
        self._watch = PolicyWatch(self._bellman.greedy_set(self._q, self._margin))
        self._settling = Settling(tolerance, self._bellman, gamma)
        self._acting = Acting(self._bellman, gamma)

    @property
    def residual(self) -> float:
        """The largest change of a value in the last sweep, reward units."""
        return self._settling.residual

    def learn(self, rollout: Rollout) -> Metrics:
        """One sweep.

        Raises:
            UserError: if values will never settle.
        """
        del rollout
        q, bellman = self._q, self._bellman
        values = bellman.best(q)
        residual = float((values - self._values).abs().max())
        settled = self._settling.settled(residual, values, lambda: one_best(q), bellman.legal)
        self._values, self._q = values, bellman.q_values(values, self._gamma)
        if settled:
            self._conclude()
        changes = self._watch.sweep(bellman.greedy_set(self._q, self._margin))
        if self.finished:
            _LOG.info(settled_line(self._watch, residual))
        return {
            "plan/residual": residual,
            "plan/policy_changes": float(changes),
            "value/start": self._values @ self._initial,
        }

    def _conclude(self) -> None:
        """Values have settled: it is over if they are got, else some are too large."""
        go_on = self._acting.to_go_on_from(self._values, self._q, self._settling)
        self.finished = go_on is None
        if go_on is not None and go_on is not self._values:
            self._values, self._q = go_on, self._bellman.q_values(go_on, self._gamma)

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def act(self, obs: Tensor, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """The greedy action of each state [B]; of tied ones that which ends, and soonest."""
        del rng, explore
        return ActorOutput(self._acting.choice(self._values, self._q).action[obs], carry, {})

    def tables(self) -> Tables:
        """V, the Q that one more backup gives, how it acts, and all greedy actions."""
        return self._acting.tables(self._values, self._q, self._margin)

    def state_dict(self) -> State:
        """The values and what is known of how they settle."""
        return {
            "values": self._values,
            "watch": self._watch.state_dict(),
            "settling": self._settling.state_dict(),
            "finished": self.finished,
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on sweeping."""
        self._values = state["values"].to(self._values.device)
        self._q = self._bellman.q_values(self._values, self._gamma)
        self._watch.load_state_dict(state["watch"])
        self._settling.load_state_dict(state["settling"])
        self.finished = state["finished"]
