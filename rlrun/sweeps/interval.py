"""A mean over seeds, with its 95% percentile bootstrap interval (Efron 1979)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_RESAMPLES = 20_000  # so that the ends of the interval repeat to about a percent of its width


class Interval(NamedTuple):
    """A mean and the ends of its interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """The mean of `values`, and the percentile bootstrap interval of that mean; the same for equal values.

    Args:
        values: one for each seed; of a single one the interval has no width.
        level: of confidence.
    """
    rng = np.random.default_rng(0)
    means = rng.choice(np.asarray(values, float), (_RESAMPLES, len(values))).mean(axis=1)
    low, high = np.quantile(means, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(float(np.mean(values)), float(low), float(high))
