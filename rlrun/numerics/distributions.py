"""Policies as distributions (see `rlrun.protocols.Distribution`), and epsilon-greedy.

All randomness comes from the generator passed in.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

__all__ = ["Categorical"]


def allowed(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Scores [..., A], −inf outside the mask [..., A]; unchanged in rows without an allowed action."""
    if mask is None:
        return scores
    return scores.masked_fill(~mask & mask.any(dim=-1, keepdim=True), -torch.inf)


class Categorical:
    """Actions 0 to A - 1 with probabilities softmax(logits), exactly 0 outside the mask.

    Immutable. It caches by hand, since torch's compiler does not support `cached_property`.

    Args:
        logits: [..., A].
        mask: [..., A] bool, see `allowed`; None: every action.
    """

    def __init__(self, logits: Tensor, mask: Tensor | None = None) -> None:
        self.logits = logits
        self.mask = mask
        self._log_probs: Tensor | None = None

    @property
    def log_probs(self) -> Tensor:
        """[..., A], computed once; -inf outside the mask."""
        if self._log_probs is None:
            self._log_probs = torch.log_softmax(allowed(self.logits, self.mask), dim=-1)
        return self._log_probs

    def sample(self, rng: torch.Generator) -> Tensor:
        """See `Distribution.sample`: int64 [...].

        The first of A exponential clocks with rates exp(logits) rings at a with probability softmax(logits)[a].
        """
        clocks = torch.empty_like(self.logits).exponential_(generator=rng)
        return allowed(self.logits - clocks.log(), self.mask).argmax(dim=-1)  # masked last: a clock may be 0

    def log_prob(self, draw: Tensor) -> Tensor:
        """See `Distribution.log_prob`; -inf outside the mask. draw int64 [...]."""
        rows = self.log_probs.flatten(0, -2)
        return -nn.functional.nll_loss(rows, draw.flatten(), reduction="none").view(draw.shape)

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`: - sum of p log p; terms with probability 0 are 0."""
        finite = self.log_probs.clamp(min=torch.finfo(self.log_probs.dtype).min)  # 0 times that is 0, not NaN
        return -(self.log_probs.exp() * finite).sum(dim=-1)

    def mode(self) -> Tensor:
        """See `Distribution.mode`; the lowest index among equally likely ones."""
        return allowed(self.logits, self.mask).argmax(dim=-1)

    def kl(self, other: Self) -> Tensor:
        """See `Distribution.kl`."""
        probs = self.log_probs.exp()
        ratio = torch.where(probs > 0, self.log_probs - other.log_probs, 0.0)
        return (probs * ratio).sum(dim=-1)


def greedy(values: Tensor) -> Tensor:
    """The best action of each row; the lowest index among ties. values [B, A] -> [B] int64."""
    return values.argmax(dim=1)  # torch promises the first of several maxima


def epsilon_greedy_probs(q: Tensor, epsilon: float) -> Tensor:
    """[B, A]: every action has epsilon / A, and the greedy one 1 − epsilon more."""
    probs = torch.full_like(q, epsilon / q.shape[1])
    return probs.scatter_add(1, greedy(q)[:, None], torch.full_like(q[:, :1], 1.0 - epsilon))


def epsilon_greedy(q: Tensor, epsilon: float, rng: torch.Generator, mask: Tensor | None = None) -> Tensor:
    """Draws from `epsilon_greedy_probs`, among the actions of the mask [B, A]. q [B, A] -> [B] int64."""
    return or_random(greedy(allowed(q, mask)), epsilon, rng, q.shape[1], mask)


def or_random(
    action: Tensor, epsilon: float, rng: torch.Generator, num_actions: int, mask: Tensor | None = None
) -> Tensor:
    """The action [B], or with probability epsilon one of all those of the mask [B, A], equally likely."""
    if mask is None:
        random_action = torch.randint(num_actions, action.shape, generator=rng, device=action.device)
    else:
        random_action = any_of(mask, rng)
    explores = torch.rand(len(action), generator=rng, device=action.device) < epsilon
    return torch.where(explores, random_action, action)


def tied_best(q: Tensor) -> Tensor:
    """All actions that are exactly as good as the best one of their row. q [B, A] -> [B, A] bool."""
    return q == q.amax(dim=1, keepdim=True)


def epsilon_greedy_among_ties_probs(q: Tensor, epsilon: float, legal: Tensor | None = None) -> Tensor:
    """[B, A]: epsilon in equal shares for every legal action, the rest in equal shares for all of the best ones.

    Args:
        q: [B, A], −inf where an action is illegal.
        epsilon: probability of a random action.
        legal: [B, A]; None: every action. A row without any is 0 everywhere.
    """
    legal = torch.ones_like(q, dtype=torch.bool) if legal is None else legal
    best = (tied_best(q) & legal).to(q.dtype)
    share = legal.to(q.dtype) / legal.sum(dim=1, keepdim=True).clamp(min=1)
    return epsilon * share + (1.0 - epsilon) * best / best.sum(dim=1, keepdim=True).clamp(min=1.0)


def epsilon_greedy_among_ties(q: Tensor, epsilon: float, rng: torch.Generator, legal: Tensor | None = None) -> Tensor:
    """Draws from `epsilon_greedy_among_ties_probs`: for tables, whose actions tie until they are learned.

    q [B, A] and legal [B, A] as there -> [B] int64.
    """
    best, action = q.max(dim=1)
    tied = q == best[:, None]
    if int(tied.sum()) > len(q):  # rare once something is learned
        action = any_of(tied if legal is None else tied & legal, rng)
    explores = torch.rand(len(q), generator=rng, device=q.device) < epsilon
    if legal is not None:
        return torch.where(explores, any_of(legal, rng), action)
    return torch.where(explores, torch.randint(q.shape[1], action.shape, generator=rng, device=q.device), action)


def any_of(eligible: Tensor, rng: torch.Generator) -> Tensor:
    """One of the marked actions of each row, all equally likely; 0 where there is none. [B, A] bool -> [B] int64."""
    draws = torch.rand(eligible.shape, generator=rng, device=eligible.device)
    return torch.where(eligible, draws, -1.0).argmax(dim=1)
