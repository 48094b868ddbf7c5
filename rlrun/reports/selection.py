"""Which runs a report is about: those below the directories, less what would count a seed twice or is unfinished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlrun.errors import UserError
from rlrun.reports.scores import ReportedRun, read_run
from rlrun.runs.manifest import experiment_hash, manifest_of_run, result_of_run
from rlrun.runs.summary import find_runs


@dataclass(frozen=True, slots=True)
class Selection:
    """The runs of a report."""

    runs: Sequence[ReportedRun]
    notes: Sequence[str]  # which runs were left out, and why


def select_runs(directories: Sequence[Path], *, unfinished: bool) -> Selection:
    """Reads the runs below `directories`.

    Left out, with a note: runs without an evaluation, repetitions (`rlrun rerun`), unfinished runs, and earlier
    attempts of the same experiment, length and seed.

    Args:
        directories: each a run, or with runs below it.
        unfinished: whether unfinished runs are kept.

    Raises:
        UserError: if there is no run in one of them, no run is left, or one cannot be read.
    """
    notes: list[str] = []
    kept: dict[tuple[Any, ...], ReportedRun] = {}
    for path in _run_directories(directories):
        manifest = manifest_of_run(path)
        if manifest.get("rerun_of") is not None:
            notes.append(f"{path} is left out: it repeats {manifest['rerun_of']}")
            continue
        if not unfinished and result_of_run(path, manifest) is None:
            notes.append(f"{path} is left out: it is unfinished (--unfinished shows it)")
            continue
        run = read_run(path)
        if run is None:
            notes.append(f"{path} is left out: it has no evaluation yet")
            continue
        key = (experiment_hash(manifest["experiment"]), manifest["total_steps"], manifest["seed"])
        earlier = kept.get(key)
        if earlier is not None:
            run, earlier = sorted((run, earlier), key=_began, reverse=True)
            notes.append(f"{earlier.directory} is left out: {run.directory} is a later attempt with the same seed")
        kept[key] = run
    if not kept:
        raise UserError(f"no run is left to report: {'; '.join(notes)}")
    return Selection(list(kept.values()), notes)


def _run_directories(directories: Sequence[Path]) -> list[Path]:
    found: dict[Path, Path] = {}
    for directory in directories:
        if not directory.is_dir():
            raise UserError(f"{directory} is not a directory; `rlrun ls` lists all runs")
        inside = list(find_runs(directory))
        if not inside:
            raise UserError(f"no run in {directory}; `rlrun ls` lists all runs")
        found |= {path.resolve(): path for path in inside}
    return list(found.values())


def _began(run: ReportedRun) -> tuple[bool, str]:
    sessions = run.manifest.get("sessions", [])
    return run.finished, sessions[0]["started"] if sessions else ""
