"""Numbers of a report: statistics of groups with their intervals, curves on a common grid, steps to a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import nan
from typing import NamedTuple

import numpy as np

from rlrun.reports.scores import Curve, ReportedRun
from rlrun.reports.statistics import (
    CONFIDENCE,
    Statistic,
    curve_interval,
    improvement_interval,
    interval,
    iqm,
    mean,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    stratified_picks,
)
from rlrun.types import Float64Array

SAMPLES, CURVE_SAMPLES = 10_000, 2_000  # bootstrap samples for numbers, and for each point of a curve
_MOST_POINTS = 200  # of a curve
_PROFILE_POINTS = 101
Axis = Callable[[Curve], Float64Array]


class Estimate(NamedTuple):
    """A statistic and its 95% interval; NaN where there is none."""

    value: float
    low: float = nan
    high: float = nan


@dataclass(frozen=True, slots=True)
class Summary:
    """Statistics of the scores of a group."""

    iqm: Estimate
    median: Estimate
    mean: Estimate
    gap: Estimate | None  # to the target, if there is one


class Band(NamedTuple):
    """A line with its interval; every field is [points]."""

    x: Float64Array
    y: Float64Array
    low: Float64Array
    high: Float64Array


class Improvement(NamedTuple):
    """The probability that a run of `better` scores more than one of `worse`."""

    better: str
    worse: str
    probability: Estimate


def summarise(scores: Float64Array, target: float | None) -> Summary:
    """Statistics of scores [runs, tasks]."""
    gap = None if target is None else estimate(partial(optimality_gap, target=target), scores)
    return Summary(estimate(iqm, scores), estimate(median, scores), estimate(mean, scores), gap)


def estimate(statistic: Statistic, scores: Float64Array) -> Estimate:
    """A statistic of scores [runs, tasks], with its interval."""
    picks = stratified_picks(_rng(), SAMPLES, *scores.shape)
    return Estimate(float(statistic(scores)), *map(float, interval(statistic, scores, picks)))


def mean_of(values: Sequence[float]) -> Estimate:
    """The mean of values, one for each seed, with its interval."""
    return estimate(mean, np.array(values, np.float64)[:, None])


def improvements(scores: Mapping[str, Float64Array]) -> list[Improvement]:
    """Of every pair of groups, the one with the higher IQM first; scores [runs, tasks] by label."""
    ordered = sorted(scores, key=lambda label: -float(iqm(scores[label])))
    found = []
    for better, worse in combinations(ordered, 2):
        rng, x, y = _rng(), scores[better], scores[worse]
        picks = [stratified_picks(rng, CURVE_SAMPLES, *each.shape) for each in (x, y)]
        ends = improvement_interval(x, y, *picks)
        probability = Estimate(float(probability_of_improvement(x, y)), *map(float, ends))
        found.append(Improvement(better, worse, probability))
    return found


def profiles(scores: Mapping[str, Float64Array]) -> dict[str, Band]:
    """Performance profiles over the range of all scores [runs, tasks], by label."""
    low, high = (float(end(values)) for end, values in ((np.min, _all(scores)), (np.max, _all(scores))))
    margin = 0.03 * (high - low) or 1.0
    thresholds = np.linspace(low - margin, high + margin, _PROFILE_POINTS)
    statistic = partial(performance_profile, thresholds=thresholds)
    return {
        label: Band(
            thresholds,
            statistic(values),
            *interval(statistic, values, stratified_picks(_rng(), CURVE_SAMPLES, *values.shape)),
        )
        for label, values in scores.items()
    }


def learning_curve(runs: Sequence[ReportedRun], axis: Axis) -> Band | None:
    """The IQM over runs of their evaluations, along an axis; None if they have no two common points.

    Evaluations of different runs need not be at the same places: between two of them a curve is linear. The line is
    drawn where every run has one.
    """
    curves = [(axis(run.curve), run.curve.returns) for run in runs]
    if not curves or any(np.isnan(x).any() for x, _ in curves):
        return None
    first, last = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    if first >= last:
        return None
    grid = np.unique(np.concatenate([x for x, _ in curves]))
    grid = grid[(grid >= first) & (grid <= last)]
    if len(grid) > _MOST_POINTS:
        grid = np.linspace(first, last, _MOST_POINTS)
    values = np.stack([np.interp(grid, x, y) for x, y in curves])
    picks = _rng().integers(len(runs), size=(CURVE_SAMPLES, len(runs)))
    return Band(grid, iqm(values.T[..., None]), *curve_interval(values, picks))


def to_target(runs: Sequence[ReportedRun], axis: Axis, target: float) -> Float64Array:
    """Where each run's evaluation first reached the target, [runs]; infinite if none did."""
    reached = []
    for run in runs:
        at = np.flatnonzero(run.curve.returns >= target)
        reached.append(axis(run.curve)[at[0]] if len(at) else np.inf)
    return np.array(reached)


def median_of_reached(reached: Float64Array) -> Estimate:
    """The median over runs of where the target was reached, infinite if half of them never did, with its interval."""
    if len(reached) == 1 or np.isnan(reached).any():
        return Estimate(float(np.median(reached)))
    picks = _rng().integers(len(reached), size=(SAMPLES, len(reached)))
    ends = [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]
    low, high = np.percentile(np.median(reached[picks], axis=1), ends, method="inverted_cdf")
    return Estimate(float(np.median(reached)), float(low), float(high))


def _all(scores: Mapping[str, Float64Array]) -> Float64Array:
    return np.concatenate([values.ravel() for values in scores.values()])


def _rng() -> np.random.Generator:
    """The same samples every time: a report of the same runs has the same numbers."""
    return np.random.default_rng(0)
