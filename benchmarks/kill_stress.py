"""Kills runs with SIGKILL at random moments and resumes them until they finish; then compares every bit.

    .venv/bin/python benchmarks/kill_stress.py --kills 200

prints a table and writes `benchmarks/results/kill_stress.csv`. A run is a child process that is forked from one in
which everything is already imported, so that most kills hit training, saving or resuming instead of imports. What the
finished run left (metrics, result, weights, optimizer, replay, environments) must equal what an uninterrupted run left.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlrun.checkpoint import Checkpoints
from rlrun.loggers import read_rows
from rlrun.testing.agent import same

HERE = Path(__file__).resolve().parent

COMMON = (
    "device=cpu",
    "device.num_threads=1",
    "checkpoint.every_seconds=0.05",
    "evaluation.episodes=3",
    "evaluation.num_envs=3",
)
WORKS: dict[str, tuple[str, ...]] = {
    "gridworld q_learning": (
        "algo=q_learning",
        "env=gridworld",
        "env.num_envs=3",
        "total_steps=9000",
        "log_every_steps=300",
        "evaluation.every_steps=1500",
    ),
    "cartpole dqn": (
        "algo=dqn",
        "env=cartpole",
        "algo.learning_starts_steps=200",
        "algo.replay_capacity_steps=1000",
        "total_steps=3000",
        "log_every_steps=200",
        "evaluation.every_steps=700",
    ),
    "cartpole actor_critic": (
        "algo=actor_critic",
        "env=cartpole",
        "total_steps=12000",
        "log_every_steps=500",
        "evaluation.every_steps=2500",
    ),
    "cartpole reinforce": (
        "algo=reinforce",
        "env=cartpole",
        "total_steps=8000",
        "log_every_steps=500",
        "evaluation.every_steps=2500",
    ),
    "pong dqn, sticky actions, 3 environments": (
        "algo=dqn",
        "env=pong",
        "network=nips2013",
        "env.protocol=machado2018",
        "env.num_envs=3",
        "env.num_threads=1",
        "env.max_episode_frames=240",
        "env.reseed_every_steps=100",
        "algo.learning_starts_steps=150",
        "algo.replay_capacity_steps=900",
        "total_steps=1500",
        "log_every_steps=150",
        "evaluation.every_steps=450",
    ),
}


COUNTS = ("runs", "kills", "in_saves", "before_training", "resumed", "begun_again", "unreadable", "double_rows")


@dataclass
class Outcome:
    """What happened to the runs of one work."""

    runs: int = 0
    kills: int = 0
    in_saves: int = 0  # kills that left a half-written temporary file
    before_training: int = 0  # kills while the environment and agent were built, or a checkpoint was loaded
    resumed: int = 0  # starts that went on from a checkpoint and got to the end, or were killed later
    begun_again: int = 0  # starts that had a checkpoint, got to the end, and did not go on from it
    unreadable: int = 0  # restarts that ended with an error
    double_rows: int = 0
    different: list[str] = field(default_factory=list)  # what differed from the uninterrupted run


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    share = -(-args.kills // len(WORKS))
    outcomes = {name: stress(words, share, random.Random(f"{args.seed} {name}")) for name, words in WORKS.items()}
    write(outcomes, f"benchmarks/kill_stress.py --kills {args.kills} --seed {args.seed}")
    print("| work | " + " | ".join(COUNTS).replace("_", " ") + " | different |")
    print("|---" * (len(COUNTS) + 2) + "|")
    for name, seen in outcomes.items():
        counts = [getattr(seen, count) for count in COUNTS]
        print(f"| {name} | {' | '.join(map(str, counts))} | {'; '.join(seen.different) or 0} |")
    if any(seen.begun_again or seen.unreadable or seen.double_rows or seen.different for seen in outcomes.values()):
        sys.exit(1)


def write(outcomes: dict[str, Outcome], command: str) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True
    ).stdout.strip()
    with (HERE / "results" / "kill_stress.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["work", *COUNTS, "different", "command", "commit", "machine"])
        for name, seen in outcomes.items():
            counts = [getattr(seen, count) for count in COUNTS]
            machine = platform.processor() or os.uname().machine
            writer.writerow([name, *counts, len(seen.different), command, commit, machine])


def stress(words: Iterable[str], kills: int, rng: random.Random) -> Outcome:
    """Runs once without a kill, and then with kills until there were `kills` of them and the last run is finished."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / "reference"
        started = time.monotonic()
        if start(words, reference).wait() != 0:
            raise RuntimeError(f"the uninterrupted run failed; its output is {log_of(reference).read_text()}")
        seconds = time.monotonic() - started
        while outcome.kills < kills:
            killed = Path(folder) / f"killed{outcome.runs}"
            until_finished(words, killed, seconds, kills, outcome, rng)
            outcome.runs += 1
            outcome.double_rows += double_rows(killed)
            outcome.different += differences(reference, killed)
    return outcome


def until_finished(
    words: Iterable[str], runs_dir: Path, seconds: float, kills: int, outcome: Outcome, rng: random.Random
) -> None:
    """Starts, kills and starts again; the longer it was let live the less often, so that it comes to an end."""
    while True:
        had_checkpoint = any(runs_dir.rglob("step-*.state"))
        child = start(words, runs_dir)
        # Half of the kills come early, where a run is built and resumed; the others anywhere.
        patience = rng.uniform(0, 0.8) if rng.random() < 0.3 else rng.uniform(0, seconds)
        status = child.wait(patience if outcome.kills < kills else None)
        outcome.resumed += "resuming at" in log_of(runs_dir).read_text()
        if status is None:
            child.kill()
            outcome.kills += 1
            outcome.in_saves += any(runs_dir.rglob("*.tmp"))
            said = log_of(runs_dir).read_text()
            outcome.before_training += "seed0" not in said or (had_checkpoint and "resuming at" not in said)
            continue
        said = log_of(runs_dir).read_text()  # a kill after the result was written leaves a run that is finished
        outcome.begun_again += had_checkpoint and "resuming at" not in said and "is finished" not in said
        if status != 0:
            outcome.unreadable += 1
            print(log_of(runs_dir).read_text(), file=sys.stderr)
        return


class Child:
    """A forked run."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit status; None if it is still running after so many seconds."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self._pid, 0 if deadline is None else os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if deadline is not None and time.monotonic() >= deadline:
                return None
            time.sleep(0.001)

    def kill(self) -> None:
        """Really."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def start(words: Iterable[str], runs_dir: Path) -> Child:
    """The command in a forked process; its output goes to a file."""
    import rlrun.build  # imported before the fork, so that no kill is spent on imports
    import rlrun.cli
    import rlrun.training

    runs_dir.mkdir(exist_ok=True)
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads; torch's sleep
        pid = os.fork()
    if pid:
        return Child(pid)
    status = 1
    try:
        log = log_of(runs_dir).open("w", buffering=1)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.stdout = sys.stderr = log  # whoever forked may have put something else there
        rlrun.training._MOST_TIME_SAVING = 1.0  # saves far more often than a run would, so that kills hit saves too
        status = rlrun.cli.run_command(["rlrun", *words, *COMMON, f"runs_dir={runs_dir}"])
    finally:
        sys.stdout.flush()
        os._exit(status)


def log_of(runs_dir: Path) -> Path:
    return runs_dir / "output.txt"


def directory_of(runs_dir: Path) -> Path:
    (directory,) = runs_dir.glob("*/*/*/seed0")
    return directory


def double_rows(runs_dir: Path) -> int:
    rows = Counter(
        (row["step"], "eval/episode_return" in row) for row in read_rows(directory_of(runs_dir) / "metrics.jsonl")
    )
    return sum(count - 1 for count in rows.values())


def differences(reference: Path, killed: Path) -> list[str]:
    """What is not the same, bit for bit."""
    ours, theirs = directory_of(reference), directory_of(killed)
    different = [
        name for name in ("metrics.jsonl", "result.json") if (ours / name).read_bytes() != (theirs / name).read_bytes()
    ]
    states = [final_state(directory) for directory in (ours, theirs)]
    if not same(*states):
        different.append("the last checkpoint")
    return different


def final_state(directory: Path) -> dict[str, Any]:
    """What the last checkpoint holds, but for how many bytes of timings there were."""
    state = Checkpoints(directory, {}, keep=2).newest_sound(warn=print)
    assert state is not None
    state["course"] |= {"written": {"metrics.jsonl": state["course"]["written"]["metrics.jsonl"]}}
    return state


if __name__ == "__main__":
    main()
