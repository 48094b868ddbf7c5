"""CartPole of rlrun against Gymnasium's raw vector entry point, alternating, with a random policy.

    .venv/bin/python benchmarks/cartpole_speed.py [--rounds 5]

Writes `benchmarks/results/cartpole_speed.csv`. Raw means `CartPoleVectorEnv.step` alone: it resets a step late, loses
an episode's last observation's successor and has no seeds per episode. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

from rlrun.envs.cartpole import CartPole
from rlrun.types import Array, Int64Array

HERE = Path(__file__).resolve().parent
NUM_ENVS = (8, 64, 512, 4096)
GOAL = 0.8  # of the raw speed, at 512 environments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each; the median counts")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one round")
    options = parser.parse_args()

    rows: list[dict[str, object]] = []
    print(f"{'environments':>12} {'raw steps/s':>12} {'ours steps/s':>12} {'ours / raw':>10}")
    for num_envs in NUM_ENVS:
        raw_speeds, our_speeds = [], []
        for _ in range(options.rounds):
            raw_speeds.append(speed(raw_step(num_envs), num_envs, options.seconds))
            our_speeds.append(speed(our_step(num_envs), num_envs, options.seconds))
        raw, ours = statistics.median(raw_speeds), statistics.median(our_speeds)
        ratio = statistics.median(mine / other for mine, other in zip(our_speeds, raw_speeds, strict=True))
        goal = f"  (goal: at least {GOAL})" if num_envs == 512 else ""
        print(f"{num_envs:>12} {raw:>12,.0f} {ours:>12,.0f} {ratio:>10.2f}{goal}")
        rows.append({"num_envs": num_envs, "raw_steps_per_second": round(raw), "steps_per_second": round(ours)})
        rows[-1] |= {"ratio": round(ratio, 3), "rounds": options.rounds} | provenance()
    write(rows)


def raw_step(num_envs: int) -> Callable[[Int64Array], object]:
    env = CartPoleVectorEnv(num_envs=num_envs, max_episode_steps=500)
    env.reset(seed=0)
    return env.step


def our_step(num_envs: int) -> Callable[[Int64Array], object]:
    env = CartPole(num_envs=num_envs, max_episode_steps=500)
    env.reset(0)
    return env.step


def speed(step: Callable[[Int64Array], object], num_envs: int, seconds: float) -> float:
    """Agent steps per second under random actions, which are drawn beforehand."""
    actions: Array = np.random.default_rng(0).integers(2, size=(512, num_envs))
    for action in actions[:64]:  # past the first episodes' common beginning
        step(action)
    started, calls = perf_counter(), 0
    while perf_counter() - started < seconds:
        for action in actions[calls % 512 : calls % 512 + 32]:
            step(action)
        calls += 32
    return calls * num_envs / (perf_counter() - started)


def provenance() -> dict[str, object]:
    """What made the numbers."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--abbrev=7", "--dirty=+", "--exclude=*"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "commit": commit.stdout.strip(),
        "cores": os.cpu_count(),
        "cpu": cpu_model(),
    }


def cpu_model() -> str:
    """The processor's name, as Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def write(rows: list[dict[str, object]]) -> None:
    path = HERE / "results" / "cartpole_speed.csv"
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
