"""Whether what is fast on this GPU still learns: CartPole to 475, and a Pong curve; run by `benchmarks/gpu.sh`.

Every evaluation is a row of `results/gpu_learning.csv`. A run that the time is too short for is stopped, and what it
had learned by then counts. Ends with status 1 if CartPole's best evaluation stays below 475 within its preset's steps.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from parts import Chosen, Clock, chosen
from provenance import write_rows

from rlrun.loggers import read_rows

SOLVED = 475.0  # Gymnasium's own reward_threshold of CartPole-v1
_INTERRUPTED = 75  # rlrun's status of a run that a signal asked to stop


@dataclass(frozen=True, slots=True)
class Task:
    """One run.

    Args:
        name: in the CSV.
        words: as after `rlrun`.
        share: of the time that is left when it begins.
        asked: what its best evaluation must reach; None: it is shown and not judged.
    """

    name: str
    words: tuple[str, ...]
    share: float
    asked: float | None


def tasks(options: Chosen) -> list[Task]:
    """CartPole with the numbers of its preset; Pong with those of its own, but 16 environments."""
    how = ("device.compile=graphs",) if options.device == "cuda" else ()
    cartpole = ("algo=dqn", "env=cartpole", "evaluation.every_steps=5000", *how)
    pong = ("algo=dqn", "env=pong", "env.num_envs=16", "evaluation.num_envs=10", "evaluation.every_steps=25000", *how)
    if options.tiny:
        short = (
            "total_steps=400",
            "algo.learning_starts_steps=100",
            "evaluation.every_steps=100",
            "evaluation.episodes=2",
        )
        return [Task("cartpole", (*cartpole[:2], *short, *how), 0.9, None)]
    return [Task("cartpole", cartpole, 0.35, SOLVED), Task("pong", pong, 0.95, None)]


def trained(task: Task, options: Chosen, seconds: float, folder: Path) -> list[dict[str, object]]:
    """Runs `rlrun`, at most so long, and returns its evaluations."""
    command = [
        sys.executable,
        "-m",
        "rlrun",
        *task.words,
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
            "words": " ".join(task.words),
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


def main() -> int:
    options = chosen(__doc__.splitlines()[0] if __doc__ else "")
    clock, missed = Clock(options.seconds), []
    for task in tasks(options):
        with tempfile.TemporaryDirectory() as folder:
            found = trained(task, options, task.share * clock.left, Path(folder))
        if not found:
            print(f"{task.name}: NOT EVALUATED, the time was too short", flush=True)
            missed.append(task.name)
            continue
        write_rows(options.results / "gpu_learning.csv", found, ["task", "step", "gpu", "tiny"])
        best = max(float(str(row["eval_episode_return"])) for row in found)
        verdict = (
            "" if task.asked is None else f", asked for {task.asked:g}: {'ok' if best >= task.asked else 'NOT MET'}"
        )
        print(f"{task.name}: best evaluation {best:g} by step {found[-1]['step']:,}{verdict}", flush=True)
        if task.asked is not None and best < task.asked:
            missed.append(task.name)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
