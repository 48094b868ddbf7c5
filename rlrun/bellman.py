"""Bellman backups on a finite MDP (Sutton and Barto 2018, chapter 4), vectorised over states and linear in memory.

Q(s, a) = Σ over outcomes of p (r + γ d V(s')), where d is 0 on outcomes that terminate. Arrays lie action by action,
[A, S], because the maximum over actions is then one pass over contiguous memory.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rlrun.errors import UserError
from rlrun.types import Float64Array, Int64Array, TabularModel

ROUNDING = 1e-13  # of the largest value: what sums of float64 numbers leave
TIE = 1e-9  # actions whose values differ by less, relative to the larger, are equally good


class Bellman:
    """The backup operator of a model, compiled for sweeps.

    Outcomes are kept in layers: layer k has the k-th outcome of every (state, action) with so many. One layer is one
    gather and one multiply-add, and nothing is padded.

    Args:
        model: rows in any order.
        device: where values live.

    Raises:
        UserError: if the outcomes of a legal (state, action) do not sum to 1.
    """

    def __init__(self, model: TabularModel, device: torch.device) -> None:
        self.num_states, self.num_actions = model.num_states, model.num_actions
        num_pairs = self.num_states * self.num_actions
        pair = model.action * self.num_states + model.state
        total: Float64Array = np.bincount(pair, model.probability, num_pairs).astype(np.float64)
        self.legal = torch.from_numpy(np.ascontiguousarray(model.legal.T)).to(device)  # [A, S]
        self.terminal = ~self.legal.any(dim=0)  # [S] nothing can be done, so nothing is earned
        self._check(total, model)
        reward = np.bincount(pair, model.probability * model.reward, num_pairs)
        reward[~model.legal.T.reshape(-1)] = -np.inf
        self._reward = torch.from_numpy(reward).to(device)
        weight = model.probability * model.discount
        self._layers: list[tuple[Tensor | None, Tensor, Tensor]] = []  # (pairs or all of them, successors, p d)
        rank = _rank_within(pair)
        for layer in range(int(rank.max()) + 1):
            chosen = np.flatnonzero(rank == layer)
            pairs, successor, share = pair[chosen], model.next_state[chosen], weight[chosen]
            if len(pairs) == num_pairs or layer == 0:  # the first layer covers every pair, so that it can be written
                everywhere = np.zeros(num_pairs, np.int64), np.zeros(num_pairs)
                everywhere[0][pairs], everywhere[1][pairs] = successor, share
                to, share_there = (torch.from_numpy(array).to(device) for array in everywhere)
                self._layers.append((None, to, share_there))
            else:
                where, to, share_there = (torch.from_numpy(array).to(device) for array in (pairs, successor, share))
                self._layers.append((where, to, share_there))

    def _check(self, total: Float64Array, model: TabularModel) -> None:
        wrong = np.flatnonzero(model.legal.T.reshape(-1) & (np.abs(total - 1.0) > 1e-6))
        if len(wrong):
            action, state = divmod(int(wrong[0]), self.num_states)
            raise UserError(
                f"the model's outcomes of action {action} in state {state} have probability {total[wrong[0]]:g} "
                "together, not 1"
            )

    def q_values(self, values: Tensor, gamma: float) -> Tensor:
        """One backup: V [S] to Q [A, S]; −inf where an action is illegal."""
        q = self._reward
        for index, (pairs, successor, share) in enumerate(self._layers):
            following = values.index_select(0, successor)
            if pairs is None:
                q = torch.addcmul(q, share, following, value=gamma, out=following)
            else:
                q = q.clone() if index == 0 else q
                q.index_add_(0, pairs, following.mul_(share), alpha=gamma)
        return q.view(self.num_actions, self.num_states)

    def best(self, q: Tensor) -> Tensor:
        """The largest over a of Q(s, a): [A, S] to [S]; 0 in terminal states."""
        return q.amax(dim=0).masked_fill_(self.terminal, 0.0)

    def expected(self, q: Tensor, policy: Tensor) -> Tensor:
        """Σ over a of π(a|s) Q(s, a): q, policy [A, S] to [S]; 0 in terminal states."""
        return (policy * q.masked_fill(~self.legal, 0.0)).sum(dim=0).masked_fill_(self.terminal, 0.0)

    def greedy_set(self, q: Tensor) -> Tensor:
        """Which actions are best, ties within rounding included: [A, S] bool."""
        best = q.amax(dim=0)
        return (q >= best - TIE * best.abs().clamp(min=1.0)) & self.legal


def _rank_within(group: Int64Array) -> Int64Array:
    """0, 1, 2 ... for the first, second, third ... appearance of each value."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    counts = np.diff(begins, append=len(ordered))
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(ordered)) - np.repeat(begins, counts)
    return rank


def lowest(best: Tensor) -> Tensor:
    """The lowest marked action of each state, 0 where there is none: [A, S] bool to [S] int64."""
    return best.to(torch.uint8).argmax(dim=0)


def as_policy(action: Tensor, num_actions: int) -> Tensor:
    """Actions [S] as probabilities [A, S]."""
    return torch.nn.functional.one_hot(action, num_actions).T.to(torch.float64)


class Settling:
    """Watches the residual of sweep after sweep: has it settled, and will it ever?

    With gamma 1 a model whose policy earns or pays for ever has no finite values, and its residual stops falling;
    sweeps never raise it (backups do not expand). It may stand still for as many sweeps as there are states, while
    values travel through the model.

    Args:
        tolerance: settled when no value changed by more in one sweep, or by more than rounding; reward units.
        num_states: of the model.
    """

    def __init__(self, tolerance: float, num_states: int) -> None:
        self._tolerance = tolerance
        self._patience = 2 * num_states + 100
        self.restart()

    def restart(self) -> None:
        """Another fixed point is looked for from here on."""
        self._least, self._waited = float("inf"), 0

    def settled(self, residual: float, largest: float) -> bool:
        """Takes note of one sweep: its residual, and the largest value after it.

        Raises:
            UserError: if values change for ever.
        """
        if residual <= max(self._tolerance, ROUNDING * largest):
            return True
        if residual < self._least * (1.0 - 1e-9):
            self._least, self._waited = residual, 0
        else:
            self._waited += 1
        if self._waited > self._patience:
            raise UserError(
                f"values still change by {residual:g} a sweep, after {self._waited} sweeps that made it no less: they "
                "have no finite limit without discount here; give algo.gamma below 1"
            )
        return False

    def state_dict(self) -> dict[str, float]:
        """How long it has waited."""
        return {"least": self._least, "waited": self._waited}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Goes on waiting."""
        self._least, self._waited = state["least"], int(state["waited"])
