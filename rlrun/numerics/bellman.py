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

TIE = 1e-9  # actions whose values differ by less, relative to the larger, are equally good
_NOTHING = 1e-14  # relative to the terms of an expected reward: what is left of a sum of terms that cancel
_COARSEST = 1e-5  # reward units: a coarse tolerance must not hide that one action is better than another
_MOST_STEPS_AHEAD = 1000.0  # counted where there is no discount: how much the error of one sweep may grow


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
        self.terminal = ~self.legal.any(dim=0)  # [S] no legal action, so no reward
        ending = np.bincount(pair, model.probability * (model.discount != 1.0), num_pairs) > 0
        self._ending = torch.from_numpy(ending).to(device)  # [A S] may end the episode
        self._zero = torch.zeros(num_pairs, dtype=torch.float64, device=device)
        self._check(total, model)
        reward = np.bincount(pair, model.probability * model.reward, num_pairs)
        size = np.bincount(pair, model.probability * np.abs(model.reward), num_pairs)
        free = torch.from_numpy(np.abs(reward) <= _NOTHING * size).to(device).view(self.num_actions, self.num_states)
        self.free = free & self.legal  # [A, S] expected reward 0
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
                f"the probabilities of the model's outcomes of action {action} in state {state} must sum to 1, not "
                f"{total[wrong[0]]:g}"
            )

    def q_values(self, values: Tensor, gamma: float) -> Tensor:
        """One backup: V [S] to Q [A, S]; −inf where an action is illegal."""
        return self._backup(self._reward, values, gamma)

    def following(self, values: Tensor) -> Tensor:
        """The expectation of `values` [S] after each (action, state), 0 where the episode has ended: [A, S]."""
        return self._backup(self._zero, values, 1.0)

    def _backup(self, reward: Tensor, values: Tensor, gamma: float) -> Tensor:
        q = reward  # [A S]
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

    def greedy_set(self, q: Tensor, margin: float = 0.0, tie: float = TIE) -> Tensor:
        """Which actions are best, up to `margin`, or up to `tie` relative to the best: [A, S] bool."""
        best = q.amax(dim=0)
        return (q >= best - best.abs().clamp_(min=1.0).mul_(tie).add_(margin)) & self.legal

    def leaving(self, inside: Tensor) -> Tensor:
        """Which (action, state) pairs may end the episode or lead out of the states `inside` [S] bool: [A, S] bool."""
        out = self.following((~inside).to(torch.float64)) > 0
        return out | self._ending.view(self.num_actions, self.num_states)

    def trapped(self, within: Tensor, pairs: Tensor) -> Tensor:
        """The largest part of the states `within` that no outcome of `pairs` leaves, and in which none ends.

        Args:
            within: [S] bool.
            pairs: [A, S] bool, the (action, state) pairs that are played.

        Returns:
            [S] bool, without terminal states.
        """
        inside = within & ~self.terminal
        while True:
            remaining = inside & ~(self.leaving(inside) & pairs).any(dim=0)
            if torch.equal(remaining, inside):
                return inside
            inside = remaining

    def solve(self, policy: Tensor, gamma: float) -> Tensor:
        """V of a policy [A, S] from its linear equations (Sutton and Barto 2018, equation 4.4): [S].

        The matrix is dense, [S, S]. With gamma 1 there is a solution only if the policy ends from everywhere: if
        nothing is `trapped` by it.
        """
        chance = policy.masked_fill(~self.legal, 0.0).reshape(-1)
        matrix = torch.eye(self.num_states, dtype=torch.float64, device=policy.device)
        every = torch.arange(len(chance), device=policy.device)
        for where, successor, share in self._layers:
            pairs = every if where is None else where
            matrix.index_put_((pairs % self.num_states, successor), -gamma * chance[pairs] * share, accumulate=True)
        earned = self.expected(self._reward.view(self.num_actions, self.num_states), policy)
        solution: Tensor = torch.linalg.solve(matrix, earned)
        return solution


def _rank_within(group: Int64Array) -> Int64Array:
    """0, 1, 2 ... for the first, second, third ... appearance of each value."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    counts = np.diff(begins, append=len(ordered))
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(ordered)) - np.repeat(begins, counts)
    return rank


def value_error(tolerance: float, gamma: float) -> float:
    """Roughly how wrong values may be when they change by no more than `tolerance` a sweep.

    For gamma below 1 this is the bound tolerance / (1 - gamma); but the end of an episode discounts as well, so at most
    1,000 steps count.
    """
    return tolerance * min(1.0 / max(1.0 - gamma, 1e-12), _MOST_STEPS_AHEAD)


def tie_margin(tolerance: float, gamma: float) -> float:
    """Actions whose converged values differ by less are tied; reward units."""
    return min(2.0 * value_error(tolerance, gamma), _COARSEST)


def lowest(best: Tensor) -> Tensor:
    """The lowest marked action of each state, 0 where there is none: [A, S] bool to [S] int64."""
    return best.to(torch.uint8).argmax(dim=0)


def as_policy(action: Tensor, num_actions: int) -> Tensor:
    """Actions [S] as probabilities [A, S]."""
    return torch.nn.functional.one_hot(action, num_actions).T.to(torch.float64)
