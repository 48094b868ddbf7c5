"""Runs the real `rlrun` command in a process of its own, and reads its speed from the rows that it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from workloads import Workload

from rlrun.config.arguments import changed

ROOT = Path(__file__).resolve().parent.parent.parent

# Neither is in the time that is measured, so they are as short as can be.
NOTHING_BESIDES = (
    "evaluation.every_steps=null",
    "evaluation.episodes=1",
    "evaluation.num_envs=1",
    "checkpoint.every_seconds=1e9",
    "logger=none",
)


@dataclass(frozen=True, slots=True)
class Timing:
    """Steps per second after learning has started, and who took the time."""

    steps_per_second: float
    env_share: float
    act_share: float
    learn_share: float


def command(overrides: Sequence[str], folder: Path) -> list[str]:
    """The command that runs `overrides` and keeps the run in `folder`."""
    return [sys.executable, "-m", "rlrun", *overrides, f"runs_dir={folder}"]


def environment() -> dict[str, str]:
    """Of this checkout, with as many threads as the overrides say."""
    return {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | {"PYTHONPATH": str(ROOT)}


def speed_overrides(workload: Workload) -> list[str]:
    """Everything that `rlrun` is told to be timed at `workload`."""
    return [
        *workload.all_overrides(),
        f"total_steps={workload.warm_up_steps + workload.measured_steps}",
        f"log_every_steps={workload.row_steps}",
        *NOTHING_BESIDES,
    ]


def one_thread_overrides(workload: Workload) -> list[str]:
    """The same, with one thread for everything: what each of several runs side by side is told, except its seed."""
    emulator = ["env.num_threads=1"] if workload.peer["env"] == "pong" else []
    return changed(speed_overrides(workload), "device.num_threads=1", *emulator)


def measure_rlrun(workload: Workload) -> Timing:
    """Runs `workload` once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(
            command(speed_overrides(workload), folder),
            cwd=folder,
            env=environment(),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (timings,) = folder.glob("**/timings.jsonl")
        return timing_of(read_timings(timings), workload.warm_up_steps)


def read_timings(path: Path) -> list[dict[str, float]]:
    """The rows of a run's `timings.jsonl` that tell its speed."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if "time/steps_per_second" in row]


def timing_of(rows: Sequence[Mapping[str, float]], warm_up_steps: int) -> Timing:
    """All rows after the warm-up as one: speeds and shares are weighed by the time that each took.

    Args:
        rows: with `step` and `time/...`, the first of them before or at the end of the warm-up.
        warm_up_steps: rows up to this step do not count.

    Raises:
        ValueError: if no row spans time after the warm-up.
    """
    seconds = steps = 0.0
    shares = {"env": 0.0, "act": 0.0, "learn": 0.0}
    for before, row in pairwise(rows):
        if before["step"] >= warm_up_steps:
            taken = (row["step"] - before["step"]) / row["time/steps_per_second"]
            steps += row["step"] - before["step"]
            seconds += taken
            for share in shares:
                shares[share] += taken * row[f"time/{share}_share"]
    if not seconds:
        raise ValueError(f"no row after the warm-up of {warm_up_steps} steps")
    return Timing(steps / seconds, *(share / seconds for share in shares.values()))
