"""`rlrun watch` in a pseudo-terminal, and `rlrun export`, as a person meets them."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from rlrun.api.running import Command, carry_out
from rlrun.cli.main import run_command
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.runs.policies import policy_of

OVERRIDES = ["algo=q_learning", "env=gridworld", "device=cpu", "logger=none", "name=a"]
OVERRIDES += ["evaluation.episodes=2", "evaluation.num_envs=2", "evaluation.every_steps=null"]
SHOWS, HIDES = b"\x1b[?1049l", b"\x1b[?1049h"  # the screen as it was; a screen of one's own


def trained(runs: Path, total_steps: int = 500) -> Path:
    overrides = [*OVERRIDES, f"total_steps={total_steps}", f"runs_dir={runs}"]
    directory = runs / "gridworld/q_learning/a/seed0"
    carry_out(load_config(overrides, [config_directory()]), directory, Command(["rlrun", *overrides], overrides))
    return directory


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("runs"))


@contextmanager
def watching(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-m", "rlrun", "watch", str(directory), "--fps", "100"]
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    try:
        yield process, ours
        assert termios.tcgetattr(theirs) == before, "the terminal must be left as it was"
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def read_until(source: int, wanted: bytes, seconds: float = 120.0) -> bytes:
    seen, end = b"", monotonic() + seconds
    while wanted not in seen:
        ready, _, _ = select.select([source], [], [], max(0.0, end - monotonic()))
        assert ready, f"{wanted!r} did not come; the last was {seen[-300:]!r}"
        seen += os.read(source, 65536)
    return seen


@pytest.mark.parametrize("ending", ["q", "Ctrl-C", "SIGTERM"])
def test_it_plays_until_it_is_ended_and_leaves_the_terminal_as_it_was(run: Path, ending: str) -> None:
    with watching(run) as (process, terminal):
        seen = read_until(terminal, b"episode 2, step")
        assert seen.index(HIDES) < seen.index("▀".encode())
        assert b"q_learning on gridworld" in seen
        if ending == "SIGTERM":
            process.send_signal(signal.SIGTERM)
        elif ending == "Ctrl-C":
            process.send_signal(signal.SIGINT)
        else:
            os.write(terminal, b"q")
        rest = read_until(terminal, SHOWS)
        assert b"Traceback" not in rest
        assert process.wait(timeout=60) == (128 + signal.SIGTERM if ending == "SIGTERM" else 0)


def test_it_follows_a_run_that_is_trained_on(tmp_path: Path) -> None:
    directory = trained(tmp_path)
    with watching(directory) as (_, terminal):
        read_until(terminal, b"plays: step 500")
        trained(tmp_path, 800)
        read_until(terminal, b"plays: step 800")
        os.write(terminal, b"q")
        read_until(terminal, SHOWS)


def test_without_a_terminal_it_is_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rlrun", "watch", str(run)]) == 2
    said = capsys.readouterr().err
    assert "terminal" in said
    assert said.count("\n") == 1


def test_an_exported_policy_is_filmed_like_its_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "policy"
    assert run_command(["rlrun", "export", str(run), "--into", str(into)]) == 0
    assert "step 500" in capsys.readouterr().out
    for place, name in ((run, "one.gif"), (into, "two.gif")):
        assert run_command(["rlrun", "video", str(place), "--out", str(tmp_path / name), "--episodes", "2"]) == 0
    assert (tmp_path / "one.gif").read_bytes() == (tmp_path / "two.gif").read_bytes()
    assert policy_of(into).step == 500


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["export", "RUN"], ["--into"]),
        (["export", "RUN", "--into", "RUN"], ["exists already"]),
        (["export", "RUN", "--into", "new", "--checkpoint", "3"], ["no policy 3", "500"]),
        (["export", "nowhere", "--into", "new"], ["nowhere"]),
        (["video", "RUN", "nowhere"], ["nowhere"]),
        (["watch", "RUN", "--fps", "0"], ["--fps"]),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    arguments: list[str],
    named: list[str],
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["rlrun", *(str(run) if word == "RUN" else word for word in arguments)]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert [each for each in named if each not in said.err] == [], said.err
    assert list(tmp_path.iterdir()) == []
