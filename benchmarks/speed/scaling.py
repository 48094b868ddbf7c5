"""Steps per second against environments, threads and runs side by side; writes `scaling.csv` and a picture of it.

    .venv/bin/python benchmarks/speed/scaling.py [--rounds 3] [--seconds 3] [--draw]

Three questions. How fast does actor-critic CartPole train, and how fast does Pong step under random actions, with 1 to
256 and 1 to 64 environments on one thread and on every core? And how many independent runs with one thread each does
the machine hold before all together get slower? Rounds alternate between all points, and the median counts. `--draw`
only draws `docs/images/scaling.png` anew. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from provenance import RESULTS, ROOT, read_rows, warn_if_busy, write_rows
from rlrun_timings import command, environment, one_thread_overrides, read_timings, timing_of
from workloads import WORKLOADS, Workload, actor_critic_cartpole, shrunk

CARTPOLE_ENVS = (1, 4, 16, 64, 256)
PONG_ENVS = (1, 4, 16, 64)
TRAINING = "actor-critic CartPole"
STEPPING = "Pong under random actions"
SIDE_BY_SIDE = {
    "actor-critic CartPole, side by side": WORKLOADS["actor_critic_cartpole_8"],
    "DQN Pong, side by side": WORKLOADS["dqn_pong"],
}


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement: `what` with so many environments and threads a run, and so many runs at once."""

    what: str
    num_envs: int
    num_threads: int
    num_runs: int
    measure: Callable[[], float]  # steps per second of all runs together


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of every point that is not a run of its own")
    parser.add_argument("--shrink", type=int, default=1, help="so many times shorter runs side by side: a try")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the CSV")
    parser.add_argument("--image", type=Path, default=ROOT / "docs" / "images" / "scaling.png")
    parser.add_argument("--draw", action="store_true", help="only draw")
    arguments = parser.parse_args()
    target = arguments.results / "scaling.csv"
    if not arguments.draw:
        warn_if_busy()
        measure_all(points(arguments.seconds, arguments.shrink), arguments.rounds, target)
    draw(target, arguments.image)


def points(seconds: float, factor: int) -> list[Point]:
    """Everything to measure."""
    from rlrun.compute.cores import available_cores

    cores = available_cores()
    found = [
        point
        for threads in sorted({1, cores})
        for point in (
            *(Point(TRAINING, count, threads, 1, training(count, threads, seconds)) for count in CARTPOLE_ENVS),
            *(Point(STEPPING, count, threads, 1, stepping(count, threads, seconds)) for count in PONG_ENVS),
        )
    ]
    found += [
        Point(what, int(workload.peer["num_envs"]), 1, runs, together(shrunk(workload, factor), runs))
        for what, workload in SIDE_BY_SIDE.items()
        for runs in sorted({1, max(1, cores // 2), cores, cores + 1, 2 * cores})
    ]
    return found


def training(num_envs: int, num_threads: int, seconds: float) -> Callable[[], float]:
    """Measures the loop of actor-critic CartPole in this process."""

    def measure() -> float:
        from rlrun.cli.bench.loop_speed import measure_loop

        overrides = [*actor_critic_cartpole(num_envs).overrides, f"device.num_threads={num_threads}", "device=cpu"]
        return measure_loop(overrides, 50 * num_envs, seconds).steps_per_second

    return measure


def stepping(num_envs: int, num_threads: int, seconds: float) -> Callable[[], float]:
    """Measures Pong without an agent."""

    def measure() -> float:
        from rlrun.cli.bench.ceilings import environment_steps_per_second

        return environment_steps_per_second(num_envs, num_threads, seconds)

    return measure


def together(workload: Workload, num_runs: int) -> Callable[[], float]:
    """Measures `num_runs` real runs at once, with a thread and a seed each: the sum of their steps per second.

    They begin together and are equally long, so that each is timed while the others run.
    """
    overrides = one_thread_overrides(workload)

    def measure() -> float:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            runs = [
                subprocess.Popen(
                    command([*overrides, f"seed={seed}"], folder),
                    cwd=folder,
                    env=environment(),
                    stdout=subprocess.DEVNULL,
                )
                for seed in range(num_runs)
            ]
            statuses = [run.wait() for run in runs]
            if any(statuses):
                raise SystemExit(f"runs side by side ended with {statuses}")
            timings = list(folder.glob("**/timings.jsonl"))
            return sum(timing_of(read_timings(path), workload.warm_up_steps).steps_per_second for path in timings)

    return measure


def measure_all(found: Sequence[Point], rounds: int, target: Path) -> None:
    """Measures all points, alternating, prints and writes them."""
    speeds: list[list[float]] = [[] for _ in found]
    for number in range(rounds):
        for point, values in zip(found, speeds, strict=True):
            values.append(point.measure())
            print(f"round {number + 1}: {as_text(point)}: {values[-1]:,.0f} steps/s", flush=True)
    rows = [
        {
            "what": point.what,
            "num_envs": point.num_envs,
            "num_threads": point.num_threads,
            "num_runs": point.num_runs,
            "steps_per_second": round(statistics.median(values), 1),
            "min": round(min(values), 1),
            "max": round(max(values), 1),
            "rounds": rounds,
        }
        for point, values in zip(found, speeds, strict=True)
    ]
    write_rows(target, rows, ["what", "num_envs", "num_threads", "num_runs"])


def as_text(point: Point) -> str:
    """What a point is."""
    return f"{point.what}, {point.num_envs} environments, {point.num_threads} threads, {point.num_runs} runs"


def draw(source: Path, target: Path) -> None:
    """Three panels, with bars from the slowest to the fastest round."""
    rows = read_rows(source)
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    for axes, what in ((left, TRAINING), (middle, STEPPING)):
        chosen = [row for row in rows if row["what"] == what]
        for index, threads in enumerate(sorted({int(row["num_threads"]) for row in chosen})):
            label = f"{threads} thread{'s' if threads > 1 else ''}"
            curve(axes, [row for row in chosen if int(row["num_threads"]) == threads], "num_envs", f"C{index}", label)
        axes.set_xscale("log", base=4)
        axes.set_yscale("log")
        places = sorted({int(row["num_envs"]) for row in chosen})
        axes.set_xticks(places, [str(place) for place in places])
        axes.set_xlabel("environments")
        axes.set_ylabel("agent steps per second")
        axes.set_title(what)
    for index, what in enumerate(SIDE_BY_SIDE):
        chosen = [row for row in rows if row["what"] == what]
        if chosen:
            curve(right, relative_to_one(chosen), "num_runs", f"C{index}", what.partition(",")[0])
    right.set_ylim(bottom=0)
    right.set_xticks(sorted({int(row["num_runs"]) for row in rows if row["what"] in SIDE_BY_SIDE}))
    right.set_xlabel("runs at once, one thread each")
    right.set_ylabel("steps per second of all, one run = 1")
    right.set_title("independent runs")
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target, dpi=150)


def curve(axes: Axes, rows: Sequence[Mapping[str, str]], across: str, colour: str, label: str) -> None:
    """One line with its spread."""
    ordered = sorted(rows, key=lambda row: int(row[across]))
    middle, low, high = (np.array([float(row[name]) for row in ordered]) for name in ("steps_per_second", "min", "max"))
    places = [int(row[across]) for row in ordered]
    axes.errorbar(
        places, middle, [middle - low, high - middle], color=colour, marker="o", markersize=4, capsize=3, label=label
    )


def relative_to_one(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The same rows as multiples of a single run's median."""
    one = next(float(row["steps_per_second"]) for row in rows if row["num_runs"] == "1")
    scaled = ("steps_per_second", "min", "max")
    return [{**row, **{name: str(float(row[name]) / one) for name in scaled}} for row in rows]


if __name__ == "__main__":
    main()
