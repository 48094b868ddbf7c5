"""The ε-greedy policy over Q, tabular or linear: acting, expectations, and tables."""

from __future__ import annotations

import torch
from torch import Tensor

from rlrun.agents.legality import require_mask
from rlrun.numerics.distributions import allowed, epsilon_greedy_among_ties, epsilon_greedy_among_ties_probs, tied_best
from rlrun.numerics.schedules import Schedule, require_probability
from rlrun.types import EnvSpec, Obs, Tables, action_mask


class EpsilonGreedy:
    """Any legal action with probability ε, else one of the best; ties are broken at random.

    Args:
        epsilon: ε in training, by agent step.
        spec: says which actions are legal where observations show the state; otherwise all are.
        device: where observations live.

    Raises:
        UserError: if epsilon leaves [0, 1], or some actions are illegal and observations have no mask.
    """

    def __init__(self, epsilon: Schedule, spec: EnvSpec, device: torch.device) -> None:
        require_probability(epsilon, "epsilon")
        self.epsilon = epsilon
        require_mask(spec)
        model = spec.seen_model
        self._known = None if model is None else torch.from_numpy(model.legal).to(device)  # [S, A], for the tables

    def act(self, q: Tensor, obs: Obs, rng: torch.Generator, step: int, *, explore: bool) -> Tensor:
        """An action [B] for each Q(s, ·) [B, A] of observations [B, ...], at an agent step."""
        epsilon = self.epsilon(step) if explore else 0.0
        mask = action_mask(obs)
        return epsilon_greedy_among_ties(allowed(q, mask), epsilon, rng, mask)

    def expected(self, q: Tensor, obs: Obs, step: int) -> Tensor:
        """Σ over a of π(a|s) Q(s, a) in training: (1 − ε) times the best and ε times the mean of allowed Q: [B]."""
        epsilon, mask = self.epsilon(step), action_mask(obs)
        q = allowed(q, mask)
        if mask is None:
            mean = q.mean(dim=1)
        else:
            finite = q > -torch.inf
            mean = torch.where(finite, q, 0.0).sum(dim=1) / finite.sum(dim=1)
        return (1.0 - epsilon) * q.amax(dim=1) + epsilon * mean

    def tables(self, q: Tensor, visits: Tensor | None = None) -> Tables:
        """V, Q, the greedy policy and all best actions; V 0 and no action where the episode is over.

        Args:
            q: [S, A], of every state.
            visits: [S, A] how often each was learned from; None: not counted.
        """
        legal = torch.ones_like(q, dtype=torch.bool) if self._known is None else self._known
        shown = q.masked_fill(~legal, -torch.inf)
        values = torch.where(legal.any(dim=1), shown.amax(dim=1), 0.0)
        policy = epsilon_greedy_among_ties_probs(shown, 0.0, legal)
        columns = [table.cpu().numpy().copy() for table in (values, shown, policy, tied_best(shown) & legal)]
        counts = None if visits is None else visits.cpu().numpy().copy()
        return Tables(columns[0], columns[1], columns[2], counts, best=columns[3])
