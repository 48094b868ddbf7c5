"""The ε-greedy policy over Q, in tables or linear: how it acts, what it expects, and what it shows."""

from __future__ import annotations

import torch
from torch import Tensor

from rlrun.agents.legality import legal_actions
from rlrun.numerics.distributions import epsilon_greedy_among_ties, epsilon_greedy_among_ties_probs, tied_best
from rlrun.numerics.schedules import Schedule, require_probability
from rlrun.types import EnvSpec, Tables


class EpsilonGreedy:
    """Any legal action with probability ε, else one of the best; ties are broken at random.

    Args:
        epsilon: ε by agent step, when it explores.
        evaluation_epsilon: ε when it is evaluated.
        spec: which actions are legal, as far as observations say so; else all are.
        device: where observations live.

    Raises:
        UserError: if epsilon leaves [0, 1], or some actions are illegal and observations do not say where.
    """

    def __init__(self, epsilon: Schedule, evaluation_epsilon: float, spec: EnvSpec, device: torch.device) -> None:
        require_probability(epsilon, "epsilon")
        self.epsilon, self._evaluation_epsilon = epsilon, evaluation_epsilon
        known = legal_actions(spec)
        self._known = None if known is None else torch.from_numpy(known).to(device)  # [S, A] none in terminal states
        self._legal: Tensor | None = None  # [S, A] the same, all in terminal states: nothing follows; None: all
        if self._known is not None:
            legal = self._known | ~self._known.any(dim=1, keepdim=True)
            self._legal = None if legal.all() else legal

    def masked(self, q: Tensor, obs: Tensor) -> Tensor:
        """Q(s, ·) [B, A] of observations [B, ...], −inf where an action is illegal."""
        return q if self._legal is None else q.masked_fill(~self._legal[obs], -torch.inf)

    def act(self, q: Tensor, obs: Tensor, rng: torch.Generator, step: int, *, explore: bool) -> Tensor:
        """An action [B] for each of the masked Q(s, ·) [B, A], at an agent step."""
        epsilon = self.epsilon(step) if explore else self._evaluation_epsilon
        legal = None if self._legal is None else self._legal.index_select(0, obs)
        return epsilon_greedy_among_ties(q, epsilon, rng, legal)

    def expected(self, q: Tensor, obs: Tensor, step: int) -> Tensor:
        """Σ over a of π(a|s) Q(s, a) as it explores: (1 − ε) times the best and ε times the mean of masked Q: [B]."""
        epsilon = self.epsilon(step)
        if self._legal is None:
            mean = q.mean(dim=1)
        else:
            legal = self._legal.index_select(0, obs)
            mean = torch.where(legal, q, 0.0).sum(dim=1) / legal.sum(dim=1)
        return (1.0 - epsilon) * q.amax(dim=1) + epsilon * mean

    def tables(self, q: Tensor, visits: Tensor | None = None) -> Tables:
        """V, Q, the policy as it is evaluated and all best actions; V 0 and no action where the episode is over.

        Args:
            q: [S, A], of every state.
            visits: [S, A] how often each was learned from; None: not counted.
        """
        legal = torch.ones_like(q, dtype=torch.bool) if self._known is None else self._known
        values = torch.where(legal.any(dim=1), q.amax(dim=1), 0.0)
        shown = q.masked_fill(~legal, -torch.inf)
        policy = epsilon_greedy_among_ties_probs(shown, self._evaluation_epsilon, legal)
        columns = [table.cpu().numpy().copy() for table in (values, shown, policy, tied_best(shown) & legal)]
        counts = None if visits is None else visits.cpu().numpy().copy()
        return Tables(columns[0], columns[1], columns[2], counts, best=columns[3])
