"""rlrun against stable-baselines3, in turns, on the same work; writes `benchmarks/results/speed.csv`.

    .venv/bin/python benchmarks/speed.py --peer PYTHON [--rounds 3]

PYTHON is the interpreter of an environment with stable-baselines3 2.9.2. Steps per second are counted after learning
has started; evaluation and start-up are not in them. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Work:
    """The same work for both."""

    name: str
    warm_up_steps: int
    measured_steps: int
    num_threads: int
    words: tuple[str, ...]  # rlrun's


# Standard network, batch 32, one update per 4 steps; options of our Pong preset that cost time are switched off. The
# actor-critic has networks of its own for policy and value, as the peer has.
WORKS = (
    Work(
        "dqn_pong",
        1200,
        1600,
        2,
        (
            "algo=dqn",
            "env=pong",
            "algo.learning_starts_steps=1000",
            "algo.replay_capacity_steps=20000",
            "algo.double=false",
            "algo.n_step=1",
            "algo.target_period_steps=1000",
            "algo.epsilon.duration_steps=1000",
            "algo.epsilon.end=0.01",
        ),
    ),
    Work(
        "actor_critic_cartpole",
        4000,
        40000,
        1,
        (
            "algo=actor_critic",
            "env=cartpole",
            "env.num_envs=8",
            "algo.rollout_steps=5",
            "algo.shared=false",
            "preset=null",
        ),
    ),
)


def measure_rlrun(work: Work) -> float:
    """Steps per second of the row that spans the measured steps."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                str(Path(sys.executable).parent / "rlrun"),
                *work.words,
                f"total_steps={work.warm_up_steps + work.measured_steps}",
                f"log_every_steps={work.warm_up_steps}",
                f"device.num_threads={work.num_threads}",
                "evaluation.every_steps=null",
                "evaluation.episodes=1",
                "evaluation.num_envs=1",
                "logger=none",
                f"runs_dir={folder}",
            ],
            check=True,
            capture_output=True,
        )
        (timings,) = Path(folder).glob("**/timings.jsonl")
        rows = [json.loads(line) for line in timings.read_text().splitlines()]
    rows = [row for row in rows if "time/steps_per_second" in row]
    seconds, before = 0.0, rows[0]["step"]
    for row in rows[1:]:
        seconds += (row["step"] - before) / row["time/steps_per_second"]
        before = row["step"]
    return float((before - rows[0]["step"]) / seconds)


def measure_peer(work: Work, python: str) -> float:
    """The same for stable-baselines3."""
    command = [python, str(HERE / "peers_sb3.py"), work.name, str(work.warm_up_steps), str(work.measured_steps)]
    out = subprocess.run([*command, str(work.num_threads)], check=True, capture_output=True, text=True).stdout
    return float(out.strip().splitlines()[-1])


def machine() -> str:
    """Processor and number of cores."""
    model = platform.processor() or "unknown"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="python with stable-baselines3 2.9.2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=[work.name for work in WORKS])
    arguments = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True
    ).stdout.strip()
    rows = []
    print(f"{'work':24} {'rlrun':>10} {'sb3 2.9.2':>10} {'ratio':>6}   steps/s: median of {arguments.rounds}, in turns")
    for work in WORKS:
        if arguments.only not in (None, work.name):
            continue
        ours, theirs = [], []
        for _ in range(arguments.rounds):
            ours.append(measure_rlrun(work))
            theirs.append(measure_peer(work, arguments.peer))
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        row = {
            "work": work.name,
            "rlrun_steps_per_second": round(statistics.median(ours), 1),
            "sb3_steps_per_second": round(statistics.median(theirs), 1),
            "ratio": round(statistics.median(ratios), 2),
            "ratio_min": round(min(ratios), 2),
            "ratio_max": round(max(ratios), 2),
            "rounds": arguments.rounds,
            "command": f"benchmarks/speed.py --rounds {arguments.rounds}",
            "commit": commit,
            "machine": machine(),
        }
        rows.append(row)
        print(
            f"{row['work']:24} {row['rlrun_steps_per_second']:10,} {row['sb3_steps_per_second']:10,} {row['ratio']:6}"
            f"   ({row['ratio_min']} to {row['ratio_max']})",
            flush=True,
        )
    target = HERE / "results" / "speed.csv"
    target.parent.mkdir(exist_ok=True)
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
