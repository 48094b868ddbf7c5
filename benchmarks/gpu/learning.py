"""Whether what is fast on this GPU still learns: CartPole, also in bfloat16, and Pong; run by `benchmarks/gpu.sh`.

Every evaluation is a row of `results/gpu_learning.csv`. A run that the time is too short for is stopped, and what it
had learned by then counts. Ends with status 1 if a best evaluation stays below what is asked of it, or a recorded run
has other evaluations than the plain one of equal seed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from parts import Chosen, Clock, chosen
from provenance import Row, write_rows

from rlrun.runs.loggers import read_rows

SOLVED = 475.0  # Gymnasium's own reward_threshold of CartPole-v1
BALANCED = 195.0  # that of CartPole-v0; chance makes about 22
BETTER_THAN_CHANCE = -19.0  # chance loses by 20 to 21, and means of 10 games differ by a few tenths
_TINY_EVALUATIONS = ("evaluation.every_steps=100", "evaluation.episodes=2")
_INTERRUPTED = 75  # rlrun's status of a run that a signal asked to stop
_WORD = {True: "ok", False: "NOT MET"}


@dataclass(frozen=True, slots=True)
class Task:
    """One run.

    Args:
        name: in the CSV.
        overrides: as after `rlrun`.
        share: of the time that is left when it begins.
        asked: what its best evaluation must reach; None: it is shown and not judged.
        asked_from: the step before which nothing is asked of it.
        equal_to: the run before with which every evaluation must be equal.
    """

    name: str
    overrides: tuple[str, ...]
    share: float
    asked: float | None = None
    asked_from: int = 0
    equal_to: str | None = None


def tasks(options: Chosen) -> list[Task]:
    """CartPole with the numbers of its preset, a short pair of equal bits, bfloat16; Pong, but in 16 environments."""
    how = ("device.compile=graphs",) if options.device == "cuda" else ()
    cartpole = ("algo=dqn", "env=cartpole")
    if options.tiny:
        short = (*cartpole, "total_steps=400", "algo.replay.learning_starts_steps=100", *_TINY_EVALUATIONS)
        return [
            Task("cartpole plain", short, 0.5),
            Task("cartpole recorded", (*short, *how), 0.9, equal_to="cartpole plain"),
        ]
    whole = (*cartpole, "evaluation.every_steps=5000", *how)
    pair = (*cartpole, "total_steps=6000", "evaluation.every_steps=1000", "device.deterministic=true")
    pong = ("algo=dqn", "env=pong", "env.num_envs=16", "evaluation.num_envs=10", "evaluation.every_steps=25000", *how)
    return [
        Task("cartpole", whole, 0.25, asked=SOLVED),
        Task("cartpole plain", pair, 0.2),
        Task("cartpole recorded", (*pair, *how), 0.2, equal_to="cartpole plain"),
        Task("cartpole bfloat16", (*whole, "device.precision=bfloat16"), 0.35, asked=BALANCED),
        Task("pong", pong, 0.95, asked=BETTER_THAN_CHANCE, asked_from=250_000),
    ]


def trained(task: Task, options: Chosen, seconds: float, folder: Path) -> list[Row]:
    """Runs `rlrun`, at most so long, and returns its evaluations."""
    command = [
        sys.executable,
        "-m",
        "rlrun",
        *task.overrides,
        f"device={options.device}",
        "logger=none",
        f"runs_dir={folder}",
    ]
    process = subprocess.Popen(command)
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # it saves and stops
        status = process.wait()
    if status not in (0, _INTERRUPTED, -signal.SIGTERM):  # the last: before it had begun
        raise SystemExit(f"{' '.join(command[1:])} ended with status {status}")
    evaluations = [row for path in folder.glob("**/metrics.jsonl") for row in read_rows(path)]
    timings = [
        row for path in folder.glob("**/timings.jsonl") for row in map(json.loads, path.read_text().splitlines())
    ]
    speeds = sorted(row["time/steps_per_second"] for row in timings if "time/steps_per_second" in row)
    return [
        {
            "task": task.name,
            "words": " ".join(task.overrides),
            "finished": status == 0,
            "step": int(row["step"]),
            "eval_episode_return": round(row["eval/episode_return"], 3),
            "median_steps_per_second": round(speeds[len(speeds) // 2], 1) if speeds else "",
            "tiny": options.tiny,
            "gpu": options.machine(),
        }
        for row in evaluations
        if "eval/episode_return" in row
    ]


def verdict(task: Task, found: Sequence[Row], before: Mapping[str, Sequence[Row]]) -> tuple[bool, str]:
    """Whether a run met its requirement, and a sentence about it."""
    best, step = max(float(str(row["eval_episode_return"])) for row in found), int(str(found[-1]["step"]))
    summary = f"best evaluation {best:g} by step {step:,}"
    if task.equal_to is not None:
        pairs = list(zip(curve(found), curve(before.get(task.equal_to, [])), strict=False))  # one may have been stopped
        met = len(pairs) >= 3 and all(one == other for one, other in pairs)
        return met, f"{summary}, asked for the evaluations of {task.equal_to}, {len(pairs)} of them: {_WORD[met]}"
    if task.asked is None:
        return True, f"{summary}; no requirement"
    if step < task.asked_from:
        return True, f"{summary}; no requirement before step {task.asked_from:,}"
    met = best >= task.asked
    return met, f"{summary}, asked for {task.asked:g}: {_WORD[met]}"


def curve(rows: Sequence[Row]) -> list[tuple[object, object]]:
    return [(row["step"], row["eval_episode_return"]) for row in rows]


def main() -> int:
    options = chosen(__doc__.splitlines()[0] if __doc__ else "")
    clock, missed, before = Clock(options.seconds), [], {}
    for task in tasks(options):
        with tempfile.TemporaryDirectory() as folder:
            found = trained(task, options, task.share * clock.left, Path(folder))
        if not found:
            print(f"{task.name}: NOT EVALUATED, the time was too short", flush=True)
            missed.append(task.name)
            continue
        write_rows(options.results / "gpu_learning.csv", found, ["task", "step", "gpu", "tiny"])
        before[task.name] = found
        met, summary = verdict(task, found, before)
        print(f"{task.name}: {summary}", flush=True)
        if not met:
            missed.append(task.name)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
