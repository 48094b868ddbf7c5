"""What checkpoints of a full Atari replay cost in time, disk and memory.

    .venv/bin/python benchmarks/checkpoint_cost.py [--capacity 100000 1000000]

prints a table and writes `benchmarks/results/checkpoint_cost.csv`. Real Pong, played at random. The first checkpoint
writes the whole replay; the next ones follow after as many steps as DQN makes in five minutes on two cores (33,000) and
after a tenth of that. Then another process loads the newest one.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import torch

from rlrun.agents.random import Random
from rlrun.envs.atari import Atari
from rlrun.loop.collect import Collector
from rlrun.replay.uniform import UniformReplay
from rlrun.runs.checkpoint import Checkpoints
from rlrun.types import Steps

HERE = Path(__file__).resolve().parent
CPU = torch.device("cpu")
NUM_ENVS = 8
LATER = (33_000, 3_300)  # steps between checkpoints
AFTERWARDS = 200_000  # and so many more, with a checkpoint after each eighth: the disk stays bounded


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--capacity", type=int, nargs="+", default=[100_000])
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)  # the other process
    args = parser.parse_args()
    if args.load is not None:
        print(json.dumps(load(args.load, args.capacity[0])))
        return
    rows = [row for capacity in args.capacity for row in measure(capacity)]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True
    ).stdout.strip()
    command = f"benchmarks/checkpoint_cost.py --capacity {' '.join(map(str, args.capacity))}"
    machine = f"{cpu_model()}, {os.cpu_count()} cores"
    with (HERE / "results" / "checkpoint_cost.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["capacity_steps", "what", "value", "unit", "command", "commit", "machine"])
        for row in rows:
            writer.writerow([*row, command, commit, machine])
    print("| replay | what | measured |\n|---|---|---|")
    for capacity, what, value, unit in rows:
        print(f"| {capacity:,} steps | {what} | {value:,.2f} {unit} |")


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def make(capacity: int) -> tuple[Atari, UniformReplay]:
    env = Atari(
        game="pong",
        protocol="nature2015",
        num_envs=NUM_ENVS,
        num_threads=0,
        max_episode_frames=108_000,
        reseed_every_steps=10_000,
    )
    return env, UniformReplay(capacity_steps=capacity, n_step=1, gamma=0.99, spec=env.spec, device=CPU)


def measure(capacity: int) -> list[tuple[int, str, float, str]]:
    env, replay = make(capacity)
    agent = Random(rollout_steps=100, spec=env.spec)
    collector = Collector(env, agent.collection, CPU, 0)

    def play(steps: int) -> None:
        for _ in range(-(-steps // (100 * NUM_ENVS))):
            replay.extend(collector.collect(agent))

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), {}, keep=2)

        def save(what: str, step: int) -> None:
            before = on_disk(folder)
            started = perf_counter()
            checkpoints.save(step, {"replay": replay.state_dict(), "collector": collector.state_dict()})
            rows.append((capacity, f"{what}: time", perf_counter() - started, "s"))
            rows.append((capacity, f"{what}: disk", (on_disk(folder) - before) / 2**20, "MiB more"))

        play(capacity)
        save("first checkpoint of a full replay", 1)
        for number, steps in enumerate(LATER):
            play(steps)
            save(f"checkpoint {steps:,} steps later", 2 + number)
        for number in range(8):
            play(AFTERWARDS // 8)
            checkpoints.save(10 + number, {"replay": replay.state_dict(), "collector": collector.state_dict()})
        rows.append((capacity, f"all checkpoints after {AFTERWARDS:,} more steps", on_disk(folder) / 2**20, "MiB"))
        rows.append((capacity, "peak memory of playing and saving", peak_gib(), "GiB"))
        rows.append((capacity, "allocated by the replay", replay.num_bytes / 2**30, "GiB"))
        env.close()
        other = subprocess.run(
            [sys.executable, __file__, "--load", folder, "--capacity", str(capacity)],
            check=True,
            capture_output=True,
            text=True,
        )
        loaded = json.loads(other.stdout.splitlines()[-1])
    rows.append((capacity, "loading replay and environments", loaded["seconds"], "s"))
    rows.append((capacity, "peak memory of loading", loaded["gib"], "GiB"))
    return rows


def load(folder: Path, capacity: int) -> dict[str, float]:
    env, replay = make(capacity)
    started = perf_counter()
    state = Checkpoints(folder, {}, keep=2).newest_sound(warn=print)
    assert state is not None
    replay.load_state_dict(state["replay"])
    Collector(env, Steps(100), CPU, 0).load_state_dict(state["collector"])
    seconds = perf_counter() - started
    env.close()
    return {"seconds": seconds, "gib": peak_gib()}


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def on_disk(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
