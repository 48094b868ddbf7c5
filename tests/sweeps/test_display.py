"""What is shown of many runs, on a terminal and elsewhere: their files are written by the test."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from rlrun.runs.manifest import write_result
from rlrun.sweeps.display import Display, Followed, Harmless, LiveDisplay, PlainDisplay
from rlrun.sweeps.jobs import RunJob


def job(folder: Path, seed: int) -> RunJob:
    directory = folder / f"seed{seed}"
    directory.mkdir()
    return RunJob(name=f"seed {seed}", command=[], directory=directory, seed=seed, experiment={}, total_steps=1000)


def write(of: RunJob, *steps: int) -> None:
    """Rows whose returns are a tenth of their steps."""
    with (of.directory / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps({"step": step, "train/episode_return": step / 10}) + "\n" for step in steps)


def finish(of: RunJob) -> None:
    numbers = {"eval/episode_return": 1.0, "eval/standard_error": 0.0, "eval/episodes": 1}
    write_result(of.directory, {"step": 1000, "total_steps": 1000, **numbers})


def test_a_run_is_followed_while_it_writes_also_where_its_file_is_cut(tmp_path: Path) -> None:
    running = job(tmp_path, 0)
    write(running, 100, 200)
    followed = Followed(running)
    assert followed.step == 200
    followed.look()
    assert followed.values == {}
    write(running, 300)
    with (running.directory / "metrics.jsonl").open("a") as file:
        file.write('{"step": 400, "trai')
    followed.look()
    assert (followed.step, followed.values) == (300, {"train/episode_return": 30.0})
    with (running.directory / "metrics.jsonl").open("r+") as file:
        file.write(json.dumps({"step": 100, "train/episode_return": 10.0}) + "\n")
        file.truncate()
    followed.look()
    write(running, 250)
    followed.look()
    assert followed.step == 250


def test_a_position_inside_a_line_and_lines_that_are_no_rows_are_skipped(tmp_path: Path) -> None:
    running = job(tmp_path, 0)
    path = running.directory / "metrics.jsonl"
    path.write_text('{"step": 100}\n{"step": 200, "tra')  # a torn line, which a run that resumes cuts off
    followed = Followed(running)
    path.write_text('{"step": 100}\n')
    write(running, 150, 250)
    followed.look()
    assert (followed.step, followed.values) == (250, {"train/episode_return": 25.0})
    with path.open("a") as file:
        file.write('no row\n{"train/episode_return": 1}\n3\n\n{"step": 300, "train/episode_return": "x"}\n')
    followed.look()
    assert (followed.step, followed.values) == (300, {"train/episode_return": 25.0})
    assert Followed(running).step == 300


def test_a_damaged_file_can_be_followed(tmp_path: Path) -> None:
    running = job(tmp_path, 0)
    (running.directory / "metrics.jsonl").write_text("no row\n")
    followed = Followed(running)
    assert followed.step == 0
    write(running, 100)
    followed.look()
    assert followed.step == 100


class Breaks(PlainDisplay):
    """Counts how often it is drawn, and always fails."""

    count = 0
    is_closed = False

    def draw(self) -> None:
        self.count += 1
        raise BrokenPipeError

    def close(self) -> None:
        self.is_closed = True


def test_the_errors_of_a_display_end_nothing_and_switch_it_off(caplog: pytest.LogCaptureFixture) -> None:
    display = Breaks(Console(file=StringIO()))
    harmless = Harmless(display)
    harmless.begin([])
    harmless.draw()
    harmless.draw()
    harmless.close()
    assert (display.count, display.is_closed) == (1, True)
    assert len(caplog.records) == 1


def shown(display: Display, text: StringIO, jobs: list[RunJob]) -> str:
    """All that a display prints while the first of three jobs is finished, the second runs and the third waits."""
    finish(jobs[0])
    display.begin(jobs)
    display.ended(jobs[0])
    display.started(jobs[1])
    display.draw()
    write(jobs[1], 500)
    display.draw()
    display.say("a line [that] stays")
    display.close()
    return text.getvalue()


def test_on_a_terminal_there_is_a_bar_for_each_run_and_one_for_all(tmp_path: Path) -> None:
    text = StringIO()
    console = Console(file=text, force_terminal=True, width=100, height=20, color_system=None)
    seen = shown(LiveDisplay(console), text, [job(tmp_path, seed) for seed in range(3)])
    assert "1 of 3" in seen
    assert "1,500/3,000 steps" in seen
    assert "500/1,000 steps" in seen
    assert "return 50.0" in seen
    assert "a line [that] stays\n" in seen
    assert "seed 2" not in seen  # it waits


def test_elsewhere_there_are_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlrun.sweeps.display._PLAIN_LINE_SECONDS", 0.0)
    text = StringIO()
    seen = shown(PlainDisplay(Console(file=text, width=100)), text, [job(tmp_path, seed) for seed in range(3)])
    lines = seen.splitlines()
    assert lines[0] == "seed 1: started"
    assert lines[1].startswith("1 of 3 finished  1,000/3,000 steps")
    assert lines[2].startswith("1 of 3 finished  1,500/3,000 steps")
    assert lines[3] == "a line [that] stays"
