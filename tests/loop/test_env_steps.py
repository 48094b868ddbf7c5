"""Every interaction with the environment is counted, those of slots that wait for others too, across interruptions."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlrun.build import build
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.loop.loop import train
from rlrun.loop.run import Result
from rlrun.runs.interruption import Interrupted
from rlrun.runs.loggers import read_rows
from rlrun.types import Int64Array, TimeStep

OVERRIDES = [
    "algo=reinforce",
    "env=cartpole",
    "algo.network.hidden=[8]",
    "device=cpu",
    "log_every_steps=500",
    "name=run",
]
OVERRIDES += ["evaluation.every_steps=1000", "evaluation.episodes=1", "total_steps=2500", "env.num_envs=4"]
OVERRIDES += ["algo.episodes_per_batch=8"]


class Stopped:
    """Sends this process SIGTERM at one interaction."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.played = 0

    def step(self, num_envs: int) -> None:
        self.played += num_envs
        if self.at is not None and self.played >= self.at:
            self.at = None
            os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def counted(directory: Path, meter: Stopped, overrides: Sequence[str] = OVERRIDES) -> Iterator[Result]:
    """The result of a run whose environment's steps `meter` has seen."""
    config = load_config([*overrides, f"runs_dir={directory}"], [config_directory()])
    directory.mkdir(exist_ok=True)
    with closing(build(config, directory)) as built:
        env = built.run.collector.env
        real = env.step

        def step(action: Int64Array) -> TimeStep:
            meter.step(len(action))
            return real(action)

        env.step = step  # type: ignore[method-assign]
        yield train(built.run)


def test_env_steps_are_what_the_environment_has_played(tmp_path: Path) -> None:
    meter = Stopped(None)
    with counted(tmp_path, meter) as result:
        pass
    rows = read_rows(tmp_path / "metrics.jsonl")
    assert all(row["env_steps"] > row["step"] for row in rows), "slots have waited in every batch"
    assert rows[-1]["env_steps"] == result.counts["env_steps"] == meter.played
    assert json.loads((tmp_path / "result.json").read_text())["env_steps"] == meter.played
    assert {row["env_steps"] for row in rows if "eval/episode_return" in row} <= {
        row["env_steps"] for row in rows if "train/episodes" in row
    }
    events = EventAccumulator(str(tmp_path)).Reload()
    shown = {(scalar.step, scalar.value) for scalar in events.Scalars("env_steps")}
    assert shown == {(row["step"], row["env_steps"]) for row in rows}


def test_they_are_exact_across_an_interruption(tmp_path: Path) -> None:
    whole = Stopped(None)
    with counted(tmp_path / "whole", whole):
        pass
    first, second = Stopped(1500), Stopped(None)
    with pytest.raises(Interrupted), counted(tmp_path / "stopped", first):
        pass
    with counted(tmp_path / "stopped", second) as result:
        pass
    assert first.played + second.played == whole.played == result.counts["env_steps"]
    for name in ("metrics.jsonl", "result.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_where_no_slot_waits_they_are_the_agent_steps(tmp_path: Path) -> None:
    meter = Stopped(None)
    with counted(tmp_path, meter, [*OVERRIDES[1:-1], "algo=actor_critic"]) as result:
        pass
    assert result.counts["env_steps"] == result.step == meter.played


def test_a_planner_has_none(tmp_path: Path) -> None:
    overrides = ["algo=value_iteration", "env=gridworld", "device=cpu", "logger=none", f"runs_dir={tmp_path}"]
    with closing(build(load_config(overrides, [config_directory()]), tmp_path)) as built:
        result = train(built.run)
    assert result.step > 0
    assert result.counts == {"env_steps": 0}
    assert {row["env_steps"] for row in read_rows(tmp_path / "metrics.jsonl")} == {0}
