"""`seeds=`: what it means, what is refused, and real runs side by side that are stopped and resumed as one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlrun.cli.main import run_command
from rlrun.cli.seeds import end
from rlrun.config.seeds import take_seeds
from rlrun.errors import UserError
from rlrun.runs.lock import locked
from rlrun.sweeps.jobs import Outcome, RunJob

RUN = ["algo=q_learning", "env=gridworld", "logger=none", "evaluation.episodes=2", "evaluation.num_envs=2"]
QUICK = [*RUN, "total_steps=600", "name=a"]
ENV = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}


@pytest.mark.parametrize(
    ("word", "seeds"),
    [
        ("seeds=3", [0, 1, 2]),
        ("seeds=1", [0]),
        ("seeds=5,7,9", [5, 7, 9]),
        ("seeds=range(5,8)", [5, 6, 7]),
        ("seeds=[5]", [5]),
        ("seeds=choice(2,1)", [2, 1]),
    ],
)
def test_which_seeds_are_meant(word: str, seeds: list[int]) -> None:
    assert take_seeds(["algo=dqn", word, "env=cartpole"]) == (["algo=dqn", "env=cartpole"], seeds)


@pytest.mark.parametrize(
    "overrides",
    [
        *(["seeds=0"], ["seeds=-1"], ["seeds=abc"], ["seeds=1.5"], ["seeds=true"], ["seeds="], ["seeds=[]"]),
        *(["seeds=1,1"], ["seeds=1,x"], ["seeds=interval(0,1)"], ["seeds=glob(*)"], ["seeds=null"], ["seeds={a: 1}"]),
        *(["seeds=2", "seeds=3"], ["seeds=2", "seed=1"], ["seeds=2", "+seed=1"], ["seeds=1000000000000"]),
    ],
    ids=" ".join,
)
def test_what_is_not_understood_is_refused(overrides: list[str]) -> None:
    with pytest.raises(UserError, match="seed"):
        take_seeds(overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["seeds=2", "-m", "algo.gamma=0.9,0.8"],
        ["seeds=2", "--cfg", "job"],
        ["seeds=2", "algo.gamma=0.9,0.8"],
        ["seeds=2", "algo.gama=0.9"],
        ["seeds=2", "algo.gamma=7"],
        ["seeds=0"],
        ["seeds=[9223372036854775808]"],
    ],
    ids=" ".join,
)
def test_nothing_is_begun_where_something_is_wrong(
    overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["rlrun", *QUICK, *overrides]) == 2
    assert capsys.readouterr().err.startswith("rlrun: error: ")
    assert not list(tmp_path.iterdir())


def started(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rlrun", *overrides],
        cwd=folder,
        env=ENV,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    answer = process.communicate(timeout=250)[0]
    return process.returncode, answer


def files(folder: Path, name: str = "metrics.jsonl") -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sorted(folder.glob(f"runs/*/*/*/seed*/{name}"))}


def test_seeds_side_by_side_are_the_runs_of_the_same_command_alone(tmp_path: Path) -> None:
    for folder in ("alone", "together"):
        (tmp_path / folder).mkdir()
    status, answer = ended(started(tmp_path / "together", *QUICK, "seeds=2,5"))
    assert status == 0, answer
    assert ended(started(tmp_path / "alone", *QUICK, "seed=5", "device.num_threads=1"))[0] == 0
    together = files(tmp_path / "together")
    assert list(together) == ["seed2", "seed5"]
    assert together["seed5"] == files(tmp_path / "alone")["seed5"]

    results = [json.loads(text)["eval/episode_return"] for text in files(tmp_path / "together", "result.json").values()]
    line = re.search(r"^eval/episode_return (\S+) \[(\S+), (\S+)\] \(95% bootstrap over 2 seeds\)$", answer, re.M)
    assert line is not None
    assert [float(number) for number in line.groups()] == pytest.approx(
        [sum(results) / 2, min(results), max(results)], abs=0.05
    )

    again = ended(started(tmp_path / "together", *QUICK, "seeds=2,5"))
    assert again[0] == 0
    assert line[0] in again[1]
    assert "started" not in again[1]
    sessions = [json.loads(text)["sessions"] for text in files(tmp_path / "together", "manifest.json").values()]
    assert [len(each) for each in sessions] == [1, 1]


def test_seeds_that_are_stopped_save_and_are_resumed_by_the_same_command(tmp_path: Path) -> None:
    long = [*RUN, "name=a", "env.num_envs=8", "total_steps=16000", "log_every_steps=200", "evaluation.every_steps=4000"]
    process = started(tmp_path, *long, "seeds=2")
    end = time.monotonic() + 100
    while not any(files(tmp_path).values()):
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    status, answer = ended(process)
    assert status == 75, answer
    ends = [json.loads(text)["sessions"][-1] for text in files(tmp_path, "manifest.json").values()]
    assert ends
    assert all((each["status"], each["reason"]) == ("interrupted", "SIGINT") for each in ends)

    status, answer = ended(started(tmp_path, *long, "seeds=2"))
    assert status == 0, answer
    assert list(files(tmp_path, "result.json")) == ["seed0", "seed1"]
    whole = tmp_path / "whole"
    whole.mkdir()
    assert ended(started(whole, *long, "seed=0"))[0] == 0
    assert files(tmp_path)["seed0"] == files(whole)["seed0"]


def test_a_seed_that_another_process_runs_is_left_to_it_and_a_failed_one_is_shown(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "gridworld" / "q_learning" / "a"
    (folder / "seed1").mkdir(parents=True)
    (folder / "seed2").write_text("no directory")
    with locked(folder / "seed1"):
        status, answer = ended(started(tmp_path, *QUICK, "seeds=3"))
    assert status == 2
    assert list(files(tmp_path)) == ["seed0"]
    assert answer.count(str(os.getpid())) == 3  # when it is left, and what became of it, also at the end
    assert answer.count("seed 2: failed: ") == 2
    assert re.search(r"^eval/episode_return \S+ \(1 of 3 seeds\)$", answer, re.M)


@pytest.mark.parametrize(("of_process", "of_command"), [(0, 1), (1, 1), (3, 3), (-9, 137), (None, 2)])
def test_a_command_with_an_unfinished_run_never_ends_with_0(
    tmp_path: Path, of_process: int | None, of_command: int
) -> None:
    job = RunJob(name="seed 0", command=[], directory=tmp_path, seed=0, experiment={}, total_steps=1)
    assert end([Outcome(job, "failed", line="it printed nothing", status=of_process)]) == of_command
