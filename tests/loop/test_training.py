"""What surrounds the loop: what is due when it is stopped, what is refused before it begins, and the end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from rlrun.build import build, identity_of
from rlrun.cli.main import run_command
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.errors import UserError
from rlrun.loop import evaluate
from rlrun.loop import loop as training
from rlrun.loop.evaluate import Evaluation, Evaluator
from rlrun.loop.loop import train
from rlrun.loop.saving import restore
from rlrun.protocols import Agent
from rlrun.replay.uniform import UniformReplay
from rlrun.runs import manifest
from rlrun.runs.checkpoint import Checkpoints
from rlrun.runs.episode_log import FILE, read_episode_log
from rlrun.runs.interruption import STOPPED
from rlrun.types import State

OVERRIDES = ["algo=q_learning", "env=gridworld", "env.num_envs=1", "device=cpu", "device.num_threads=1", "logger=none"]
OVERRIDES += [
    "name=run",
    "total_steps=400",
    "log_every_steps=100",
    "evaluation.every_steps=150",
    "evaluation.episodes=3",
]
PLACE = Path("gridworld/q_learning/run/seed0")


def go(runs_dir: Path, *more: str) -> int:
    return run_command(["rlrun", *OVERRIDES, f"runs_dir={runs_dir}", *more])


def test_a_due_evaluation_survives_two_stops_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert go(tmp_path / "whole") == 0
    real, begun = Evaluator.evaluate, 0

    def stopped_at_first(self: Evaluator, agent: Agent, number: int, stop: Callable[[], bool]) -> Evaluation:
        nonlocal begun
        begun += 1
        if begun in (1, 2):  # the same one, in two processes
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, agent, number, stop)

    with monkeypatch.context() as patch:
        patch.setattr(evaluate.Evaluator, "evaluate", stopped_at_first)
        assert [go(tmp_path / "stopped") for _ in range(3)] == [STOPPED, STOPPED, 0]
    for name in ("metrics.jsonl", "result.json"):
        assert (tmp_path / "stopped" / PLACE / name).read_bytes() == (tmp_path / "whole" / PLACE / name).read_bytes()


@pytest.mark.parametrize(
    ("algo", "width", "why"), [("reinforce", 9, "size mismatch"), ("actor_critic", 8, "'network'")]
)
def test_an_agent_of_another_shape_or_kind_is_one_line(tmp_path: Path, algo: str, width: int, why: str) -> None:
    overrides = ["env=cartpole", "device=cpu", "logger=none", "total_steps=50", "evaluation.episodes=1", "name=run"]
    overrides += [f"runs_dir={tmp_path}"]
    first = load_config([*overrides, "algo=reinforce", "algo.network.hidden=[8]"], [config_directory()])
    other = load_config([*overrides, f"algo={algo}", f"algo.network.hidden=[{width}]"], [config_directory()])
    directory = tmp_path / "run"
    directory.mkdir()
    with closing(build(first, directory)) as built:
        train(built.run)
    with closing(build(other, directory)) as built:
        run = replace(built.run, checkpoints=Checkpoints(directory, identity_of(first), 1))
        with pytest.raises(UserError, match=why) as raised:
            restore(run)
    assert "\n" not in str(raised.value)


def test_the_log_of_episodes_is_whole_before_there_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = manifest.write_result, []

    def look_first(directory: Path, result: dict[str, object]) -> None:
        seen.append((directory / FILE).read_bytes())
        real(directory, result)

    monkeypatch.setattr(training, "write_result", look_first)
    assert go(tmp_path, "record_episodes=true") == 0
    log = tmp_path / PLACE / FILE
    assert seen == [log.read_bytes()]
    assert len(read_episode_log(log).actions) == 400


@pytest.mark.parametrize("resumable", [True, False])
def test_what_is_refused_late_is_told_before_there_is_a_result(
    tmp_path: Path, resumable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class RefusedError(ValueError):
        pass

    def refuse(replay: UniformReplay) -> State:
        raise RefusedError

    monkeypatch.setattr(UniformReplay, "state_dict", refuse)  # on a GPU it tells what was wrong with its input
    overrides = ["algo=dqn", "env=cartpole", "device=cpu", "logger=none", "total_steps=64", "evaluation.episodes=1"]
    overrides += ["algo.replay.learning_starts_steps=32"]
    config = load_config([*overrides, f"runs_dir={tmp_path}", "name=run"], [config_directory()])
    with closing(build(config, tmp_path)) as built:
        env = cast(Any, built.run.collector.env)
        env.spec = replace(env.spec, resumable=resumable)
        with pytest.raises(RefusedError):
            train(built.run)
    assert not (tmp_path / "result.json").exists()


class ToldDisplay:
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        self.excluded: list[float] = []

    def begin(self, start: int, total_steps: int) -> None: ...

    def update(self, step: int, values: Mapping[str, float]) -> None: ...

    def exclude(self, seconds: float) -> None:
        self.excluded.append(seconds)

    def say(self, line: str) -> None: ...

    def close(self) -> None: ...


def test_the_display_is_told_how_long_evaluations_and_saving_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [*OVERRIDES, f"runs_dir={tmp_path}", "checkpoint.every_seconds=1000"]
    real = Evaluator.evaluate

    def slow(self: Evaluator, agent: Agent, number: int, stop: Callable[[], bool]) -> Evaluation:
        time.sleep(0.05)
        return real(self, agent, number, stop)

    monkeypatch.setattr(evaluate.Evaluator, "evaluate", slow)
    with closing(build(load_config(overrides, [config_directory()]), tmp_path)) as built:
        display = ToldDisplay()
        train(replace(built.run, display=display))
    first, second, save = display.excluded  # the last evaluation is followed by no more training
    assert min(first, second) >= 0.05
    assert save > 0.0
