"""How long a Tab takes: `python benchmarks/completion_speed.py [--rounds 20]` prints a table.

Every query is a separate process, as started by a shell. They alternate, so that other load on the machine falls on
all alike. The baselines say how much of it is Python's start, and the command's own.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

GOAL = 0.4  # seconds of wall time a query may take
ROOT = Path(__file__).resolve().parent.parent
_COMMAND = [sys.executable, "-m", "rlrun"]
_BASH_BREAKS = " \t\n\"'@><=;|&(:"
BASELINES = {
    "(python alone)": [sys.executable, "-c", "pass"],
    "(rlrun --version)": [*_COMMAND, "--version"],
}
QUERIES = (
    "",
    "al",
    "algo=",
    "env=",
    "algo=dqn,rei",
    "algo=dqn env=cartpole algo.op",
    "algo=dqn env=pong algo.optimizer.",
    "algo=dqn algo.loss=",
    "algo=dqn env=pong experiment=dqn_nature2015 total_steps=",
    "env=atari env.game=",
    "env=gym env.id=",
    "env=gridworld env.map=",
    "algo=td algo.policy=",
    "-m algo=dqn,actor_critic,reinforce env=cartpole,pong,acrobot seed=0,1,2 algo.",
    "show ",
    "--c",
)
NUM_RUNS = 200  # directories of runs that `show` looks through


def seconds(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Wall time and processor time of a process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description="How long a Tab takes.")
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    commands = BASELINES | {
        f"rlrun {line}": [*_COMMAND, "complete", "bash", f"rlrun {line}", _BASH_BREAKS] for line in QUERIES
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(NUM_RUNS):
            run = folder / "runs" / f"env{number % 10}" / "dqn" / f"{number // 10:010}" / "seed0"
            run.mkdir(parents=True)
            (run / "manifest.json").write_text("{}")
        for command in commands.values():
            seconds(command, folder)  # once for the disk
        for _ in range(rounds):
            for line, command in commands.items():
                taken[line].append(seconds(command, folder))
    print(f"{rounds} rounds, alternating; wall seconds (median, slowest) and processor seconds (median)\n")
    print(f"{'median':>7} {'slowest':>8} {'processor':>10}  line before Tab")
    for line, pairs in taken.items():
        walls, processor = [wall for wall, _ in pairs], [used for _, used in pairs]
        print(f"{statistics.median(walls):7.3f} {max(walls):8.3f} {statistics.median(processor):10.3f}  {line}")
    queries = [wall for line, pairs in taken.items() if line not in BASELINES for wall, _ in pairs]
    within = sum(wall < GOAL for wall in queries)
    print(f"\n{within} of {len(queries)} queries took less than {GOAL} s; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
