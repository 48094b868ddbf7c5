"""Stops runs with SIGKILL and SIGTERM at random moments, resumes them until they finish, and compares every bit.

    .venv/bin/python benchmarks/kill_stress.py --kills 200

prints a table and writes `benchmarks/results/kill_stress.csv`. A run is a child process that is forked from one in
which everything is already imported, so that kills hit training, saving or resuming instead of imports. What the
finished run left (metrics, result, weights, optimizer, replay, environments) must equal what an uninterrupted run left.

Moments are found by looking at what a process writes, not by the clock alone: a machine's speed varies. For those
inside a save or an evaluation the process is held still (SIGSTOP) first, to make sure that it really is there.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rlrun.config.arguments import changed
from rlrun.runs.checkpoint import Checkpoints
from rlrun.runs.interruption import STOPPED, StopRequest
from rlrun.runs.loggers import read_rows
from rlrun.testing.agent import same
from rlrun.types import State

HERE = Path(__file__).resolve().parent

COMMON = (
    "device=cpu",
    "device.num_threads=1",
    "checkpoint.every_seconds=0.05",
    "evaluation.episodes=3",
    "evaluation.num_envs=3",
)
WORKLOADS: dict[str, tuple[str, ...]] = {
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
        "algo.replay.learning_starts_steps=200",
        "algo.replay.capacity_steps=1000",
        "algo.replay.batch_size=16",
        "algo.replay.ratio=8",
        "total_steps=2000",
        "log_every_steps=200",
        "evaluation.every_steps=600",
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
        "algo.replay.learning_starts_steps=150",
        "algo.replay.capacity_steps=600",
        "algo.replay.batch_size=8",
        "algo.replay.ratio=2",
        "total_steps=900",
        "log_every_steps=100",
        "evaluation.every_steps=300",
    ),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """When to send which signal."""

    moment: str  # start: while built or loaded; training: any time after; save, evaluation: inside one
    number: signal.Signals


MOMENTS = ("start", "start", "training", "training", "training", "save", "save", "save", "evaluation", "evaluation")
COUNTS = (
    "runs",
    "kills",
    "asked",
    "before_training",
    "in_saves",
    "in_evaluations",
    "resumed",
    "begun_again",
    "unreadable",
    "double_rows",
)
_MOST_RUNS = 100  # without a single stop: then the moments are not found


@dataclass
class Outcome:
    """What happened to the runs of one workload."""

    runs: int = 0
    kills: int = 0  # by SIGKILL
    asked: int = 0  # stops by SIGTERM, which the run must answer with status 75
    before_training: int = 0  # of both: while environment and agent were built, or a checkpoint was loaded
    in_saves: int = 0  # kills that left a temporary file of a checkpoint, half-written or not yet renamed
    in_evaluations: int = 0  # stops that left an evaluation due
    resumed: int = 0  # starts that went on from a checkpoint
    begun_again: int = 0  # starts with a checkpoint that did not resume from it, although they were not killed earlier
    unreadable: int = 0  # starts that ended with an error
    double_rows: int = 0
    different: list[str] = field(default_factory=list)  # what differed from the uninterrupted run


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the uninterrupted run was, seconds."""

    startup: float
    training: float
    evaluation: float


def plans_for(kills: int, rng: random.Random) -> list[Plan]:
    """So many SIGKILLs, and a SIGTERM for every four of them; eight of ten come after training began."""
    plans: list[Plan] = []
    while sum(plan.number == signal.SIGKILL for plan in plans) < kills:
        moment = rng.choice(MOMENTS)
        asks = moment != "save" and rng.random() < 2 / 7  # of all plans a fifth
        plans.append(Plan(moment, signal.SIGTERM if asks else signal.SIGKILL))
    return plans


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200, help="by SIGKILL, in all; SIGTERMs come on top")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    share = -(-args.kills // len(WORKLOADS))
    outcomes = {}
    for name, overrides in WORKLOADS.items():
        rng = random.Random(f"{args.seed} {name}")
        outcomes[name] = stress(overrides, plans_for(share, rng), rng)
        print(f"{name}: {outcomes[name]}", file=sys.stderr, flush=True)
    write(outcomes, f"benchmarks/kill_stress.py --kills {args.kills} --seed {args.seed}")
    print("| workload | " + " | ".join(COUNTS).replace("_", " ") + " | different |")
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


def stress(overrides: Iterable[str], plans: Iterable[Plan], rng: random.Random) -> Outcome:
    """Runs once undisturbed, and then again and again until all `plans` were carried out and the last run finished."""
    outcome, left = Outcome(), deque(plans)
    overrides = changed(overrides, *COMMON)
    import_all(overrides)
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / "reference"
        pace = undisturbed(overrides, reference)
        while left:
            if outcome.runs > _MOST_RUNS + outcome.kills + outcome.asked:
                raise RuntimeError(f"no run came to the moment {left[0]}")
            stopped = Path(folder) / f"stopped{outcome.runs}"
            until_finished(overrides, stopped, pace, left, outcome, rng)
            outcome.runs += 1
            outcome.double_rows += double_rows(stopped)
            outcome.different += differences(reference, stopped)
    return outcome


def import_all(overrides: Iterable[str]) -> None:
    """Imports what a run of `overrides` imports, so that its children spend no time on it."""
    import hydra.main  # noqa: F401
    import torch._dynamo  # noqa: F401 - by the first optimizer

    from rlrun.config.compose import load_config
    from rlrun.config.files import config_directories

    load_config(list(overrides), config_directories(None))  # and so the modules of its parts


def undisturbed(overrides: Iterable[str], runs_dir: Path) -> Pace:
    """Runs to the end."""
    started = time.monotonic()
    runs_dir.mkdir()
    watch = Watch(runs_dir)
    child = start(overrides, runs_dir)
    child.live_until(watch.began)
    began = time.monotonic()
    if child.wait() != 0:
        raise RuntimeError(f"the uninterrupted run failed; its output is {log_of(runs_dir).read_text()}")
    timings = read_rows(directory_of(runs_dir) / "timings.jsonl")
    evaluations = [row["time/eval_seconds"] for row in timings if "time/eval_seconds" in row]
    return Pace(began - started, time.monotonic() - began, sum(evaluations) / len(evaluations))


def until_finished(
    overrides: Iterable[str], runs_dir: Path, pace: Pace, left: deque[Plan], outcome: Outcome, rng: random.Random
) -> None:
    """Starts, stops and starts again; takes the plans that were carried out from `left`."""
    runs_dir.mkdir()
    while True:
        had_checkpoint = any(runs_dir.rglob("step-*.state"))
        watch = Watch(runs_dir)
        child = start(overrides, runs_dir)
        plan = left[0] if left else None
        came = plan is not None and moment_comes(plan.moment, child, watch, pace, rng)
        if plan is not None and came:
            outcome.before_training += not watch.began()
            child.send(plan.number)
        status = child.wait()
        said = log_of(runs_dir).read_text()
        outcome.resumed += "resuming at" in said
        if status == -signal.SIGKILL:
            left.popleft()
            outcome.kills += 1
            outcome.in_saves += watch.left_half_saved()
            continue
        # A kill after the result was written leaves a run that is finished.
        outcome.begun_again += had_checkpoint and "resuming at" not in said and "is finished" not in said
        if status == STOPPED:
            left.popleft()
            outcome.asked += 1
            outcome.in_evaluations += newest_state(directory_of(runs_dir))["run_state"]["evaluation_due"]
            continue
        if status != 0:
            outcome.unreadable += 1
            print(said, file=sys.stderr)
        return


def moment_comes(moment: str, child: Child, watch: Watch, pace: Pace, rng: random.Random) -> bool:
    """Lets the child live until then; False if it ended before."""
    if moment == "start":
        return child.live_until(after(rng.uniform(0, pace.startup)))
    if not child.live_until(watch.began):
        return False
    if moment == "training":
        return child.live_until(after(rng.uniform(0, pace.training / 2)))
    if moment == "evaluation":
        return child.hold_when(watch.evaluating, rng.uniform(0, pace.evaluation / 2))
    more = rng.randrange(4)
    return child.live_until(lambda: watch.saves() >= more) and child.hold_when(watch.saving, 0.0)


def after(seconds: float) -> Callable[[], bool]:
    """Becomes true when so many have passed from now on."""
    deadline = time.monotonic() + seconds
    return lambda: time.monotonic() >= deadline


class Watch:
    """What can be seen of a process that is about to start, in the directory of its run."""

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._since = time.time_ns()
        self._directory: Path | None = None
        self._seen: set[str] = set()  # checkpoints
        self._manifest = self._manifest_number()
        self.saves()
        self._before = len(self._seen)

    def _path(self, name: str) -> Path:
        if self._directory is None:
            self._directory = next(self._runs_dir.glob("*/*/*/seed0"), None)
        return (self._directory or self._runs_dir / "nowhere") / name

    def _manifest_number(self) -> int:
        try:
            return self._path("manifest.json").stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def began(self) -> bool:
        """Whether training has begun: everything is built and loaded then, and the manifest has a new session."""
        return self._manifest_number() != self._manifest

    def saves(self) -> int:
        """How many checkpoints were seen that this process made; to be asked often, for old ones are removed."""
        self._seen |= {path.name for path in self._path("checkpoints").glob("step-*.state")}
        return len(self._seen) - getattr(self, "_before", 0)

    def left_half_saved(self) -> bool:
        """Whether there is a temporary file of a checkpoint that this process made; older ones stay until the end."""
        try:
            return any(path.stat().st_mtime_ns >= self._since for path in self._path("checkpoints").glob("*.tmp"))
        except FileNotFoundError:  # it has just been renamed
            return False

    def saving(self) -> bool:
        """Whether a save is in progress, and not the first one: there is a checkpoint to resume from."""
        return self.left_half_saved() and any(self._path("checkpoints").glob("step-*.state"))

    def evaluating(self) -> bool:
        """Whether an evaluation is in progress: the row just before it is written, and not yet its own."""
        try:
            text = self._path("metrics.jsonl").read_text()
            every = json.loads(self._path("manifest.json").read_text())["settings"]["evaluation.every_steps"]
        except FileNotFoundError:
            return False
        if not text.endswith("\n"):
            return False
        rows = [{"step": 0}, *map(json.loads, text.splitlines()[-2:])]
        if len(rows) < 2 or "eval/episode_return" in rows[-1]:
            return False
        return bool(rows[-2]["step"] // every < rows[-1]["step"] // every)


class Child:
    """A forked run."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._status: int | None = None

    def _ended(self) -> bool:
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is not None

    def live_until(self, condition: Callable[[], bool]) -> bool:
        """Waits; False if it ended before."""
        while not condition():
            if self._ended():
                return False
            time.sleep(0.0005)
        return not self._ended()

    def hold_when(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Holds it still so many seconds after the condition came true, at a moment at which it still is."""
        while self.live_until(condition) and self.live_until(after(seconds)):
            os.kill(self._pid, signal.SIGSTOP)
            _, status = os.waitpid(self._pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                self._status = os.waitstatus_to_exitcode(status)
                return False
            if condition():
                return True
            os.kill(self._pid, signal.SIGCONT)
            seconds /= 2
        return False

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, and continues the process if it was stopped."""
        os.kill(self._pid, number)
        if number != signal.SIGKILL:
            os.kill(self._pid, signal.SIGCONT)

    def wait(self) -> int:
        """Its exit status; the signal's number with a minus if one ended it."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._status


def start(overrides: Iterable[str], runs_dir: Path) -> Child:
    """The command in a forked process; its output goes to a file."""
    import rlrun.cli.main
    import rlrun.loop.saving

    sys.stdout.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until the child can be asked
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks with threads; torch's sleep
        pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return Child(pid)
    status = 1
    try:
        log = log_of(runs_dir).open("w", buffering=1)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.stdout = sys.stderr = log  # whoever forked may have put something else there
        rlrun.loop.saving._MOST_TIME_SAVING = 1.0  # saves far more often than a run would, so that kills hit saves too
        with StopRequest():
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            status = rlrun.cli.main.run_command(["rlrun", *overrides, f"runs_dir={runs_dir}"])
            sys.stdout.flush()
            os._exit(status)  # still inside: a SIGTERM that comes too late ends nothing
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


def final_state(directory: Path) -> State:
    """What the last checkpoint holds, but for how many bytes of timings there were."""
    state = newest_state(directory)
    state["run_state"] |= {"written": {"metrics.jsonl": state["run_state"]["written"]["metrics.jsonl"]}}
    return state


def newest_state(directory: Path) -> State:
    """What the newest checkpoint holds; nothing is touched."""
    state = Checkpoints(directory, {}, keep=2).newest_sound(print, move_aside=False)
    assert state is not None
    return state


if __name__ == "__main__":
    main()
