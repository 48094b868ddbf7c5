"""How fast the real command refuses a mistake: drawn mistakes, each in a fresh process.

    python benchmarks/error_speed.py [--count 50] [--seed 0]

Prints the median and the worst wall time in seconds, and exits with 1 if one took longer than 1.5 s; the machine should
be idle.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from misspelt_configs import Case, misspellings, our_keys, wrong_values

LIMIT_SECONDS = 1.5


def draw(count: int, seed: int) -> list[Case]:
    """Half of them keys, half values."""
    rng = random.Random(seed)
    values = [case for key in rng.sample(our_keys(), count) for case in list(wrong_values([key]))[:1]]
    return rng.sample(list(misspellings()), count - count // 2) + values[: count // 2]


def seconds(case: Case, directory: Path) -> float:
    overrides, sweep = case.overrides(directory)
    command = [sys.executable, "-m", "rlrun", *(["-m"] if sweep else []), *overrides, "--config-dir", str(directory)]
    started = perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    taken = perf_counter() - started
    assert ran.returncode == 2, (command, ran.stderr)
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    taken = []
    for case in draw(chosen.count, chosen.seed):
        with tempfile.TemporaryDirectory() as directory:
            taken.append((seconds(case, Path(directory)), case.about))
    taken.sort()
    times = [time for time, _ in taken]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"CPU time per command: {(used.ru_utime + used.ru_stime) / len(times):.2f} s on average")
    slow = sum(time > LIMIT_SECONDS for time in times)
    print(f"{len(times)} mistakes: median {statistics.median(times):.2f} s, worst {times[-1]:.2f} s ({taken[-1][1]})")
    print(f"{slow} slower than {LIMIT_SECONDS} s")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
