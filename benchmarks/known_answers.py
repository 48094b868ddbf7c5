"""Learning from tables and tiles, held to answers that are known; writes `benchmarks/results/known_answers.csv`.

    .venv/bin/python benchmarks/known_answers.py [--only frozenlake] [--seeds 5]

Every run goes through the real command, one after the other, with the presets' own numbers. `--only` measures one of
them again and leaves the other rows of the file as they are.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from rlrun.pictures.tables_file import load_tables
from rlrun.runs.loggers import read_rows

TARGET = Path(__file__).resolve().parent / "results" / "known_answers.csv"
RLRUN = str(Path(sys.executable).parent / "rlrun")
COLUMNS = (
    "work",
    "mark",
    "seed",
    "measured",
    "reached",
    "steps",
    "episodes",
    "seconds",
    "command",
    "commit",
    "machine",
)


@dataclass(frozen=True)
class Finished:
    """A run that the command has finished."""

    directory: Path
    seconds: float  # wall time of the whole command

    def manifest(self) -> Mapping[str, Any]:
        """What made it."""
        manifest: dict[str, Any] = json.loads((self.directory / "manifest.json").read_text())
        return manifest

    def result(self) -> Mapping[str, Any]:
        """Its last evaluation."""
        result: dict[str, Any] = json.loads((self.directory / "result.json").read_text())
        return result

    def episodes(self) -> int:
        """How many training episodes ended."""
        return int(sum(row.get("train/episodes", 0) for row in read_rows(self.directory / "metrics.jsonl")))

    def online_return(self) -> float:
        """The mean return of the training episodes that ended in the second half of the run."""
        half = self.result()["step"] / 2
        rows = [row for row in read_rows(self.directory / "metrics.jsonl") if row["step"] > half]
        rows = [row for row in rows if "train/episodes" in row]
        returns, counts = ([row[f"train/{key}"] for row in rows] for key in ("episode_return", "episodes"))
        return float(np.average(returns, weights=counts))


@dataclass(frozen=True)
class Answer:
    """What came out for one seed."""

    measured: float
    reached: bool
    run: Finished


@dataclass(frozen=True)
class Workload:
    """Something whose answer is known."""

    name: str
    mark: str  # a description
    needed: int  # of 5 seeds
    answer: Callable[[int, Path], Answer]  # (seed, where to keep runs)


def command(overrides: Sequence[str], runs_dir: Path) -> Finished:
    """Runs `rlrun` with no evaluation but the last, on one thread."""
    overrides = [*overrides, "evaluation.every_steps=null", "logger=none", "device.num_threads=1"]
    started = perf_counter()
    before = set(runs_dir.glob("*/*/*/seed*"))
    subprocess.run([RLRUN, *overrides, f"runs_dir={runs_dir}"], check=True, capture_output=True)
    (directory,) = set(runs_dir.glob("*/*/*/seed*")) - before
    return Finished(directory, perf_counter() - started)


def td_gridworld(seed: int, folder: Path) -> Answer:
    """The largest error of any state's value, against the exact values of the planner."""
    grid = ["env=gridworld", "algo.gamma=1"]
    exact = load_tables(command(["algo=policy_evaluation", *grid, f"seed={seed}"], folder).directory)
    run = command(["algo=td", *grid, f"seed={seed}"], folder)
    error = float(np.abs(load_tables(run.directory).tables.values - exact.tables.values).max())
    return Answer(error, error <= 0.5 and run.episodes() <= 20_000, run)


def frozenlake(seed: int, folder: Path) -> Answer:
    """The share of greedy episodes that reach the goal."""
    run = command(["algo=q_learning", "env=frozenlake", "evaluation.episodes=1000", f"seed={seed}"], folder)
    share = float(run.result()["eval/episode_return"])
    return Answer(share, share >= 0.70 and run.result()["step"] <= 500_000, run)


def cliff_path(seed: int, folder: Path) -> Answer:
    """The least return of greedy episodes: -13 is the shortest path, without a fall."""
    run = command(["algo=q_learning", *CLIFF, f"seed={seed}"], folder)
    least = float(min(run.result()["eval/returns"]))
    return Answer(least, least == -13.0, run)


def cliff_online(seed: int, folder: Path) -> Answer:
    """The online return of Q-learning less that of Sarsa, with the same numbers."""
    learned, followed = (command([f"algo={algo}", *CLIFF, f"seed={seed}"], folder) for algo in ("q_learning", "sarsa"))
    agents = [dict(run.manifest()["experiment"]["algo"]) for run in (learned, followed)]
    assert [agent.pop("bootstrap") for agent in agents] == ["max", "next_action"]
    assert agents[0] == agents[1], "the two must have the same numbers"
    difference = learned.online_return() - followed.online_return()
    return Answer(difference, difference < 0.0, learned)


def taxi(seed: int, folder: Path) -> Answer:
    """The mean return of greedy episodes; by the id, which finds the tuned file by itself."""
    overrides = ["algo=q_learning", "env=gym", "env.id=Taxi-v4", "evaluation.episodes=1000", f"seed={seed}"]
    run = command(overrides, folder)
    mean = float(run.result()["eval/episode_return"])
    return Answer(mean, mean >= 7.5 and run.result()["step"] <= 1_000_000, run)


def mountaincar(seed: int, folder: Path) -> Answer:
    """The mean return of greedy episodes after at most 500 episodes of training."""
    run = command(["algo=linear_q", "env=mountaincar", "evaluation.episodes=100", f"seed={seed}"], folder)
    mean = float(run.result()["eval/episode_return"])
    return Answer(mean, mean >= -120.0 and run.episodes() <= 500, run)


CLIFF = ("env=cliffwalking", "evaluation.episodes=10")
WORKLOADS = (
    Workload("td_gridworld", "every value within 0.5, at most 20,000 episodes", 5, td_gridworld),
    Workload("frozenlake", "at least 0.70 over 1,000 episodes, at most 500,000 steps", 5, frozenlake),
    Workload("cliff_path", "exactly -13", 5, cliff_path),
    Workload("cliff_online", "below 0: Q-learning's online return less Sarsa's", 5, cliff_online),
    Workload("taxi", "at least 7.5 over 1,000 episodes, at most 1,000,000 steps", 5, taxi),
    Workload("mountaincar", "at least -120 over 100 episodes, at most 500 episodes of training", 4, mountaincar),
)


def measure(workload: Workload, seeds: int) -> list[dict[str, object]]:
    """One row for every seed; prints the line of the table."""
    rows: list[dict[str, object]] = []
    started = perf_counter()
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            answer = workload.answer(seed, Path(folder))
            manifest = answer.run.manifest()
            machine = manifest["machine"]
            typed = (word for word in manifest["argv"][1:] if not word.startswith("runs_dir="))
            rows.append(
                {
                    "work": workload.name,
                    "mark": workload.mark,
                    "seed": seed,
                    "measured": round(answer.measured, 3),
                    "reached": answer.reached,
                    "steps": answer.run.result()["step"],
                    "episodes": answer.run.episodes(),
                    "seconds": round(answer.run.seconds, 1),
                    "command": " ".join(["rlrun", *typed]),
                    "commit": commit_of(manifest),
                    "machine": f"{machine['cpu']}, {machine['cores']} cores",
                }
            )
    measured = " ".join(f"{row['measured']:>8}" for row in rows)
    reached = sum(bool(row["reached"]) for row in rows)
    seconds = perf_counter() - started
    print(
        f"{workload.name:13} {measured}  {reached} of {seeds} (needs {workload.needed} of 5) {seconds:5.0f} s  "
        f"{workload.mark}"
    )
    sys.stdout.flush()
    return rows


def commit_of(manifest: Mapping[str, Any]) -> str:
    """The first digits, and `+` where there were changes."""
    commit = str(manifest["git_commit"] or "")
    return commit[:7] + "+" * commit.endswith("+")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[workload.name for workload in WORKLOADS], help="measure only this")
    parser.add_argument("--seeds", type=int, default=5, help="0, 1, 2 ...")
    options = parser.parse_args()
    kept: list[dict[str, object]] = []
    if options.only and TARGET.is_file():
        with TARGET.open(newline="", encoding="utf-8") as file:
            kept = [dict(row) for row in csv.DictReader(file) if row["work"] != options.only]
    rows = kept
    for workload in WORKLOADS:
        if options.only in (None, workload.name):
            rows += measure(workload, options.seeds)
    order = [workload.name for workload in WORKLOADS]
    rows.sort(key=lambda row: order.index(str(row["work"])))
    TARGET.parent.mkdir(exist_ok=True)
    with TARGET.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
