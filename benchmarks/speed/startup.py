"""From the command to the first step on CartPole, alternating; writes `startup.csv`.

    .venv/bin/python benchmarks/speed/startup.py [--rounds 5] [--peer PYTHON]

rlrun's clock stops when the first row of its metrics is on the disk: the first rollout has been played, and learned
from by actor-critic or stored by DQN. All defaults, TensorBoard included, except for a row after every iteration. The
peer's, where there is one, stops at its first step. The first round of each is not counted: it warms the page cache.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from peer_process import measure_peer
from provenance import RESULTS, warn_if_busy, write_rows
from rlrun_timings import command, environment
from workloads import WORKLOADS, shrunk

POLL_SECONDS = 0.002
PATIENCE_SECONDS = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", help="python with stable-baselines3 2.9.2")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the CSV")
    arguments = parser.parse_args()
    warn_if_busy()
    starts: dict[str, Callable[[], float]] = {
        "rlrun algo=dqn env=cartpole log_every_steps=1": lambda: start_rlrun("dqn"),
        "rlrun algo=actor_critic env=cartpole log_every_steps=1": lambda: start_rlrun("actor_critic"),
    }
    if arguments.peer:
        starts["stable-baselines3 DQN CartPole-v1"] = lambda: start_peer(arguments.peer)
    seconds: dict[str, list[float]] = defaultdict(list)
    for number in range(1 + arguments.rounds):
        for what, start in starts.items():
            taken = start()
            if number > 0:
                seconds[what].append(taken)
    rows = []
    for what, values in seconds.items():
        row = {"what": what, "seconds": round(statistics.median(values), 3), "rounds": len(values)}
        rows.append(row | {"min": round(min(values), 3), "max": round(max(values), 3)})
        print(f"{what:<40} {statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})")
    write_rows(arguments.results / "startup.csv", rows, ["what"])


def start_rlrun(algo: str) -> float:
    """Seconds until the first row of metrics.

    Raises:
        RuntimeError: if the run ends, or two minutes pass, without one.
    """
    overrides = [f"algo={algo}", "env=cartpole", "log_every_steps=1"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.perf_counter()
        process = subprocess.Popen(command(overrides, folder), cwd=folder, env=environment(), stdout=subprocess.DEVNULL)
        try:
            while not any(path.stat().st_size for path in folder.glob("*/*/*/*/metrics.jsonl")):
                if process.poll() is not None or time.perf_counter() - started > PATIENCE_SECONDS:
                    raise RuntimeError(f"no step of algo={algo} (status {process.poll()})")
                time.sleep(POLL_SECONDS)
            return time.perf_counter() - started
        finally:
            process.kill()
            process.wait()


def start_peer(python: str) -> float:
    """Seconds until the peer's first step."""
    started = time.time()
    answer = measure_peer(shrunk(WORKLOADS["dqn_cartpole"], 10).peer_settings(), python)
    return float(answer["first_step_at"]) - started


if __name__ == "__main__":
    main()
