"""What a report reads of a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_runs import made_run

from rlrun.errors import UserError
from rlrun.reports.scores import Curve, area_under, elapsed, read_run
from rlrun.runs.manifest import read_manifest, write_manifest


def curve_of(steps: list[float], returns: list[float]) -> Curve:
    return Curve(np.array(steps), np.array(steps), np.array(steps), np.array(returns))


def test_the_final_policy_and_the_best_checkpoint_are_different_scores(tmp_path: Path) -> None:
    run = read_run(made_run(tmp_path, [1, 9, 5], greedy=7.0))
    assert run is not None
    assert (run.scores.final, run.scores.best, run.scores.greedy) == (5.0, 9.0, 7.0)
    assert run.scores.area == ((1 + 9) / 2 + (9 + 5) / 2) / 2
    assert (run.finished, run.seed) == (True, 0)
    np.testing.assert_array_equal(run.curve.steps, [100, 200, 300])
    np.testing.assert_array_equal(run.curve.env_steps, [200, 400, 600])
    np.testing.assert_allclose(run.curve.seconds, [1, 2, 3], atol=1e-6)
    np.testing.assert_array_equal(run.curve.returns, [1, 9, 5])


def test_the_final_score_of_a_finished_run_is_that_of_its_result(tmp_path: Path) -> None:
    directory = made_run(tmp_path, [1, 2])
    with (directory / "metrics.jsonl").open("a") as file:
        file.write('{"step": 200, "loss/td": 1.0}\n{"step": 200, "env_steps": 400, "eval/ep')  # cut off
    run = read_run(directory)
    assert run is not None
    assert (run.scores.final, run.scores.greedy) == (2.0, None)
    assert len(run.curve.steps) == 2


def test_an_unfinished_run_has_its_last_evaluation(tmp_path: Path) -> None:
    run = read_run(made_run(tmp_path, [1, 2, 3], finished=False))
    assert run is not None
    assert (run.finished, run.scores.final) == (False, 3.0)


def test_a_run_without_an_evaluation_has_no_score(tmp_path: Path) -> None:
    directory = made_run(tmp_path, [1], finished=False)
    (directory / "metrics.jsonl").write_text('{"step": 10, "loss/td": 1.0}\n')
    assert read_run(directory) is None


def test_of_two_evaluations_at_a_step_the_later_one_counts(tmp_path: Path) -> None:
    directory = made_run(tmp_path, [1, 2])
    with (directory / "metrics.jsonl").open("a") as file:
        file.write('{"step": 200, "env_steps": 400, "eval/episode_return": 8.0}\n')
    run = read_run(directory)
    assert run is not None
    np.testing.assert_array_equal(run.curve.returns, [1, 8])


@pytest.mark.parametrize("line", ['{"step": 1', "[]", '{"step": 1, "env_steps": 1, "eval/episode_return": "x"}'])
def test_damaged_rows_are_refused(tmp_path: Path, line: str) -> None:
    directory = made_run(tmp_path, [1])
    (directory / "metrics.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl is damaged"):
        read_run(directory)


def test_without_timings_the_wall_time_is_unknown(tmp_path: Path) -> None:
    directory = made_run(tmp_path, [1, 2])
    (directory / "timings.jsonl").unlink()
    run = read_run(directory)
    assert run is not None
    assert np.isnan(run.curve.seconds).all()


def test_the_area_is_a_mean_over_steps_and_not_over_evaluations() -> None:
    assert area_under(curve_of([10, 20, 120], [0, 10, 10])) == (50 + 1000) / 110
    assert np.isnan(area_under(curve_of([10], [3])))


def test_wall_time_leaves_out_pauses_between_sessions() -> None:
    first = {"started": "1970-01-01T00:00:00+00:00", "wall_seconds": 100.0}
    second = {"started": "1970-01-01T01:00:00+00:00", "wall_seconds": 50.0}
    np.testing.assert_array_equal(elapsed([10, 100, 3610, 3650], [first, second]), [10, 100, 110, 150])
    killed = first | {"wall_seconds": None}
    np.testing.assert_array_equal(elapsed([10, 90, 3610], [killed, second]), [10, 90, 100])
    running = second | {"wall_seconds": None}
    np.testing.assert_array_equal(elapsed([10, 3700], [first, running]), [10, 200])
    assert np.isnan(elapsed([np.nan], [first])).all()


def test_an_edited_manifest_is_refused(tmp_path: Path) -> None:
    directory = made_run(tmp_path, [1])
    manifest = read_manifest(directory)
    assert manifest is not None
    (directory / "manifest.json").write_text(json.dumps(manifest | {"seed": 5, "digest": "x"}))
    with pytest.raises(UserError, match="edited"):
        read_run(directory)
    write_manifest(directory, manifest)
    assert read_run(directory) is not None
