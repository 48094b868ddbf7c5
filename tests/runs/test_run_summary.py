"""What small files say of a run; `tests/test_verbs.py` has real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlrun.errors import UserError
from rlrun.runs.lock import locked
from rlrun.runs.manifest import write_manifest, write_result
from rlrun.runs.summary import find_runs, summarise


def run(directory: Path, *sessions: dict[str, Any], result: dict[str, Any] | None = None) -> Path:
    directory.mkdir(parents=True)
    manifest = {
        "experiment": {"algo": 1},
        "total_steps": 100,
        "seed": 0,
        "machine": {},
        "versions": {},
        "sessions": list(sessions),
    }
    write_manifest(directory, manifest)
    (directory / "metrics.jsonl").write_text('{"step": 40, "eval/episode_return": 2.5}\n{"step": 50, "loss": 1}\n')
    (directory / "timings.jsonl").write_text('{"step": 50, "unix_time": 1735689690.0}\n')
    if result is not None:
        write_result(directory, result)
    return directory


def result_of(step: int) -> dict[str, Any]:
    """Of a run for 100 steps."""
    length = {"step": step, "total_steps": 100}
    return length | {"eval/episode_return": 9.0, "eval/standard_error": 0.0, "eval/episodes": 1}


def save(directory: Path, step: int) -> Path:
    """A checkpoint's file, which nothing here opens."""
    (directory / "checkpoints").mkdir(exist_ok=True)
    (directory / "checkpoints" / f"step-{step}.state").touch()
    return directory


def session(
    status: str | None, to_step: int | None = None, wall_seconds: float | None = None, from_step: int = 0
) -> dict[str, Any]:
    return {
        "started": "2025-01-01T00:00:00+00:00",  # 1735689600 seconds after 1970
        "ended": None if status is None else "2025-01-01T01:00:00+00:00",
        "status": status,
        "from_step": from_step,
        "to_step": to_step,
        "wall_seconds": wall_seconds,
    }


def test_states(tmp_path: Path) -> None:
    result = result_of(100)
    cases: dict[str, tuple[list[dict[str, Any]], dict[str, Any] | None]] = {
        "finished": ([session("finished", 100, 7.0)], result),
        "stopped": ([session(None), session("interrupted", 70, 7.0)], None),
        "failed": ([session("failed", 60, 7.0)], None),
        "killed": ([session("interrupted", 45, 7.0), session(None)], None),
    }
    for state, (sessions, ending) in cases.items():
        assert summarise(save(run(tmp_path / state, *sessions, result=ending), 30)).state == state
    assert summarise(run(tmp_path / "unsaved", session("interrupted", 70, 7.0))).state == "unsaved"
    assert summarise(run(tmp_path / "no session")).state == "killed"
    interrupted_again = save(run(tmp_path / "longer", session("finished", 100, 7.0)), 100)
    assert summarise(interrupted_again).state == "stopped", "it was going on beyond its end"
    with locked(tmp_path / "killed"):
        summary = summarise(tmp_path / "killed")
        assert summary.state == "running"
        assert summary.owner is not None


def test_progress_score_and_time(tmp_path: Path) -> None:
    killed = summarise(run(tmp_path / "killed", session("interrupted", 45, 7.0), session(None)))
    assert (killed.step, killed.score, killed.wall_seconds) == (50, 2.5, 97.0)  # 7 s, and 90 until its last row
    result = result_of(104)
    finished = summarise(run(tmp_path / "finished", session("finished", 104, 7.0), result=result))
    assert (finished.step, finished.score, finished.wall_seconds) == (104, 9.0, 7.0)
    stopped = summarise(run(tmp_path / "stopped", session("interrupted", 55, 7.0)))
    assert stopped.step == 55, "it was saved after its last row"


def test_steps_that_were_lost_with_a_damaged_checkpoint_do_not_count(tmp_path: Path) -> None:
    back = run(tmp_path / "back", session("interrupted", 90, 7.0), session(None, from_step=30))
    assert summarise(save(back, 30)).step == 50, "that of its last row"
    assert summarise(save(back, 60)).step == 60
    assert summarise(run(tmp_path / "again", session(None, 90), session(None, from_step=70))).step == 70


@pytest.mark.parametrize("line", ["{}", "[]", '{"step": "4"}', "{'", "\xff"])
def test_lines_that_are_no_rows_are_a_refusal(tmp_path: Path, line: str) -> None:
    directory = run(tmp_path / "a", session(None))
    with (directory / "metrics.jsonl").open("ab") as file:
        file.write(line.encode("latin-1") + b"\n")
    with pytest.raises(UserError, match=str(directory / "metrics.jsonl")):
        summarise(directory)


def test_runs_are_found_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = ["seed2", "seed10", "seed1", "seed1-10", "seed1-2", "seed1-rerun"]
    for name in names:
        run(tmp_path / "env" / "algo" / name)
    run(tmp_path / "env" / "algo" / "seed1" / "inside")
    (tmp_path / "sweeps").mkdir()
    found = [path.name for path in find_runs(tmp_path)]
    assert found == ["seed1", "seed1-rerun", "seed1-2", "seed1-10", "seed2", "seed10"]
    assert list(find_runs(tmp_path / "env" / "algo" / "seed2")) == [tmp_path / "env" / "algo" / "seed2"]


@pytest.mark.parametrize("name", ["nothing"])
def test_an_empty_folder_has_no_runs(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert list(find_runs(tmp_path / name)) == []


def test_the_greedy_number_is_that_of_the_evaluation_whose_score_is_told(tmp_path: Path) -> None:
    directory = run(tmp_path / "on", session(None))
    assert (summarise(directory).score, summarise(directory).greedy) == (2.5, None)
    with (directory / "metrics.jsonl").open("a") as rows:
        rows.write(
            '{"step": 60, "eval/episode_return": -12.0, "eval/greedy_return": -1000.0}\n{"step": 70, "loss": 1}\n'
        )
    assert (summarise(directory).score, summarise(directory).greedy) == (-12.0, -1000.0)
    ended = run(tmp_path / "ended", session("finished", 100, 7.0), result=result_of(100) | {"eval/greedy_return": 8.0})
    assert (summarise(ended).score, summarise(ended).greedy) == (9.0, 8.0)
