"""Carries out learning bars: every seed of every bar in a process of its own, as many at once as there are free cores.

    .venv/bin/python benchmarks/learning/run.py                        # all bars
    .venv/bin/python benchmarks/learning/run.py dqn_cartpole --seeds 0 1

Once all runs are finished, the final policy and the best checkpoint of each play 100 fresh episodes (`rlrun eval`).
The same command again runs only what is missing and resumes what is unfinished. Ctrl-C saves all of them and stops.
After every run `results/BAR.csv` has a row for it and `results/BAR_curves.csv` its curve; `page.py` makes
`docs/results.md` of them. Exit status: that of a single run, whether or not the bars are reached.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bars import EVALUATION_SEED, PROTOCOL, Bar, load_bars
from records import evaluation_of, record

from rlrun.api.jobs import jobs_of
from rlrun.build import PROCESS_BYTES
from rlrun.cli.seeds import became, end
from rlrun.compute.cores import free_cores
from rlrun.config.files import config_directories
from rlrun.errors import UserError
from rlrun.runs.interruption import StopRequest
from rlrun.runs.policies import BEST, FINAL, LAST
from rlrun.sweeps.display import Display, make_display
from rlrun.sweeps.jobs import Job, Outcome, RunJob
from rlrun.sweeps.pool import carry_out

ROOT = Path(__file__).resolve().parents[2]


def jobs_of_bar(bar: Bar, runs_dir: Path, seeds: Sequence[int] | None = None) -> list[RunJob]:
    """Each bar has a folder of its own, since two may differ only in their length."""
    arguments = [*bar.arguments, f"runs_dir={runs_dir / bar.name}"]
    jobs, _ = jobs_of(arguments, seeds or bar.seeds, config_directories(None))
    return [replace(job, name=f"{bar.name} {job.name}") for job in jobs]


@dataclass(frozen=True, slots=True)
class EvaluationJob:
    """100 fresh episodes with a policy of a finished run, by the rules of its own evaluation.

    Args:
        run: the run.
        checkpoint: the final policy or the best.
    """

    run: RunJob
    checkpoint: str
    num_threads: int = 1

    @property
    def name(self) -> str:
        """Of the run and of its policy."""
        return f"{self.run.name} {self.checkpoint}"

    @property
    def command(self) -> list[str]:
        """Torch's threads are given by the environment: `rlrun eval` has no key for them."""
        which = ["--checkpoint", LAST if self.checkpoint == FINAL else BEST, "--seed", str(EVALUATION_SEED)]
        threads = ["env", f"OMP_NUM_THREADS={self.num_threads}"]
        return [
            *threads,
            sys.executable,
            "-P",
            "-m",
            "rlrun",
            "eval",
            str(self.directory),
            f"protocol={PROTOCOL}",
            *which,
        ]

    @property
    def directory(self) -> Path:
        """Of the run."""
        return self.run.directory

    @property
    def log(self) -> Path:
        """Beside that of the run."""
        return self.directory.with_name(f"{self.directory.name}.{self.checkpoint}.log")

    @property
    def total_steps(self) -> int:
        """Of the run."""
        return self.run.total_steps

    @property
    def memory_bytes(self) -> int:
        """Nothing is remembered."""
        return PROCESS_BYTES

    def result(self) -> dict[str, Any] | None:
        """Its line of `eval.jsonl`; with a damaged file it is not finished, and the other jobs of the pool are."""
        of_run = self.run.result()
        try:
            return None if of_run is None else evaluation_of(self.directory, self.checkpoint, of_run["step"])
        except UserError:
            return None

    def owner(self) -> None:
        """Any number of processes may evaluate a run."""
        return


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
    jobs = [(bar, job) for bar in bars for job in jobs_of_bar(bar, runs_dir, seeds)]
    bar_of = {job.directory: bar for bar, job in jobs}
    outcomes: list[Outcome] = []

    def work(on: Sequence[Job]) -> None:
        for ended in carry_out(on, num_cores=num_cores, stop=stop, display=display):
            outcome = _recorded(bar_of[ended.job.directory], ended)
            outcomes.append(outcome)
            if outcome.line or outcome.result is not None:
                display.say(f"{outcome.job.name}: {became(outcome)}")

    work([job for _, job in jobs])
    if stop.came is None:
        recorded = {outcome.job.name for outcome in outcomes if outcome.result is not None}
        finished = [job for _, job in jobs if job.name in recorded]
        work([EvaluationJob(job, policy) for job in finished for policy in (FINAL, BEST)])
    return end(outcomes)


def _recorded(bar: Bar, outcome: Outcome) -> Outcome:
    """A finished run that cannot be recorded has failed; an exception would end the processes of the others."""
    if outcome.result is None:
        return outcome
    try:
        record(bar, outcome.job.directory)
    except UserError as error:
        return replace(outcome, state="failed", result=None, line=str(error), status=None)
    return outcome


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
