"""Q-value iteration: Q(s, a) ← Σ p (r + γ max over a' of Q(s', a')), the same fixed point without V."""

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


class QIteration:
    """One sweep over all states and actions per `learn`, from Q = 0. It acts as value iteration does, by ties in Q.

    Args:
        gamma: discount factor per step.
        tolerance: stops once no Q changed by more in a sweep; Q is then within tolerance γ / (1 − γ) of Q*.
        spec: with a model.
        device: where Q lives.

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
        self._q = torch.zeros(model.num_actions, model.num_states, dtype=torch.float64, device=device)
        self._q.masked_fill_(~self._bellman.legal, -torch.inf)
        self._margin = tie_margin(tolerance, gamma)
        self._watch = PolicyWatch(self._bellman.greedy_set(self._q, self._margin))
        self._settling = Settling(tolerance, self._bellman, gamma)
        self._acting = Acting(self._bellman, gamma)

    @property
    def residual(self) -> float:
        """The largest change of a Q in the last sweep, reward units."""
        return self._settling.residual

    def learn(self, rollout: Rollout) -> Metrics:
        """One sweep.

        Raises:
            UserError: if Q will never settle.
        """
        del rollout
        q = self._bellman.q_values(self._bellman.best(self._q), self._gamma)
        residual = float((q - self._q).nan_to_num_(0.0).abs().max())  # −inf − −inf where an action is illegal
        self._q, values = q, self._bellman.best(q)
        if self._settling.settled(residual, values, lambda: one_best(q), self._bellman.legal):
            go_on = self._acting.to_go_on_from(values, q, self._settling)
            self.finished = go_on is None
            if go_on is not None and go_on is not values:
                self._q, values = self._bellman.q_values(go_on, self._gamma), go_on
        changes = self._watch.sweep(self._bellman.greedy_set(self._q, self._margin))
        if self.finished:
            _LOG.info(settled_line(self._watch, residual))
        return {
            "plan/residual": residual,
            "plan/policy_changes": float(changes),
            "value/start": values @ self._initial,
        }

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def act(self, obs: Tensor, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """The greedy action of each state [B]; of tied ones that which ends, and soonest."""
        del rng, explore
        return ActorOutput(self._acting.choice(self._bellman.best(self._q), self._q).action[obs], carry, {})

    def tables(self) -> Tables:
        """V as the best of Q, Q, how it acts, and all greedy actions."""
        return self._acting.tables(self._bellman.best(self._q), self._q, self._margin)

    def state_dict(self) -> State:
        """Q and what is known of how it settles."""
        return {
            "q": self._q,
            "watch": self._watch.state_dict(),
            "settling": self._settling.state_dict(),
            "finished": self.finished,
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on sweeping."""
        self._q = state["q"].to(self._q.device)
        self._watch.load_state_dict(state["watch"])
        self._settling.load_state_dict(state["settling"])
        self.finished = state["finished"]
