"""Carries out learning bars: every seed of every bar in a process of its own, as many at once as there are free cores.

    .venv/bin/python benchmarks/learning/run.py                        # all bars
    .venv/bin/python benchmarks/learning/run.py dqn_cartpole --seeds 0 1

The same command again runs only what is missing and resumes what is unfinished. Ctrl-C saves all of them and stops.
After every run `results/BAR.csv` has a row for it and `results/BAR_curves.csv` its curve; `page.py` makes
`docs/results.md` of them. Exit status: that of a single run, whether or not the bars are reached.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bars import Bar, load_bars
from records import record

from rlrun.api.jobs import jobs_of
from rlrun.cli.seeds import became, end
from rlrun.compute.cores import free_cores
from rlrun.config.files import config_directories
from rlrun.runs.interruption import StopRequest
from rlrun.sweeps.display import Display, make_display
from rlrun.sweeps.jobs import Job, Outcome
from rlrun.sweeps.pool import carry_out

ROOT = Path(__file__).resolve().parents[2]


def jobs_of_bar(bar: Bar, runs_dir: Path, seeds: Sequence[int] | None = None) -> list[Job]:
    """Each bar has a folder of its own, since two may differ only in their length."""
    arguments = [*bar.arguments, f"runs_dir={runs_dir / bar.name}"]
    jobs, _ = jobs_of(arguments, seeds or bar.seeds, config_directories(None))
    return [replace(job, name=f"{bar.name} {job.name}") for job in jobs]


def run_bars(
    bars: Sequence[Bar],
    runs_dir: Path,
    *,
    display: Display,
    stop: StopRequest,
    num_cores: int,
    seeds: Sequence[int] | None = None,
) -> int:
    """Carries them out, records every run that is finished, and returns the exit status."""
    jobs = {bar.name: jobs_of_bar(bar, runs_dir, seeds) for bar in bars}
    bar_of = {job.directory: bar for bar in bars for job in jobs[bar.name]}
    outcomes: list[Outcome] = []
    every_job = [job for of_bar in jobs.values() for job in of_bar]
    for outcome in carry_out(every_job, num_cores=num_cores, stop=stop, display=display):
        outcomes.append(outcome)
        if outcome.line or outcome.result is not None:
            display.say(f"{outcome.job.name}: {became(outcome)}")
        if outcome.result is not None:
            record(bar_of[outcome.job.directory], outcome.job.directory)
    return end(outcomes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bars", metavar="BAR", nargs="*", help="names of files in bars/; none: all of them")
    parser.add_argument("--seeds", type=int, nargs="+", help="others than the bars' own")
    parser.add_argument("--runs-dir", type=Path, default=ROOT / "runs" / "learning")
    parser.add_argument("--cores", type=int, help="how many processes at once; default: as many as cores are free")
    arguments = parser.parse_args()
    with StopRequest() as stop:
        return run_bars(
            load_bars(arguments.bars),
            arguments.runs_dir,
            display=make_display(),
            stop=stop,
            num_cores=arguments.cores or free_cores(),
            seeds=arguments.seeds,
        )


if __name__ == "__main__":
    sys.exit(main())
