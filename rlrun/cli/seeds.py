"""`rlrun ... seeds=10`: the runs of several seeds side by side, and one result for all of them (docs/seeds.md)."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlrun.runs.interruption import STOPPED, StopRequest

if TYPE_CHECKING:
    from rlrun.sweeps.jobs import Outcome

_SCORES = ("eval/episode_return", "eval/greedy_return")
# Exit statuses: of a command on a run that another process holds; where a process ends with 0 but has no result; of a
# killed process, as in sh.
_HELD, _WITHOUT_RESULT, _KILLED = 2, 1, 128


def run_seeds(overrides: Sequence[str], directories: Sequence[Path], flags: Sequence[str], stop: StopRequest) -> int:
    """Carries them out, and returns the exit status: 0, 75 where one was stopped, or that of the first that failed.

    Args:
        overrides: as on the command line, `seeds=` among them.
        directories: where config files are searched; the last one has `config.yaml`.
        flags: further arguments of each run's command.
        stop: what asks all of them to save and stop.

    Raises:
        UserError: if anything is wrong, before the first process is started.
    """
    from rlrun.config.seeds import take_seeds

    others, seeds = take_seeds(overrides)

    from rlrun.api.jobs import jobs_of  # imports torch, which takes seconds: not before the seeds are right
    from rlrun.compute.cores import free_cores
    from rlrun.sweeps.display import make_display
    from rlrun.sweeps.pool import carry_out

    jobs, config = jobs_of(others, seeds, directories, flags)
    cores = free_cores()
    free = f"{cores} free core{'s' if cores > 1 else ''}"
    what = f"{config.labels['algo']} on {config.labels['env']}, {len(jobs)} seeds on {free}"
    print(f"{what}\n{jobs[0].directory.parent}", flush=True)
    display, outcomes = make_display(), list["Outcome"]()
    for outcome in carry_out(jobs, num_cores=cores, stop=stop, display=display):
        outcomes.append(outcome)
        if outcome.line or outcome.result is not None:
            display.say(f"{outcome.job.name}: {became(outcome)}")
    for metric in _SCORES:
        if line := _result(outcomes, metric):
            print(line, flush=True)
    return end(outcomes, "" if not config.fresh else " without fresh=true")


def became(outcome: Outcome) -> str:
    """What became of a job, in words."""
    if outcome.result is not None:
        from rlrun.api.running import score

        return f"finished: {score(outcome.result)}"
    if outcome.state == "stopped":
        return outcome.line.partition(";")[0].removeprefix("rlrun: ")
    return f"{outcome.state}: {outcome.line}"


def _result(outcomes: Sequence[Outcome], metric: str) -> str | None:
    """The mean of a metric over the finished seeds; None where none has it."""
    from rlrun.reports.summaries import mean_of

    values = [each.result[metric] for each in outcomes if each.result is not None and metric in each.result]
    if not values:
        return None
    mean, low, high = mean_of(values)
    of_all = f"{len(values)} of {len(outcomes)} seeds" if len(values) < len(outcomes) else f"{len(values)} seeds"
    if len(values) == 1:
        return f"{metric} {mean:.1f} ({'1 seed' if len(outcomes) == 1 else of_all})"
    return f"{metric} {mean:.1f} [{low:.1f}, {high:.1f}] (95% bootstrap over {of_all})"


def end(outcomes: Sequence[Outcome], how: str = "") -> int:
    """Says what is missing, and returns the exit status of the command.

    Args:
        outcomes: of all jobs.
        how: the same command must differ for those that were stopped to be resumed.
    """
    failed = [each for each in outcomes if each.state in ("failed", "held")]
    alike: dict[str, list[Outcome]] = defaultdict(list)
    for each in failed:
        alike[became(each)].append(each)
    lines = [f"  {', '.join(each.job.name for each in group)}: {line}" for line, group in alike.items()]
    crashed = next((f"  {each.job.name} printed {each.job.log}" for each in failed if each.status is not None), None)
    if failed:
        lines = [f"rlrun: {len(failed)} of {len(outcomes)} are not finished:", *lines, *([crashed] if crashed else [])]
        print("\n".join(lines), file=sys.stderr, flush=True)
    if stopped := sum(each.state == "stopped" for each in outcomes):
        finished = sum(each.state == "finished" for each in outcomes)
        also = f"{finished} of {len(outcomes)} are finished, and the same command{how} resumes the others"
        print(f"rlrun: {stopped} stopped; {also}", file=sys.stderr, flush=True)
        return STOPPED
    if not failed:
        return 0
    status = failed[0].status if failed[0].status is not None else _HELD
    return (status or _WITHOUT_RESULT) if status >= 0 else _KILLED - status
