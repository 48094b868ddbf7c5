"""Statistics of scores over runs and tasks, as in "Deep RL at the Edge of the Statistical Precipice".

Agarwal et al. 2021, https://arxiv.org/abs/2108.13264.

`scores` are float64 [..., runs, tasks]: leading dimensions, such as that of bootstrap samples, are kept. All is
compared with rliable 1.2.0 in `tests/reports/test_statistics.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rlrun.types import Float64Array

CONFIDENCE = 0.95
Statistic = Callable[[Float64Array], Float64Array]  # [..., runs, tasks] -> [...]
Picks = NDArray[np.int64]  # [samples, runs, tasks]: which run stands in each place of each bootstrap sample


def mean(scores: Float64Array) -> Float64Array:
    """The mean over runs and tasks, [..., runs, tasks] -> [...]."""
    return np.asarray(scores.mean(axis=(-2, -1)))


def median(scores: Float64Array) -> Float64Array:
    """The median over tasks of the mean over runs; of a single task, the median over its runs. -> [...]."""
    over = scores[..., 0] if scores.shape[-1] == 1 else scores.mean(axis=-2)
    return np.asarray(np.median(over, axis=-1))


def iqm(scores: Float64Array) -> Float64Array:
    """The interquartile mean: the mean of the middle half of all runs of all tasks, [..., runs, tasks] -> [...].

    A quarter of them, rounded down, is left out at each end: with 3 scores or fewer it is the mean.
    """
    from scipy.stats import trim_mean  # slow to import

    return np.asarray(trim_mean(scores.reshape(*scores.shape[:-2], -1), 0.25, axis=-1))


def optimality_gap(scores: Float64Array, target: float) -> Float64Array:
    """By how much scores fall short of `target` in the mean, those above it counted as `target`. -> [...]."""
    return target - mean(np.minimum(scores, target))


def performance_profile(scores: Float64Array, thresholds: Float64Array) -> Float64Array:
    """The fraction of runs, over all tasks, with a score above each threshold, [..., runs, tasks] -> [..., K].

    Args:
        scores: [..., runs, tasks].
        thresholds: [K].
    """
    return np.stack([(scores > threshold).mean(axis=(-2, -1)) for threshold in thresholds], axis=-1)


def probability_of_improvement(x: Float64Array, y: Float64Array) -> Float64Array:
    """The probability that a run of X scores more than one of Y, averaged over tasks; a tie counts half. -> [...].

    It is the Mann-Whitney U statistic over the number of pairs.

    Args:
        x: [..., runs of X, tasks].
        y: [..., runs of Y, tasks].
    """
    left, right = x[..., :, None, :], y[..., None, :, :]
    return np.asarray(((left > right) + 0.5 * (left == right)).mean(axis=(-3, -2, -1)))


def stratified_picks(rng: np.random.Generator, samples: int, runs: int, tasks: int) -> Picks:
    """Runs drawn with replacement within each task, [samples, runs, tasks]."""
    return rng.integers(runs, size=(samples, runs, tasks))


def resampled(scores: Float64Array, picks: Picks) -> Float64Array:
    """Bootstrap samples [samples, runs, tasks] of scores [runs, tasks]."""
    return np.take_along_axis(scores[None], picks, axis=1)


def percentile_interval(estimates: Float64Array) -> Float64Array:
    """The 95% percentile interval [2, ...], lower end first, of estimates [samples, ...] from bootstrap samples."""
    tail = 100 * (1 - CONFIDENCE) / 2
    return np.percentile(estimates, [tail, 100 - tail], axis=0)


def interval(statistic: Statistic, scores: Float64Array, picks: Picks) -> Float64Array:
    """The interval of a statistic over runs, [2, ...]; NaN with a single run, which says nothing about other runs.

    Args:
        statistic: [..., runs, tasks] -> [...], or with further dimensions at its end.
        scores: [runs, tasks].
        picks: [samples, runs, tasks].
    """
    if scores.shape[0] == 1:
        return np.full((2, *np.shape(statistic(scores))), np.nan)
    return percentile_interval(statistic(resampled(scores, picks)))


def improvement_interval(x: Float64Array, y: Float64Array, picks_x: Picks, picks_y: Picks) -> Float64Array:
    """The interval [2] of the probability of improvement, runs of X and Y drawn independently; NaN if either is single.

    Args:
        x: [runs of X, tasks].
        y: [runs of Y, tasks].
        picks_x: [samples, runs of X, tasks].
        picks_y: [samples, runs of Y, tasks].
    """
    if min(x.shape[0], y.shape[0]) == 1:
        return np.full(2, np.nan)
    return percentile_interval(probability_of_improvement(resampled(x, picks_x), resampled(y, picks_y)))


def curve_interval(values: Float64Array, picks: NDArray[np.int64]) -> Float64Array:
    """The interval [2, points] of the interquartile mean at each point of curves; whole curves are drawn.

    Args:
        values: [runs, points].
        picks: [samples, runs].
    """
    if values.shape[0] == 1:
        return np.full((2, values.shape[1]), np.nan)
    return percentile_interval(iqm(np.moveaxis(values[picks], 2, 1)[..., None]))
