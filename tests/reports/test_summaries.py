"""Numbers of a report, worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from made_runs import ATARI, made_run

from rlrun.errors import UserError
from rlrun.reports.atari_suite import at_human_level, matrix, references, scores_by_label
from rlrun.reports.cells import count, duration, number, with_interval
from rlrun.reports.groups import tasks_of
from rlrun.reports.scores import Curve, ReportedRun, read_run
from rlrun.reports.summaries import (
    Estimate,
    improvements,
    learning_curve,
    mean_of,
    median_of_reached,
    profiles,
    summarise,
    to_target,
)


def runs_of(folder: Path, *curves: Sequence[float], every: Sequence[int] = ()) -> list[ReportedRun]:
    periods = every or [100] * len(curves)
    directories = [
        made_run(folder, curve, seed=seed, every_steps=period)
        for seed, (curve, period) in enumerate(zip(curves, periods, strict=True))
    ]
    return [run for directory in directories if (run := read_run(directory)) is not None]


def steps(curve: Curve) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return curve.steps


def test_statistics_of_a_group() -> None:
    scores = np.array([[0.0], [10.0], [20.0], [90.0]])
    summary = summarise(scores, 50.0)
    assert (summary.iqm.value, summary.median.value, summary.mean.value) == (15.0, 15.0, 30.0)
    assert summary.gap is not None
    assert summary.gap.value == 50 - (0 + 10 + 20 + 50) / 4
    assert summary.iqm.low <= 15.0 <= summary.iqm.high
    assert summarise(scores, None).gap is None
    assert summarise(scores, 50.0) == summary, "the same samples every time"
    assert np.isnan(summarise(scores[:1], 50.0).iqm.low)


def test_of_two_values_a_quarter_of_the_samples_is_at_each_end() -> None:
    assert mean_of([0.0, 1.0]) == (0.5, 0.0, 1.0)  # means 0, 1/2 and 1 with probabilities 1/4, 1/2 and 1/4
    assert mean_of([3.0, 3.0, 3.0]) == (3.0, 3.0, 3.0)


def test_of_many_values_it_is_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 400)
    found = mean_of(list(values))
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.02)


def test_curves_of_equal_steps_are_met_where_they_are(tmp_path: Path) -> None:
    band = learning_curve(runs_of(tmp_path, [0, 2, 4], [2, 2, 8]), steps)
    assert band is not None
    np.testing.assert_array_equal(band.x, [100, 200, 300])
    np.testing.assert_array_equal(band.y, [1, 2, 6])
    np.testing.assert_array_equal(band.low, [0, 2, 4])
    np.testing.assert_array_equal(band.high, [2, 2, 8])


def test_curves_of_other_steps_are_linear_in_between(tmp_path: Path) -> None:
    band = learning_curve(runs_of(tmp_path, [0, 3, 6], [10, 20], every=[100, 150]), steps)
    assert band is not None
    np.testing.assert_array_equal(band.x, [150, 200, 300])
    np.testing.assert_allclose(band.y, [(1.5 + 10) / 2, (3 + 10 + 10 / 3) / 2, (6 + 20) / 2])


def test_a_single_evaluation_is_no_curve(tmp_path: Path) -> None:
    assert learning_curve(runs_of(tmp_path, [1], [2]), steps) is None
    assert learning_curve([], steps) is None


def test_steps_to_a_target(tmp_path: Path) -> None:
    runs = runs_of(tmp_path, [1, 5, 2], [5, 9, 9], [1, 2, 3])
    reached = to_target(runs, steps, 5.0)
    np.testing.assert_array_equal(reached, [200, 100, np.inf])
    middle = median_of_reached(reached)
    assert middle.value == 200
    assert (middle.low, middle.high) == (100, np.inf)
    assert with_interval(middle, count) == "200 [100, never]"
    assert with_interval(median_of_reached(np.array([np.inf, np.inf])), count) == "never"
    assert with_interval(median_of_reached(np.array([300.0])), count) == "300"


def test_pairs_name_the_better_group_first() -> None:
    (pair,) = improvements({"low": np.array([[1.0], [2.0]]), "high": np.array([[2.0], [3.0], [4.0]])})
    assert (pair.better, pair.worse) == ("high", "low")
    assert pair.probability.value == 5.5 / 6
    assert pair.probability.low <= 5.5 / 6 <= pair.probability.high


def test_profiles_fall_from_one_to_zero() -> None:
    bands = profiles({"a": np.array([[1.0], [3.0]]), "b": np.array([[2.0]])})
    assert (bands["a"].y[0], bands["a"].y[-1]) == (1.0, 0.0)
    assert (np.diff(bands["a"].y) <= 0).all()
    np.testing.assert_array_equal(bands["a"].x, bands["b"].x)
    assert np.isnan(bands["b"].low).all()


def test_numbers_as_text() -> None:
    assert [number(value) for value in (1.234, -0.001, 12345.6, None, np.nan)] == ["1.23", "0.00", "12,346", "–", "–"]
    assert [duration(value) for value in (2.0, 70.0, 600.0, 7200.0, np.inf)] == [
        "2.0 s",
        "70 s",
        "10.0 min",
        "2.0 h",
        "never",
    ]
    assert with_interval(Estimate(1.0, 0.5, 2.0)) == "1.00 [0.50, 2.00]"


def test_the_papers_dqn_is_at_human_level_in_29_of_its_49_games() -> None:
    known = references()
    assert len(known) == 49
    assert sum(reference.normalised(reference.dqn) >= 0.75 for reference in known.values()) == 29
    assert known["pong"].normalised(-20.7) == 0.0
    assert known["pong"].normalised(9.3) == 1.0


def test_games_at_human_level(tmp_path: Path) -> None:
    for game, scores in {"pong": [9.3, 9.3, 9.3], "breakout": [1.7, 1.7]}.items():
        for seed, score in enumerate(scores):
            made_run(tmp_path, [score], seed=seed, env={**ATARI, "game": game})
    made_run(tmp_path, [0.0])
    runs = [read_run(path.parent) for path in sorted(tmp_path.rglob("manifest.json"))]
    found = scores_by_label(tasks_of([run for run in runs if run is not None]))
    assert at_human_level(found["dqn"]) == "1 of 2 games at human level (47 of the 49 were not run)"
    np.testing.assert_allclose(matrix(found["dqn"], ["breakout", "pong"]), [[0, 1], [0, 1]])
    with pytest.raises(UserError, match="atari49"):
        scores_by_label(tasks_of([run for run in runs if run is not None and "game" not in run.env]))
