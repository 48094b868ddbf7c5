"""The interval of a mean over seeds, where it is known."""

import numpy as np
import pytest

from rlrun.sweeps.interval import mean_interval


def test_equal_values_have_no_width() -> None:
    assert mean_interval([3.0, 3.0, 3.0]) == (3.0, 3.0, 3.0)
    assert mean_interval([7.0]) == (7.0, 7.0, 7.0)


def test_of_two_values_a_quarter_of_the_resamples_is_at_each_end() -> None:
    assert mean_interval([0.0, 1.0]) == (0.5, 0.0, 1.0)  # means 0, 1/2 and 1 with probabilities 1/4, 1/2 and 1/4
    assert mean_interval([0.0, 1.0], level=0.4) == (0.5, 0.5, 0.5)  # between the quantiles .3 and .7


def test_of_many_values_it_is_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 400)
    mean, low, high = mean_interval(list(values))
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.02)
