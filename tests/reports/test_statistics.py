"""Statistics against rliable 1.2.0 (tests/data/rliable.md), and against values worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlrun.reports.statistics import (
    Picks,
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

RLIABLE = json.loads((Path(__file__).parent.parent / "data" / "rliable.json").read_text())
CASES = RLIABLE["cases"]


def same_picks(*shapes: tuple[int, ...]) -> list[Picks]:
    """The bootstrap samples that rliable drew, for arrays of these shapes [runs, tasks]."""
    rng = np.random.RandomState(RLIABLE["seed"])
    drawn = [[rng.choice(shape[0], shape) for shape in shapes] for _ in range(RLIABLE["repetitions"])]
    return [np.stack(picks) for picks in zip(*drawn, strict=True)]


def statistics_of(case: dict[str, Any]) -> dict[str, Callable[[Float64Array], Float64Array]]:
    return {
        "mean": mean,
        "median": median,
        "iqm": iqm,
        "optimality_gap": partial(optimality_gap, target=case["target"]),
        "performance_profile": partial(performance_profile, thresholds=np.array(case["thresholds"])),
    }


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("statistic", ["mean", "median", "iqm", "optimality_gap", "performance_profile"])
def test_estimates_and_intervals_are_those_of_rliable(name: str, statistic: str) -> None:
    case = CASES[name]
    scores = np.array(case["x"])
    if statistic == "median" and scores.shape[1] == 1:
        statistic = "mean"  # the median of one mean, for rliable; ours is the median over runs
    function = statistics_of(case)[statistic]
    expected = case[statistic]
    np.testing.assert_allclose(np.atleast_1d(function(scores)), expected["estimate"], rtol=1e-12)
    (picks,) = same_picks(scores.shape)
    found = interval(function, scores, picks)
    np.testing.assert_allclose(found.reshape(2, -1), expected["interval"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_the_probability_of_improvement_is_that_of_rliable(name: str) -> None:
    case = CASES[name]
    x, y = np.array(case["x"]), np.array(case["y"])
    expected = case["probability_of_improvement"]
    assert float(probability_of_improvement(x, y)) == pytest.approx(expected["estimate"][0], rel=1e-12)
    found = improvement_interval(x, y, *same_picks(x.shape, y.shape))
    np.testing.assert_allclose(found, np.ravel(expected["interval"]), rtol=1e-12)


def test_values_worked_out_by_hand() -> None:
    scores = np.array([[0.0, 10.0], [1.0, 20.0], [2.0, 30.0], [9.0, 80.0]])
    assert mean(scores) == 19.0
    assert median(scores) == (3.0 + 35.0) / 2, "the middle of the two tasks' means"
    assert iqm(scores) == (2 + 9 + 10 + 20) / 4, "0, 1 and 30, 80 are left out"
    assert optimality_gap(scores, 10.0) == 10 - (0 + 1 + 2 + 9 + 4 * 10) / 8
    np.testing.assert_array_equal(performance_profile(scores, np.array([-1.0, 9.0, 80.0])), [1.0, 0.5, 0.0])
    assert median(scores[:, :1]) == 1.5, "of one task: over its runs"


def test_a_tie_counts_half() -> None:
    x, y = np.array([[1.0], [2.0], [3.0]]), np.array([[2.0], [0.0]])
    assert probability_of_improvement(x, y) == (0 + 1 + 0.5 + 1 + 1 + 1) / 6
    assert probability_of_improvement(x, x) == 0.5
    assert probability_of_improvement(x, y) + probability_of_improvement(y, x) == 1.0


def test_few_runs() -> None:
    assert iqm(np.array([[1.0], [2.0], [6.0]])) == 3.0, "a quarter of three runs is none"
    one = np.array([[4.0]])
    picks = stratified_picks(np.random.default_rng(0), 10, 1, 1)
    assert np.isnan(interval(mean, one, picks)).all(), "one run says nothing about others"
    assert np.isnan(improvement_interval(one, np.ones((3, 1)), picks, np.zeros((10, 3, 1), np.int64))).all()
    assert np.isnan(curve_interval(np.zeros((1, 4)), np.zeros((10, 1), np.int64))).all()


def test_tasks_are_strata() -> None:
    """Runs are drawn within each task: two tasks without spread have none together either."""
    scores = np.array([[1.0, 100.0]] * 4)
    picks = stratified_picks(np.random.default_rng(0), 200, 4, 2)
    assert picks.shape == (200, 4, 2)
    np.testing.assert_array_equal(interval(mean, scores, picks), [50.5, 50.5])
    assert not np.array_equal(picks[..., 0], picks[..., 1])


def test_curves_are_drawn_whole() -> None:
    """Two curves that cross: at each point the interval is that of its values, over the same draws."""
    values = np.array([[0.0, 1.0], [1.0, 0.0]])
    picks = np.array([[0, 0], [1, 1]] * 50)
    np.testing.assert_array_equal(curve_interval(values, picks), [[0.0, 0.0], [1.0, 1.0]])
    np.testing.assert_array_equal(curve_interval(values, np.array([[0, 1]] * 50)), [[0.5, 0.5]] * 2)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        scores = rng.normal(size=(20, 1))
        low, high = interval(mean, scores, stratified_picks(rng, 400, 20, 1))
        covered += low <= 0.0 <= high
    assert 0.87 <= covered / 200 <= 0.99  # percentile intervals of 20 runs cover a little less than 95%
