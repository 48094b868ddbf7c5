"""Signals: save at the next safe point, distinct status, handlers of others called afterwards."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from rlrun.cli.main import STOPPED, run_command
from rlrun.loop.run import Result
from rlrun.loop.run_state import RunState
from rlrun.runs.interruption import ASKING, StopRequest
from rlrun.runs.loggers import read_rows
from rlrun.runs.manifest import manifest_of_run
from rlrun.types import Progress

WORDS = ("algo=q_learning", "env=gridworld", "env.num_envs=2", "log_every_steps=500", "logger=none", "name=run")
SMALL = ("evaluation.episodes=2", "evaluation.num_envs=2", "evaluation.every_steps=null")
PLACE = Path("gridworld/q_learning/run/seed0")


def start(runs_dir: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rlrun", *WORDS, f"runs_dir={runs_dir}", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(runs_dir: Path, *more: str) -> int:
    """Runs the command to its end, in this process."""
    return run_command(["rlrun", *WORDS, f"runs_dir={runs_dir}", *more])


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "it should have come so far"
        assert process.poll() is None, f"it ended too early: {process.communicate()}"
        time.sleep(0.02)


def rows(runs_dir: Path) -> int:
    path = runs_dir / PLACE / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def saved_steps(runs_dir: Path) -> list[int]:
    return [int(path.stem.split("-")[1]) for path in (runs_dir / PLACE / "checkpoints").glob("step-*.state")]


def test_a_signal_saves_and_the_run_ends_as_if_none_had_come(tmp_path: Path) -> None:
    words = (*SMALL, "total_steps=5000")
    process = start(tmp_path / "asked", *words)
    wait_for(lambda: rows(tmp_path / "asked") >= 2, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == STOPPED
    assert said.count("\n") == 1
    assert "SIGTERM" in said
    (reached,) = saved_steps(tmp_path / "asked")
    assert 1000 <= reached < 5000
    for name in ("asked", "undisturbed"):
        assert finish(tmp_path / name, *words) == 0
    asked, undisturbed = ((tmp_path / name / PLACE / "metrics.jsonl") for name in ("asked", "undisturbed"))
    assert asked.read_bytes() == undisturbed.read_bytes()


def test_a_signal_in_the_middle_of_an_evaluation_does_not_wait_for_its_end(tmp_path: Path) -> None:
    endless = ("evaluation.episodes=1000000", "evaluation.every_steps=1000", "total_steps=2000")
    process = start(tmp_path, *endless)
    wait_for(lambda: rows(tmp_path) >= 2, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == STOPPED, said
    assert saved_steps(tmp_path) == [1000]
    assert finish(tmp_path, "evaluation.episodes=5", "evaluation.every_steps=1000", "total_steps=2000") == 0
    written = read_rows(tmp_path / PLACE / "metrics.jsonl")
    evaluated = [row["step"] for row in written if "eval/episode_return" in row]
    assert evaluated.count(1000) == 1, "the evaluation that was due is made when it goes on"


@pytest.fixture
def called() -> Iterator[list[int]]:
    """Numbers of the signals that reached handlers which were there before."""
    seen: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    before = {number: signal.signal(number, handler) for number in ASKING}
    yield seen
    for number, previous in before.items():
        signal.signal(number, previous)


def test_handlers_that_were_there_before_are_called_afterwards(called: list[int]) -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGUSR2)
        assert stop.came == "SIGUSR2"
        assert called == []
        stop.pass_on()
        assert called == [signal.SIGUSR2]
    os.kill(os.getpid(), signal.SIGUSR1)
    assert called == [signal.SIGUSR2, signal.SIGUSR1], "afterwards they are in charge again"


def test_only_the_first_signal_counts_but_a_second_sigint_stops_at_once(called: list[int]) -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.came == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        stop.pass_on()
    assert called == [signal.SIGTERM]


def test_without_a_signal_nothing_is_passed_on(called: list[int]) -> None:
    with StopRequest() as stop:
        assert stop.came is None
        stop.pass_on()
    assert called == []


def test_one_inside_another_is_the_outer_one(called: list[int]) -> None:
    with StopRequest() as outer:
        os.kill(os.getpid(), signal.SIGTERM)
        with StopRequest() as inner:
            assert inner is outer
            inner.pass_on()
        outer.pass_on()
        os.kill(os.getpid(), signal.SIGUSR1)
    assert called == [signal.SIGTERM], "once, and not before the outer one is left"


def test_a_signal_in_the_last_moments_of_a_run_ends_its_sweep(
    tmp_path: Path, called: list[int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = Result.as_json

    def asked(result: Result) -> dict[str, float | int | list[float]]:
        os.kill(os.getpid(), signal.SIGTERM)  # after the final evaluation
        return whole(result)

    monkeypatch.setattr(Result, "as_json", asked)
    words = [word for word in WORDS if not word.startswith("name=")]
    sweep = ["rlrun", "-m", *words, "seed=0,1", "total_steps=300", "evaluation.episodes=2", f"runs_dir={tmp_path}"]
    assert run_command(sweep) == STOPPED
    assert "SIGTERM" in capfd.readouterr().err
    assert [path.parent.name for path in tmp_path.rglob("result.json")] == ["seed0"], "seed 1 is not begun"
    assert called == [signal.SIGTERM]


def test_a_hangup_asks_too_but_not_where_it_is_ignored(called: list[int]) -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.came == "SIGHUP"
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.came is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert called == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_every_signal_that_asks_saves_once_and_names_itself(
    tmp_path: Path,
    called: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    original = RunState.advance

    def advance(run_state: RunState, progress: Progress) -> int:
        if progress.step == 300:
            os.kill(os.getpid(), number)
        return original(run_state, progress)

    monkeypatch.setattr(RunState, "advance", advance)
    assert finish(tmp_path, *SMALL, "total_steps=400") == STOPPED
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert f"{number.name} " in said
    assert saved_steps(tmp_path) == [300]
    assert called == [number]


@pytest.mark.parametrize("verb", ["resume", "rerun"])
def test_verbs_that_train_take_signals_while_they_start(
    tmp_path: Path, called: list[int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], verb: str
) -> None:
    assert run_command(["rlrun", *WORDS, *SMALL, "total_steps=400", f"runs_dir={tmp_path}"]) == 0
    command = ["rlrun", verb, str(tmp_path / PLACE), *(["total_steps=800"] if verb == "resume" else [])]

    def asked(directory: Path) -> dict[str, object]:
        os.kill(os.getpid(), signal.SIGTERM)  # long before training begins
        return manifest_of_run(directory)

    with monkeypatch.context() as patch:
        patch.setattr(f"rlrun.cli.verbs.{verb}.manifest_of_run", asked)
        assert run_command(command) == STOPPED
    assert re.search(r"stopped by SIGTERM at step [\d,]+; everything is saved", capfd.readouterr().err)
    assert called == [signal.SIGTERM]
    assert run_command(command) == 0
    assert "resuming at step " in capfd.readouterr().out


def test_what_goes_on_with_a_fresh_run_that_was_stopped_is_said(
    tmp_path: Path, called: list[int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["rlrun", *WORDS, *SMALL, "total_steps=400", f"runs_dir={tmp_path / 'two words'}", "fresh=true"]
    assert run_command(words) == 0
    original = RunState.advance

    def advance(run_state: RunState, progress: Progress) -> int:
        os.kill(os.getpid(), signal.SIGUSR1)
        return original(run_state, progress)

    with monkeypatch.context() as patch:
        patch.setattr(RunState, "advance", advance)
        assert run_command(words) == STOPPED
    said = re.search(r"everything is saved, and `rlrun (resume .*)` resumes it", capfd.readouterr().err)
    assert said is not None
    again = shlex.split(said[1])
    assert again == ["resume", str(tmp_path / "two words" / PLACE.with_name("seed0-2"))]
    assert run_command(["rlrun", *again]) == 0
    assert "resuming at step " in capfd.readouterr().out
    assert not list(tmp_path.rglob("seed0-3"))


SLOW_ENV = '''
"""Waits for a minute at its 200th step, unless `no_waiting` is there."""
import time
from pathlib import Path
from rlrun.testing.scripted_env import ScriptedEnv

HERE = Path(__file__).parent

class SlowEnv(ScriptedEnv):
    def step(self, action):
        self.count = getattr(self, "count", 0) + 1
        if self.count == 200 and not (HERE / "no_waiting").exists():
            (HERE / "waiting").touch()
            time.sleep(60)
        return super().step(action)
'''


def test_a_second_ctrl_c_stops_at_once_and_what_was_saved_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a process group of its own, as a terminal signals it."""
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "slow.yaml").write_text("# Slow.\n_target_: slow_env.SlowEnv\nnum_envs: 2\n")
    (tmp_path / "slow_env.py").write_text(SLOW_ENV)
    words = ["algo=random", "env=slow", "name=run", "logger=none", "total_steps=1000", "log_every_steps=20", *SMALL]
    words += ["checkpoint.every_seconds=0.001", "--config-dir", "."]
    command = [sys.executable, "-m", "rlrun", *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    checkpoints = tmp_path / "runs/slow/random/run/seed0/checkpoints"
    wait_for((tmp_path / "waiting").exists, process)
    kept = {path.name: path.read_bytes() for path in checkpoints.iterdir()}
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None, "the first one waits for the next safe point"
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == "rlrun: interrupted; what was saved stays, and `rlrun ls` says which runs can be resumed\n"
    assert {path.name: path.read_bytes() for path in checkpoints.iterdir()} == kept

    (tmp_path / "no_waiting").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert run_command(["rlrun", *words]) == 0
    newest = max(int(name[5:-6]) for name in kept if name.startswith("step-"))
    assert f"resuming at step {newest:,}\n" in capfd.readouterr().out
