"""Value iteration (Bellman 1957; Sutton and Barto 2018, section 4.4), on V or on Q.

- On V (equation 4.10): V(s) ← max over a of Σ p (r + γ V(s')).
- On Q (exercise 4.10): Q(s, a) ← Σ p (r + γ max over a' of Q(s', a')), the same fixed point.
"""

from __future__ import annotations

import logging
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from rlrun.agents.planning.convergence import Convergence
from rlrun.agents.planning.greedy_policy import GreedyPolicy
from rlrun.agents.planning.model import require_model
from rlrun.numerics.bellman import Bellman, tie_margin
from rlrun.types import ActorOutput, Carry, EnvSpec, Metrics, NoSteps, Obs, Rollout, State, Tables, seen

_LOG = logging.getLogger(__name__)


class ValueIteration:
    """One sweep over all states per `learn`, from V = 0 or Q = 0.

    The policy that acts achieves V up to residual / (1 − γ) + 1e-9 of V; with γ = 1 up to (residual + 1e-9 of V) times
    the expected steps of an episode, since among tied actions it takes those that end the episode, and end it soonest.

    Args:
        iterates: `v`: V is swept, and Q is one more backup of it; `q`: Q is swept, and V is its maximum.
        gamma: discount factor per step.
        tolerance: stops once no iterate changes by more in a sweep; they are then within
            tolerance γ / (1 − γ) of the optimal ones.
        spec: with a model.
        device: where values live.

    Raises:
        UserError: if there is no model to plan with.
    """

    def __init__(
        self,
        *,
        iterates: Literal["v", "q"],
        gamma: Annotated[float, Field(ge=0, le=1)],
        tolerance: Annotated[float, Field(ge=0)],
        spec: EnvSpec,
        device: torch.device,
    ) -> None:
        model = require_model(spec)
        self.collection = NoSteps()
        self.finished = False
        self._iterates = iterates
        self._gamma = gamma
        self._bellman = Bellman(model, device)
        self._initial = torch.from_numpy(model.initial).to(device)
        self._values = torch.zeros(model.num_states, dtype=torch.float64, device=device)
        self._q = torch.zeros(self._bellman.legal.shape, dtype=torch.float64, device=device)  # [A, S]
        self._q.masked_fill_(~self._bellman.legal, -torch.inf)
        if iterates == "v":
            self._q = self._bellman.q_values(self._values, gamma)  # of the values now: the next sweep's
        self._margin = tie_margin(tolerance, gamma)
        self._best = self._bellman.greedy_set(self._q, self._margin)  # [A, S] bool; ties are sets, not noise
        self._sweeps = 0
        self._last_change = 0  # the sweep that changed the best actions last; 0: none yet
        self._convergence = Convergence(tolerance, self._bellman, gamma)
        self._policy = GreedyPolicy(self._bellman, gamma)

    @property
    def residual(self) -> float:
        """The largest change of an iterate in the last sweep, reward units."""
        return self._convergence.residual

    def learn(self, rollout: Rollout) -> Metrics:
        """One sweep.

        Raises:
            NoLimitError: if values will never converge.
        """
        del rollout
        bellman = self._bellman
        if self._iterates == "v":
            played, values = self._q, bellman.best(self._q)
            change, q = values - self._values, bellman.q_values(values, self._gamma)
        else:
            played = q = bellman.q_values(self._values, self._gamma)
            change, values = torch.where(bellman.legal, q - self._q, 0.0), bellman.best(q)
        self._values, self._q = values, q
        residual = float(change.abs_().max())
        if self._convergence.converged(residual, values, lambda: _one_best(played), bellman.legal):
            self._conclude()
        changes = self._count_changes()
        if self.finished:
            _LOG.info(
                f"values converged in sweep {self._sweeps:,} (residual {residual:.2g}); last policy change in sweep "
                f"{self._last_change:,}"
            )
        return {
            "plan/residual": residual,
            "plan/policy_changes": float(changes),
            "value/start": self._values @ self._initial,
        }

    def _conclude(self) -> None:
        """Values have converged: finished if the policy achieves them, else some are too large."""
        values = self._policy.unfinished(self._values, self._q, self._convergence)
        self.finished = values is None
        if values is not None and values is not self._values:
            self._q = self._bellman.q_values(values, self._gamma)
            self._values = values if self._iterates == "v" else self._bellman.best(self._q)

    def _count_changes(self) -> int:
        """In how many states the sweep changed the set of best actions."""
        best = self._bellman.greedy_set(self._q, self._margin)
        changes = int((best != self._best).any(dim=0).sum())
        self._sweeps += 1
        self._last_change = self._sweeps if changes else self._last_change
        self._best = best
        return changes

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def act(self, obs: Obs, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """The greedy action of each state [B]; among ties, one that ends the episode soonest."""
        del rng, explore
        return ActorOutput(self._policy.choice(self._values, self._q).action[seen(obs)], carry, {})

    def tables(self) -> Tables:
        """V, Q, the policy, and all greedy actions."""
        return self._policy.tables(self._values, self._q, self._margin)

    def state_dict(self) -> State:
        """The iterates, the best actions, and the state of convergence."""
        return {
            "values": self._values,
            "q": self._q,
            "best": self._best,
            "sweeps": self._sweeps,
            "last_change": self._last_change,
            "convergence": self._convergence.state_dict(),
            "finished": self.finished,
        }

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        device = self._values.device
        self._values, self._q, self._best = (state[name].to(device) for name in ("values", "q", "best"))
        self._sweeps, self._last_change, self.finished = state["sweeps"], state["last_change"], state["finished"]
        self._convergence.load_state_dict(state["convergence"])


def _one_best(q: Tensor) -> Tensor:
    """One action of largest q in each state: q [A, S] to [A, S] bool."""
    return torch.zeros_like(q, dtype=torch.bool).scatter_(0, q.argmax(dim=0, keepdim=True), value=True)
