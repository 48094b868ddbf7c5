"""A mean over seeds, with its 95% bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlrun.reports.statistics import interval, mean, stratified_picks

_SAMPLES = 20_000  # so that the ends of the interval repeat to about a percent of its width


class Interval(NamedTuple):
    """A mean and the ends of its interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean of `values`, one for each seed, and its interval: equal for equal values, NaN of a single one."""
    scores = np.asarray(values, float)[:, None]
    low, high = interval(mean, scores, stratified_picks(np.random.default_rng(0), _SAMPLES, len(scores), 1))
    return Interval(float(mean(scores)), float(low), float(high))
