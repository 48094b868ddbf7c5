"""What every deterministic policy of a small model earns without discount, exactly: an oracle for planners."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from rlrun.types import BoolArray, Float64Array, TabularModel


class LongRun(NamedTuple):
    """Of policies [..., S, A] from each state, [..., S]."""

    gain: Float64Array  # reward a step, for ever
    total: Float64Array  # reward for ever: -inf where it loses and inf where it gains for ever; see `long_run`
    cancels: BoolArray  # whether rewards cancel for ever, without an end


def every_policy(legal: BoolArray) -> Float64Array:
    """[P, S, A]: all deterministic policies; nothing is played where nothing is legal [S, A]."""
    rows = [np.eye(len(row))[row] if row.any() else np.zeros((1, len(row))) for row in legal]
    return np.array(list(itertools.product(*rows)))


def chain_of(model: TabularModel, policy: Float64Array) -> tuple[Float64Array, Float64Array]:
    """What policies [..., S, A] make of the model: where it continues to, [..., S, S], and what it earns, [..., S]."""
    chance = policy[..., model.state, model.action] * model.probability
    matrix = np.zeros((*policy.shape[:-1], model.num_states))
    earned = np.zeros(policy.shape[:-1])
    steps: Any = (..., model.state, model.next_state)
    starts: Any = (..., model.state)
    np.add.at(matrix, steps, chance * model.discount)
    np.add.at(earned, starts, chance * model.reward)
    return matrix, earned


def long_run(model: TabularModel, policy: Float64Array) -> LongRun:
    """Of policies [..., S, A].

    Where rewards cancel, the total is the mean of the sums over n steps for n to infinity (Puterman 1994, section
    8.2.3).
    """
    matrix, earned = chain_of(model, policy)
    size = model.num_states + 1  # with a state of its own for what has ended
    whole, reward = np.zeros((*matrix.shape[:-2], size, size)), np.zeros((*earned.shape[:-1], size))
    whole[..., :-1, :-1], reward[..., :-1] = matrix, earned
    whole[..., -1] = (1.0 - whole.sum(axis=-1)).round(12)  # what rounding leaves is no end
    limit = (whole + np.eye(size)) / 2  # as often in every state as the chain, without its periods
    for _ in range(60):
        limit = limit @ limit
        limit /= limit.sum(axis=-1, keepdims=True)
    gain = (limit @ reward[..., None])[..., 0]
    sums = np.linalg.solve(np.eye(size) - whole + limit, (reward - gain)[..., None])[..., 0]
    total = np.where(gain < -1e-9, -np.inf, np.where(gain > 1e-9, np.inf, sums))
    cancels = (np.abs(gain) <= 1e-9) & ((limit @ np.abs(reward)[..., None])[..., 0] > 1e-9)
    return LongRun(gain[..., :-1], total[..., :-1], cancels[..., :-1])
