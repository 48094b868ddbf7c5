"""Tables at full speed: a million-state value iteration, and Q-learning in many grid worlds and in one.

    .venv/bin/python benchmarks/tabular_speed.py

prints a table and writes `benchmarks/results/tabular_speed.csv`. Everything is run through the real command, but for
the plain Gymnasium loop, which is what a textbook's reader would write. Nothing else should run on the machine.
"""

from __future__ import annotations

import csv
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import gymnasium
import numpy as np

HERE = Path(__file__).resolve().parent
RLRUN = str(Path(sys.executable).parent / "rlrun")
SIDES = (250, 500, 1000)  # of the grids for value iteration
SLOTS = (1, 64, 1024, 16384, 65536)  # of the 4x4 grid for Q-learning
ROUNDS = 3  # of Q-learning in one environment and of the plain loop, alternating
PLAIN_STEPS = 30_000


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    workload: str
    size: int
    value: float
    unit: str
    bar: str  # what was asked of it, if anything
    command: str


def main() -> None:
    rows = [*value_iteration(), *many_slots(), *one_slot()]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True
    ).stdout.strip()
    with (HERE / "results" / "tabular_speed.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["work", "size", "value", "unit", "bar", "command", "commit", "machine"])
        for row in rows:
            writer.writerow(
                [row.workload, row.size, f"{row.value:.4g}", row.unit, row.bar, row.command, commit, machine()]
            )
    print("| workload | size | measured | asked for |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.workload} | {row.size:,} | {row.value:,.4g} {row.unit} | {row.bar or '-'} |")


def machine() -> str:
    return f"{cpu_model()}, {platform.system()}"


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def value_iteration() -> list[Row]:
    """Empty deterministic grids with the goal in a corner, gamma 0.99, until no value changes by more than 1e-6."""
    rows = []
    for side in SIDES:
        with tempfile.TemporaryDirectory() as folder:
            grid = Path(folder) / f"{side}x{side}.txt"
            cells = "\n".join("." * side for _ in range(side - 1)) + "\n" + "." * (side - 1) + "G\n"
            grid.write_text(f"# The goal in a corner.\nstep_reward: 0\nG : terminal 1\n\n{cells}")
            overrides = [
                "algo=value_iteration",
                "env=gridworld",
                "algo.gamma=0.99",
                "algo.tolerance=1e-6",
                "env.max_episode_steps=2000",
                "evaluation.episodes=1",
                "evaluation.num_envs=1",
            ]
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
            started = perf_counter()
            timings = run([*overrides, f"env.map={grid}"], Path(folder))
            seconds = perf_counter() - started
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        assert peak > before, "grids must grow, or the peak is an earlier one's"
        command = " ".join(["rlrun", *overrides, f"env.map={side}x{side}.txt"])
        sweeps = [1000 / row["time/steps_per_second"] for row in timings if "time/steps_per_second" in row]
        largest = side == SIDES[-1]
        rows += [
            Row("value iteration, one sweep (median)", side**2, statistics.median(sweeps), "ms",
                "at most 60 ms" if largest else "", command),
            Row("value iteration, whole command", side**2, seconds, "s", "at most 120 s" if largest else "", command),
            Row("value iteration, peak memory", side**2, peak / 1024, "MiB", "", command),
        ]  # fmt: skip
    return rows


def many_slots() -> list[Row]:
    """Q-learning in the 4x4 grid."""
    rows = []
    for slots in SLOTS:
        overrides = [
            "algo=q_learning",
            "env=gridworld",
            f"env.num_envs={slots}",
            f"total_steps={slots * 200}",
            f"log_every_steps={slots * 20}",
            "evaluation.every_steps=null",
        ]
        value = steps_per_second(overrides)
        bar = "at least 1,000,000 with enough slots" if slots == SLOTS[-1] else ""
        rows.append(Row("Q-learning, 4x4 grids", slots, value, "steps/s", bar, " ".join(["rlrun", *overrides])))
    return rows


def one_slot() -> list[Row]:
    """One cliff, learned by the command and by a plain loop over Gymnasium's environment, alternating."""
    overrides = ["algo=q_learning", "env=gym", "env.id=CliffWalking-v1", "env.max_episode_steps=500", "preset=null"]
    overrides += ["env.num_envs=1", f"total_steps={PLAIN_STEPS}", "log_every_steps=5000", "evaluation.every_steps=null"]
    ours, plain = [], []
    for _ in range(ROUNDS):
        ours.append(steps_per_second(overrides))
        plain.append(plain_loop())
    command = " ".join(["rlrun", *overrides])
    return [
        Row("Q-learning, one Gymnasium environment", 1, statistics.median(ours), "steps/s", "", command),
        Row("the textbook's loop over the same", 1, statistics.median(plain), "steps/s", "", "plain_loop()"),
        Row("their ratio", 1, statistics.median(ours) / statistics.median(plain), "", "", command),
    ]


def plain_loop() -> float:
    """Sutton and Barto's Q-learning (section 6.5) as one would write it over Gymnasium; steps per second."""
    env = gymnasium.make("CliffWalking-v1", max_episode_steps=500)
    q = np.zeros((48, 4))
    rng = np.random.default_rng(0)
    obs, _ = env.reset(seed=0)
    started = perf_counter()
    for _ in range(PLAIN_STEPS):
        action = int(rng.integers(4)) if rng.random() < 0.1 else int(q[obs].argmax())
        next_obs, reward, terminated, truncated, _ = env.step(action)
        target = float(reward) + (0.0 if terminated else 0.99 * q[next_obs].max())
        q[obs, action] += 0.1 * (target - q[obs, action])
        obs = env.reset()[0] if terminated or truncated else next_obs
    env.close()
    return PLAIN_STEPS / (perf_counter() - started)


def steps_per_second(overrides: list[str]) -> float:
    """The median over the run's own rows, less the first."""
    with tempfile.TemporaryDirectory() as folder:
        timings = run(overrides, Path(folder))
    speeds = [row["time/steps_per_second"] for row in timings if "time/steps_per_second" in row]
    return statistics.median(speeds[1:])


def run(overrides: list[str], folder: Path) -> list[dict[str, float]]:
    """Runs the command in `folder`; returns the rows of its timings."""
    subprocess.run(
        [RLRUN, *overrides, "logger=none", f"runs_dir={folder / 'runs'}"], check=True, stdout=subprocess.DEVNULL
    )
    (timings,) = (folder / "runs").glob("*/*/*/seed*/timings.jsonl")
    return [json.loads(line) for line in timings.read_text().splitlines()]


if __name__ == "__main__":
    main()
