"""`rlrun ls`, `show`, `diff`, `resume` and `rerun`, and the same words again: the real command line on tiny runs.

Most run in this process, where torch is imported already; what is to be killed has a process of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from rlrun.agents.tables.td_control import TDControl
from rlrun.api import running
from rlrun.cli.main import run_command
from rlrun.errors import UserError
from rlrun.loop.run_state import RunState, Window
from rlrun.runs.loggers import read_rows
from rlrun.runs.manifest import Code, digest, write_manifest
from rlrun.types import Progress

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    *("logger=none", "device=cpu", "log_every_steps=100", "evaluation.every_steps=150"),
    *("evaluation.episodes=2", "evaluation.num_envs=2"),
]
MAP = "# A corridor with a way round.\nstep_reward: -1\nG : terminal\n\nS..\n{}\n"
GRID = ["algo=q_learning", "env=gridworld", "env.num_envs=4", "total_steps=400", *TINY]
DQN = [
    "algo.optimizer.learning_rate=5e-4",  # the preset's falls over total_steps
    *(
        "algo=dqn",
        "env=cartpole",
        "total_steps=200",
        "algo.replay.learning_starts_steps=64",
        "algo.replay.capacity_steps=160",
    ),
    *TINY,
]


@dataclass(frozen=True)
class Answer:
    """What a command came to."""

    status: int
    out: str
    err: str


Command = Callable[..., Answer]


def last_of_each(words: Sequence[str]) -> list[str]:
    """`*GRID, "total_steps=600"` without the number of steps that `GRID` has: the command refuses two."""
    keys = [word.partition("=")[0] for word in words]
    return [word for index, word in enumerate(words) if "=" not in word or keys[index] not in keys[index + 1 :]]


@pytest.fixture
def rlrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`rlrun(*words)` in an empty directory; the repository's commit is a fixed one, for people edit it meanwhile."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "code_state", lambda: Code("0" * 40, None))

    def run(*words: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["rlrun"])  # which is replaced for Hydra
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        capsys.readouterr()
        status = run_command(["rlrun", *last_of_each(words)])
        said = capsys.readouterr()
        return Answer(status, said.out, said.err)

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, made once, for tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["rlrun"])
        patch.setattr(running, "code_state", lambda: Code("0" * 40, None))
        assert run_command(["rlrun", *GRID]) == 0
    (directory,) = folder.glob("runs/gridworld/q_learning/*/seed0")
    return directory


@pytest.fixture
def grid(rlrun: Command, finished: Path) -> Path:
    """A copy of it, where the words of `GRID` find it."""
    directory = Path("runs/gridworld/q_learning", finished.parent.name, "seed0")
    shutil.copytree(finished, directory)
    return directory


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """`started(*words)`: the same in a process of its own, held still once its first checkpoint is there."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "rlrun", *last_of_each(words)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
        )
        processes.append(process)
        wait_for(lambda: list(tmp_path.glob("runs/*/*/*/*/checkpoints/step-*.state")))
        assert process.poll() is None, "it should still be at work"
        process.send_signal(signal.SIGSTOP)  # it holds still, so that it cannot end meanwhile
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def refused(answer: Answer, *named: str) -> None:
    """Status 2 and one line that names all of these; what is below it is indented."""
    assert (answer.status, answer.out) == (2, ""), answer
    line, *details = answer.err.splitlines()
    assert line.startswith("rlrun: error: ")
    assert all(detail.startswith("  ") for detail in details)
    assert [each for each in named if each not in line] == [], line


def manifest(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "manifest.json").read_text())
    del content["digest"]
    return content


def listed(rlrun: Command) -> list[dict[str, str]]:
    """The table of `rlrun ls`, by column."""
    answer = rlrun("ls", "runs")
    assert answer.status == 0
    head, *rows = answer.out.splitlines()
    return [dict(zip(head.split(), row.split(), strict=True)) for row in rows]


def test_a_manifest_says_what_made_the_run(rlrun: Command, grid: Path) -> None:
    made = manifest(grid)
    assert made["argv"] == ["rlrun", *GRID]
    assert made["overrides"] == GRID
    assert made["labels"] == {"algo": "q_learning", "env": "gridworld", "preset": "q_learning_gridworld"}
    assert made["experiment_hash"] == grid.parent.name
    assert (made["seed"], made["total_steps"], made["git_commit"]) == (0, 400, "0" * 40)
    assert made["settings"]["evaluation.every_steps"] == 150
    assert {"torch", "numpy", "gymnasium", "ale-py", "hydra-core", "tensorboard"} <= made["versions"].keys()
    assert (made["machine"]["device"], made["machine"]["num_threads"]) == ("cpu", 1)
    (session,) = made["sessions"]
    assert (session["status"], session["from_step"], session["to_step"]) == ("finished", 0, 400)
    assert session["differs"] == {}
    assert session["wall_seconds"] > 0
    assert session["started"] <= session["ended"]
    assert session["pid"] == os.getpid()


def test_the_same_words_say_of_a_finished_run_that_it_is(rlrun: Command, grid: Path) -> None:
    before = contents(grid)
    again = rlrun(*GRID)
    assert again.status == 0
    assert str(grid) in again.out
    assert contents(grid) == before


def test_fresh_starts_another_one_beside_and_words_without_it_mean_the_latest(rlrun: Command, grid: Path) -> None:
    before = contents(grid)
    assert rlrun(*GRID, "fresh=true").status == 0
    second = grid.with_name("seed0-2")
    assert (second / "metrics.jsonl").read_bytes() == (grid / "metrics.jsonl").read_bytes()
    assert "fresh" not in (second / "config.yaml").read_text()
    assert str(second) in rlrun(*GRID).out
    assert rlrun(*GRID, "fresh=true").status == 0
    assert sorted(path.name for path in grid.parent.iterdir()) == ["seed0", "seed0-2", "seed0-3"]
    assert contents(grid) == before


def test_a_longer_run_goes_on_and_the_shorter_one_stays_finished(rlrun: Command, grid: Path) -> None:
    longer = rlrun("resume", str(grid), "total_steps=600")
    assert longer.status == 0
    sessions = manifest(grid)["sessions"]
    assert [(session["from_step"], session["to_step"]) for session in sessions] == [(0, 400), (400, 600)]
    assert manifest(grid)["argv"] == ["rlrun", *GRID], "what made it stays"
    assert manifest(grid)["total_steps"] == 600
    assert sessions[1]["argv"][1:3] == ["resume", str(grid)]
    assert str(grid) in rlrun(*GRID).out
    assert len(manifest(grid)["sessions"]) == 2
    assert rlrun(*GRID, "total_steps=600", "runs_dir=whole").status == 0
    (whole,) = Path("whole").glob("*/*/*/seed0")
    for name in ("metrics.jsonl", "result.json"):
        assert (grid / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ([], ["seed0", "400", "total_steps=", "rlrun rerun"]),
        (["algo.gamma=0.5"], ["algo.gamma=0.5", "algo.gamma=0.99"]),
        (["algo=dqn"], ["algo="]),
        (["env.map=cliff"], ["env.map="]),
        (["preset=null"], ["preset"]),
        (["total_steps=399"], ["total_steps=399", "400"]),
        (["total_steps=x"], ["total_steps=x"]),
        (["seed=1"], ["seed=1", "seed=0"]),
        (["seed=0"], ["seed0", "400"]),
        (["seed='0'"], ["seed='0'"]),
        (["name=a"], ["name="]),
        (["fresh=true"], ["fresh="]),
        (["algo.gama=0.5"], ["algo.gama", "algo.gamma"]),
        (["evaluaton.episodes=2"], ["evaluaton", "evaluation"]),
        (["seed.x=2"], ["seed="]),
        (["+algo.x=2"], ["+algo.x=2"]),
        (["total_steps=500,600"], ["total_steps"]),
        (["algo.gamma=0.99", "algo={gamma: 0.5}"], ["algo.gamma"]),
        (["device=cudda"], ["cudda", "cuda"]),
        (["total_steps=[1"], ["total_steps=[1"]),
        (["--nosuch"], ["--nosuch", "rlrun resume"]),
    ],
)
def test_what_cannot_be_resumed_is_one_line(
    finished: Path, rlrun: Command, overrides: list[str], named: list[str]
) -> None:
    before = contents(finished)
    refused(rlrun("resume", str(finished), *overrides), *named)
    assert contents(finished) == before


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_refusal_while_loading_leaves_a_finished_run_as_it_was(
    rlrun: Command, grid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(grid)
    answer = rlrun("resume", str(grid), "record_episodes=true", "total_steps=600")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "record_episodes=true" in answer.err
    assert contents(grid) == before

    def refuse(agent: TDControl, state: object) -> None:
        raise UserError("what was saved does not fit")

    with monkeypatch.context() as patch:
        patch.setattr(TDControl, "load_state_dict", refuse)
        for command in ([*GRID, "total_steps=600"], ["resume", str(grid), "total_steps=600"]):
            answer = rlrun(*command)
            assert (answer.status, answer.err) == (2, "rlrun: error: what was saved does not fit\n")
            assert contents(grid) == before
    assert rlrun(*GRID, "total_steps=600").status == 0


def test_damaged_checkpoints_leave_a_finished_run_as_it_was(rlrun: Command, grid: Path) -> None:
    for path in (grid / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    before = contents(grid)
    answer = rlrun(*GRID, "total_steps=600")
    assert answer.status == 2
    assert "checkpoint" in answer.err
    assert contents(grid) == before
    assert listed(rlrun)[0]["state"] == "finished"


def test_a_finished_run_without_checkpoints_is_not_begun_again(rlrun: Command, grid: Path) -> None:
    shutil.rmtree(grid / "checkpoints")
    before = contents(grid)
    for command in ([*GRID, "total_steps=600"], ["resume", str(grid), "total_steps=600"]):
        refused(rlrun(*command), str(grid), "fresh=true")
    assert contents(grid) == before


def test_an_unfinished_run_without_checkpoints_begins_again_and_says_so(rlrun: Command, grid: Path) -> None:
    shutil.rmtree(grid / "checkpoints")
    (grid / "result.json").unlink()
    assert listed(rlrun)[0]["state"] == "unsaved"
    answer = rlrun(*GRID)
    assert answer.status == 0
    assert "no checkpoint: starting over from step 0\n" in answer.out
    assert "no checkpoint" not in rlrun(*GRID, "runs_dir=new").out


def test_an_unfinished_run_is_not_made_shorter_by_the_same_words(rlrun: Command, grid: Path) -> None:
    (grid / "result.json").unlink()
    before = contents(grid)
    refused(rlrun(*GRID, "total_steps=200"), "total_steps=400", "200")
    assert contents(grid) == before


@pytest.mark.parametrize("change", [("seed: 0", "seed: 1"), ("every_steps: 150", "every_steps: 151"), ("0.99", "0.98")])
def test_a_config_that_was_changed_is_refused_and_the_words_write_it_again(
    rlrun: Command, grid: Path, change: tuple[str, str]
) -> None:
    path = grid / "config.yaml"
    path.write_text(path.read_text().replace(*change, 1))
    for verb in ("resume", "rerun"):
        refused(rlrun(verb, str(grid)), "config.yaml")
    assert rlrun(*GRID, "total_steps=500").status == 0
    assert rlrun("resume", str(grid), "total_steps=600").status == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"num_threads": 1', '"num_threads": 2'),
        ('"num_threads"', '"num_threadz"'),
        ('"wall_seconds"', '"wall_secondz"'),
        ('"argv"', '"argw"'),
        ('"digest"', '"digesu"'),
        ('"format": 1', '"format": 2'),
    ],
)
def test_a_manifest_that_was_changed_is_refused(rlrun: Command, grid: Path, old: str, new: str) -> None:
    shutil.copytree(grid, grid.with_name("seed1"))
    text = (grid / "manifest.json").read_text()
    assert old in text
    (grid / "manifest.json").write_text(text.replace(old, new, 1))
    for command in (GRID, ["resume", str(grid)], ["show", str(grid)], ["rerun", str(grid)]):
        refused(rlrun(*command), "manifest.json", "fresh=true")
    damaged, sound = listed(rlrun)
    assert (damaged["state"], damaged["path"], sound["state"]) == ("damaged", str(grid), "finished")


@pytest.mark.parametrize(
    ("name", "text"),
    [("manifest.json", "[]"), ("result.json", "[]"), ("result.json", "{}"), ("result.json", '{"step": 4}')],
)
def test_small_files_of_another_kind_are_one_line(rlrun: Command, grid: Path, name: str, text: str) -> None:
    (grid / name).write_text(text)
    for command in (GRID, ["show", str(grid)], ["rerun", str(grid)], ["resume", str(grid)]):
        refused(rlrun(*command), name)
    assert listed(rlrun)[0]["state"] == "damaged"


def test_a_line_that_is_no_row_does_not_hide_the_other_runs(rlrun: Command, grid: Path) -> None:
    shutil.copytree(grid, grid.with_name("seed1"))
    (grid / "result.json").unlink()
    with (grid / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1\n')
    assert [row["state"] for row in listed(rlrun)] == ["damaged", "finished"]
    for command in (["show", str(grid)], ["diff", str(grid), str(grid)]):
        refused(rlrun(*command), "metrics.jsonl")


def test_a_repetition_leaves_a_damaged_original_as_it_is_and_is_for_as_many_steps(rlrun: Command) -> None:
    words = [*DQN, "env.num_envs=3", "algo.replay.learning_starts_steps=30"]  # 200 steps are no whole number of turns
    assert rlrun(*words).status == 0
    (directory,) = Path("runs/cartpole/dqn").glob("*/seed0")
    assert rlrun("rerun", str(directory)).status == 0
    again = directory.with_name("seed0-rerun")
    result = json.loads((directory / "result.json").read_text())
    assert (result["step"] > 200, manifest(again)["total_steps"]) == (True, 200)
    assert rlrun("diff", str(directory), str(again)).status == 0
    newest = max((directory / "checkpoints").glob("step-*.state"), key=lambda path: int(path.stem[5:]))
    newest.write_bytes(newest.read_bytes()[:-1])
    before = contents(directory)
    assert rlrun("rerun", str(directory)).status == 1
    assert contents(directory) == before


def test_resuming_what_is_no_run_is_one_line(rlrun: Command, tmp_path: Path) -> None:
    refused(rlrun("resume"), "required: directory;", "rlrun resume")
    (tmp_path / "file").write_text("")
    refused(rlrun("resume", "file"), "file")
    refused(rlrun("resume", "nowhere"), "nowhere", "rlrun ls")
    refused(rlrun("resume", str(tmp_path)), "manifest.json", "rlrun ls")
    (tmp_path / "manifest.json").write_text("{")
    refused(rlrun("resume", str(tmp_path)), "manifest.json")
    (tmp_path / "manifest.json").write_text('{"a": 1}')
    refused(rlrun("resume", str(tmp_path)), "manifest.json")


def test_a_file_that_changed_since_makes_another_experiment(rlrun: Command, tmp_path: Path) -> None:
    (tmp_path / "my.txt").write_text(MAP.format("..G"))
    assert rlrun(*GRID, "env.map=my.txt").status == 0
    (directory,) = Path("runs/gridworld/q_learning").glob("*/seed0")
    (tmp_path / "my.txt").write_text(MAP.format("#.G"))
    refused(rlrun("resume", str(directory), "total_steps=600"), "env.map", str(tmp_path))


def test_a_killed_run_is_listed_as_such_and_goes_on_bit_for_bit(
    rlrun: Command, started: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    words = [*GRID, "env.num_envs=8", "total_steps=9000", "log_every_steps=1000", "evaluation.every_steps=3000"]
    process = started(*words, "checkpoint.every_seconds=0.05")
    (directory,) = Path("runs/gridworld/q_learning").glob("*/seed0")
    (row,) = listed(rlrun)
    busy = f"process {process.pid} on "
    shown = rlrun("show", str(directory)).out
    refusals = [rlrun(*command) for command in (["resume", str(directory)], words, ["rerun", str(directory)])]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert row["state"] == "running"
    assert re.search(rf"^state +running by {busy}", shown, re.MULTILINE)
    assert re.search(r"^session 1 .* from step 0, running$", shown, re.MULTILINE)
    for answer in refusals:
        refused(answer, "seed0", f"process {process.pid} on ")

    (row,) = listed(rlrun)
    assert row["state"] == "killed"
    assert row["path"] == str(directory)
    assert int(row["steps"].split("/")[0].replace(",", "")) < 9000
    assert re.search(r"^session 1 .* from step 0, killed$", rlrun("show", str(directory)).out, re.MULTILINE)

    resumed = rlrun("resume", str(directory))
    assert resumed.status == 0
    assert manifest(directory)["sessions"][1]["from_step"] > 0
    assert listed(rlrun)[0]["state"] == "finished"
    assert rlrun(*words, "runs_dir=whole").status == 0
    (whole,) = Path("whole").glob("*/*/*/seed0")
    assert (directory / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    compared = rlrun("diff", str(directory), str(whole))
    assert compared.status == 0


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """SIGTERM when the run gets there."""
    original = RunState.advance

    def advance(run_state: RunState, progress: Progress) -> int:
        before = original(run_state, progress)
        if before < step <= run_state.step:
            os.kill(os.getpid(), signal.SIGTERM)
        return before

    monkeypatch.setattr(RunState, "advance", advance)


def test_an_interrupted_run_is_stopped_and_can_be_repeated_as_far_as_it_is(
    rlrun: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, 112)
        stopped = rlrun(*DQN)
    assert stopped.status == 75
    (row,) = listed(rlrun)
    assert (row["state"], row["steps"]) == ("stopped", "112/200")
    (directory,) = Path("runs/cartpole/dqn").glob("*/seed0")
    (session,) = manifest(directory)["sessions"]
    assert (session["status"], session["reason"], session["to_step"]) == ("interrupted", "SIGTERM", 112)

    repeated = rlrun("rerun", str(directory))
    assert (repeated.status, repeated.err) == (0, "")
    assert {f"{directory}-rerun", str(directory), "112"} <= set(repeated.out.splitlines()[-1].split())


def test_a_repetition_has_the_same_bits_and_is_kept_beside(rlrun: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rlrun(*DQN).status == 0
    (directory,) = Path("runs/cartpole/dqn").glob("*/seed0")
    before = contents(directory)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 96)
        assert rlrun("rerun", str(directory)).status == 75
    again = directory.with_name("seed0-rerun")
    assert not (again / "result.json").exists()
    equal = rlrun("rerun", str(directory))
    assert equal.status == 0
    assert {str(again), str(directory)} <= set(equal.out.splitlines()[-1].split())
    steps = [(session["from_step"], session["to_step"]) for session in manifest(again)["sessions"]]
    assert steps == [(0, 96), (96, manifest(directory)["sessions"][0]["to_step"])], (
        "a repetition that was interrupted is resumed"
    )
    assert manifest(again)["rerun_of"] == str(directory.resolve())
    assert contents(directory) == before
    assert f"{directory} " in rlrun(*DQN).out, "a repetition is no attempt of the command"
    refused(rlrun("rerun", str(directory), "--into", str(again)), f"--into {again}")


def test_a_repetition_says_what_differs_first(rlrun: Command, grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (grid / "metrics.jsonl").read_text().splitlines(keepends=True)
    row = json.loads(lines[2])
    value = row["train/episodes"]
    lines[2] = json.dumps(row | {"train/episodes": 77.0}) + "\n"
    (grid / "metrics.jsonl").write_text("".join(lines))
    monkeypatch.setattr(running, "code_state", lambda: Code("1" * 40, None))
    differs = rlrun("rerun", str(grid), "--into", "again")
    assert differs.status == 1
    assert f"different from the repeated run: git_commit {'1' * 40} (was {'0' * 40})" in differs.out
    first = f"metrics.jsonl: first difference at step {row['step']}, train/episodes: 77.0 and {value} (row 3)\n"
    assert first in differs.out


def test_a_repetition_finds_a_state_that_differs(rlrun: Command, grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = TDControl.state_dict
    monkeypatch.setattr(TDControl, "state_dict", lambda agent: original(agent) | {"steps": 999})
    answer = rlrun("rerun", str(grid))
    assert answer.status == 1
    assert re.search(r"^checkpoint of step 400: first difference at agent/steps$", answer.out, re.MULTILINE)


def test_diff_names_keys_versions_and_the_first_row(rlrun: Command, finished: Path) -> None:
    other = Path("other")
    shutil.copytree(finished, other)
    equal = rlrun("diff", str(finished), str(other))
    assert equal.status == 0
    assert len(equal.out.splitlines()) == 4, "the two names, and that rows and all that matters are equal"

    made = manifest(other)
    made["versions"]["torch"] = "1.0"
    made["machine"]["num_threads"] = 7
    write_manifest(other, made)
    edit_config(other, "keep: 2", "keep: 5")
    edit_config(other, "runs_dir: runs", "runs_dir: x")
    answer = rlrun("diff", str(finished), str(other))
    assert answer.status == 1
    own = manifest(finished)["versions"]["torch"]
    assert f"versions, code and machine:\n  machine.num_threads: 1 | 7\n  versions.torch: {own} | 1.0\n" in answer.out
    assert "keys that change no result:\n  checkpoint.keep: 2 | 5\n  runs_dir: runs | x\n" in answer.out


def test_diff_of_places_alone_is_no_difference(rlrun: Command, finished: Path) -> None:
    other = Path("other")
    shutil.copytree(finished, other)
    edit_config(other, "keep: 2", "keep: 5")
    assert rlrun("diff", str(finished), str(other)).status == 0


def edit_config(run: Path, old: str, new: str) -> None:
    """As if the run had been made with another value."""
    path = run / "config.yaml"
    config = path.read_text().replace(old, new)
    path.write_text(config)
    write_manifest(run, manifest(run) | {"config_digests": [digest(config)]})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ((b"keep: 2", b"keep: 5"), ["config.yaml"]),
        ((b"keep: 2", b"keep: \xff"), ["config.yaml", "0xff"]),
    ],
)
def test_diff_believes_no_config_that_was_changed(
    rlrun: Command, finished: Path, change: tuple[bytes, bytes], named: list[str]
) -> None:
    other = Path("other")
    shutil.copytree(finished, other)
    config = (other / "config.yaml").read_bytes()
    assert change[0] in config
    (other / "config.yaml").write_bytes(config.replace(*change))
    for pair in ((finished, other), (other, finished)):
        refused(rlrun("diff", *map(str, pair)), *named)


def test_diff_of_two_seeds_and_rates(rlrun: Command, finished: Path) -> None:
    assert rlrun(*GRID, "seed=1", "algo.gamma=0.9", "runs_dir=others").status == 0
    (other,) = Path("others").glob("*/*/*/seed1")
    answer = rlrun("diff", str(finished), str(other))
    assert answer.status == 1
    assert "keys:\n  algo.gamma: 0.99 | 0.9\n  seed: 0 | 1\n" in answer.out
    assert re.search(r"metrics\.jsonl: first difference at step 100, \S+: \S+ and \S+ \(row 1\); 0 rows", answer.out)


def test_diff_and_show_of_what_is_no_run_is_one_line(rlrun: Command, finished: Path) -> None:
    refused(rlrun("diff", str(finished), "nowhere"), "nowhere")
    refused(rlrun("show", "nowhere"), "nowhere")
    refused(rlrun("ls", "nowhere"), "nowhere", "runs_dir=")
    refused(rlrun("diff", str(finished)), "rlrun diff")


def test_a_verb_that_there_is_not_is_one_line(rlrun: Command) -> None:
    refused(rlrun("resum", "somewhere"), "'resum'", "nearest: resume;")


def test_show_tells_everything_and_ends_with_the_tables(rlrun: Command, finished: Path) -> None:
    shown = rlrun("show", str(finished))
    assert (shown.status, shown.err) == (0, "")
    about = dict(line.split(None, 1) for line in shown.out.splitlines()[:9])
    assert about["state"].startswith("finished, step 400 of 400, 0:00:")
    assert about["command"] == "rlrun " + " ".join(GRID)
    assert about["experiment"].startswith(finished.parent.name)
    assert f"torch {manifest(finished)['versions']['torch']}" in about["versions"]
    assert re.search(r"^checkpoint +step 400; policies: best, final$", shown.out, re.MULTILINE)
    assert re.search(r"^result +evaluation mean \S+ ± \S+ over 2 episodes$", shown.out, re.MULTILINE)
    assert "·" in shown.out.splitlines()[-2], "the grid"
    assert shown.out.splitlines()[-1].startswith("pictures: ")


def test_an_agent_that_draws_has_its_greedy_return_beside_wherever_evaluations_are_shown(rlrun: Command) -> None:
    words = ["algo=reinforce", "env=short_corridor", "env.max_episode_steps=50", "total_steps=800", *TINY]
    words += ["evaluation.every_steps=400", "evaluation.greedy_episodes=3"]
    answer = rlrun(*words)
    assert answer.status == 0
    (directory,) = Path("runs/short_corridor/reinforce").glob("*/seed0")
    result = json.loads((directory / "result.json").read_text())
    rows = [row for row in read_rows(directory / "metrics.jsonl") if "eval/greedy_return" in row]
    assert len(rows) >= 2
    assert all("eval/episode_return" in row for row in rows)
    greedy = result["eval/greedy_return"]
    assert rows[-1]["eval/greedy_return"] == greedy == sum(result["eval/greedy_returns"]) / 3
    assert listed(rlrun)[0]["greedy"] == f"{greedy:.2f}"
    assert listed(rlrun)[0]["evaluation"] == f"{result['eval/episode_return']:.2f}"
    assert rlrun("show", str(directory)).out.rstrip().endswith(f"; greedy {greedy:.2f}")
    assert f"; greedy {greedy:.2f} over 3" in answer.out


def test_a_failed_run_says_why(rlrun: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(window: Window) -> dict[str, float]:
        raise UserError("training has diverged: loss/td is nan")

    with monkeypatch.context() as patch:
        patch.setattr(Window, "row", diverge)
        assert rlrun(*GRID).status == 2
    assert listed(rlrun)[0]["state"] == "failed"
    (directory,) = Path("runs/gridworld/q_learning").glob("*/seed0")
    assert "failed (UserError: training has diverged: loss/td is nan)" in rlrun("show", str(directory)).out


def test_threads_are_those_the_run_began_with(rlrun: Command, grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = manifest(grid)
    made["machine"]["num_threads"] = 3  # more than there may be cores here
    write_manifest(grid, made)
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    answer = rlrun(*GRID, "total_steps=500")
    assert used[-1] == 3
    assert "cpu with 3 threads" in answer.out
    assert "not comparable" not in answer.out
    answer = rlrun("resume", str(grid), "total_steps=600", "device.num_threads=1")
    assert used[-1] == 1
    assert "different from before: machine.num_threads 1 (was 3); results may not be equal bit for bit" in answer.out
    sessions = manifest(grid)["sessions"]
    assert [session["differs"] for session in sessions] == [{}, {}, {"machine.num_threads": [3, 1]}]
    assert "cpu with 1 thread\n" in rlrun(*GRID, "total_steps=700").out, "as in the last session"


def test_another_cpu_is_said_and_the_run_goes_on(rlrun: Command, grid: Path) -> None:
    made = manifest(grid)
    cpu, made["machine"]["cpu"] = made["machine"]["cpu"], "Z80"
    write_manifest(grid, made)
    answer = rlrun(*GRID, "total_steps=500")
    assert answer.status == 0
    assert f"different from before: machine.cpu {cpu} (was Z80); results may not be equal bit for bit" in answer.out
    assert manifest(grid)["machine"]["cpu"] == "Z80"
    assert manifest(grid)["sessions"][1]["cpu"] == cpu
    assert "not comparable" not in rlrun(*GRID, "total_steps=600").out, "nothing changed since the last session"


def test_reading_runs_needs_no_torch(finished: Path, tmp_path: Path) -> None:
    commands = [["ls", str(finished.parent)], ["diff", str(finished), str(finished)], ["resume", "nowhere"]]
    code = (
        "import sys; from rlrun.cli.main import run_command; "
        f"print([run_command(['rlrun', *words]) for words in {commands!r}], 'torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert answer.stdout.splitlines()[-1] == "[0, 0, 2] False"
