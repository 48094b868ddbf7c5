"""The limits of this machine: emulator, environment, matrix product, alternating; writes `ceilings.csv`.

    .venv/bin/python benchmarks/speed/ceilings.py [--rounds 3] [--seconds 2]

`against_peers.py` measures the same in each of its rounds. Every round is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from provenance import RESULTS, warn_if_busy, write_rows
from rlrun_timings import environment

UPDATE_LIMIT = "DQN Pong, if an update were only matrix products"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="the median counts")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each part")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the CSV")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)  # one round, as JSON
    arguments = parser.parse_args()
    if arguments.once:
        print(json.dumps(measure(arguments.seconds)))
        return
    warn_if_busy()
    write(arguments.results, [measure_apart(arguments.seconds) for _ in range(arguments.rounds)])


def measure(seconds: float) -> dict[str, float]:
    """One value of everything, in this process, by what it is and its unit."""
    from rlrun.cli.bench.ceilings import (
        emulator_frames_per_second,
        environment_steps_per_second,
        matrix_gflops,
        nature_update_gflop,
    )
    from rlrun.compute.cores import available_cores

    cores = available_cores()
    values = {"Pong emulator alone, 1 core|frames/s": emulator_frames_per_second(seconds)}
    for threads in sorted({1, cores}):
        steps = environment_steps_per_second(16, threads, seconds)
        values[f"env=pong at random, 16 environments, {named(threads)}|agent steps/s"] = steps
    gflops = {threads: matrix_gflops(threads, seconds) for threads in sorted({1, cores})}
    for threads, speed in gflops.items():
        values[f"float32 matrix product, {named(threads)}|GFLOP/s"] = speed
    values[f"{UPDATE_LIMIT}|agent steps/s"] = 4 * max(gflops.values()) / nature_update_gflop(32)
    return values


def named(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def measure_apart(seconds: float) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--once", "--seconds", str(seconds)]
    done = subprocess.run(command, env=environment(), check=True, stdout=subprocess.PIPE, text=True)
    values: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return values


def write(results: Path, rounds: Sequence[Mapping[str, float]]) -> None:
    """Prints medians and spread of several rounds, and writes them."""
    rows = []
    for name in rounds[0]:
        what, _, unit = name.partition("|")
        values = [values[name] for values in rounds]
        row = {"what": what, "unit": unit, "value": f"{statistics.median(values):.4g}"}
        rows.append(row | {"min": f"{min(values):.4g}", "max": f"{max(values):.4g}", "rounds": len(values)})
        print(f"{what:<64} {statistics.median(values):>10,.0f} {unit}  ({min(values):,.0f} to {max(values):,.0f})")
    write_rows(results / "ceilings.csv", rows, ["what"])


if __name__ == "__main__":
    main()
