"""Jobs of one experiment with many seeds: their commands, threads, directories and memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlrun.api.jobs import jobs_of
from rlrun.build import PROCESS_BYTES, memory_bytes
from rlrun.cli.main import run_command
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory

OVERRIDES = ["algo=q_learning", "env=gridworld", "total_steps=200", "logger=none", "evaluation.episodes=1", "name=a"]


def test_a_job_is_the_command_of_its_seed_on_one_thread(tmp_path: Path) -> None:
    overrides = [*OVERRIDES, f"runs_dir={tmp_path}"]
    jobs, config = jobs_of(overrides, [3, 1], [config_directory()], ["--config-dir", "mine"])
    assert [job.name for job in jobs] == ["seed 3", "seed 1"]
    assert [job.directory for job in jobs] == [tmp_path / "gridworld" / "q_learning" / "a" / f"seed{k}" for k in (3, 1)]
    assert config.seed == 3
    after = [*overrides, "seed=3", "device.num_threads=1", "--config-dir", "mine"]
    assert list(jobs[0].command[-len(after) :]) == after


def test_threads_that_are_given_or_that_a_run_began_with_stay(tmp_path: Path) -> None:
    overrides = [*OVERRIDES, f"runs_dir={tmp_path}"]
    given, _ = jobs_of([*overrides, "device.num_threads=2"], [0], [config_directory()])
    assert given[0].num_threads == 2
    assert "device.num_threads=1" not in given[0].command
    assert run_command(["rlrun", *overrides, "seed=0"]) == 0
    jobs, _ = jobs_of(overrides, [0, 1], [config_directory()])
    assert [job.num_threads for job in jobs] == [1, 1]
    assert ["device.num_threads=1" in job.command for job in jobs] == [False, True]
    assert jobs[0].result() is not None
    assert jobs[1].result() is None


def test_the_memory_of_a_process_counts_its_replay_as_if_it_were_full() -> None:
    def needed(*overrides: str) -> int:
        return memory_bytes(load_config(overrides, [config_directory()])) - PROCESS_BYTES

    assert needed("algo=random", "env=cartpole") == 0
    pong = needed("algo=dqn", "env=pong", "algo.replay.capacity_steps=100000")
    assert pong == pytest.approx(0.66 * 2**30, rel=0.02)  # 84 x 84 bytes a step, and 13 more
    on_disk = needed("algo=dqn", "env=pong", "algo.replay.capacity_steps=100000", "algo.replay.storage=disk")
    assert on_disk < pong / 100
