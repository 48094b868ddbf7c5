"""A summary of a run from its small files alone, in milliseconds: state, progress, score, wall time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import time
from typing import Any

from rlrun.runs.directory import has_checkpoint, last_step, newest_checkpoint
from rlrun.runs.lock import owner
from rlrun.runs.loggers import CLOCK
from rlrun.runs.manifest import MANIFEST, experiment_hash, manifest_of_run, result_of_run
from rlrun.runs.rows import newest_values

_SCORE = "eval/episode_return"
_GREEDY = "eval/greedy_return"


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run at a glance."""

    directory: Path
    manifest: Mapping[str, Any]
    state: str  # finished, running, stopped, unsaved (stopped without a checkpoint), failed, or killed
    owner: str | None  # the process that is running it
    step: int  # agent steps
    score: float | None  # the newest evaluation's mean raw return
    greedy: float | None  # that of its greedy episodes, if the agent samples its actions
    wall_seconds: float  # of all its sessions

    @property
    def labels(self) -> Mapping[str, str]:
        """Names of its environment, algorithm and preset."""
        labels: Mapping[str, str] = self.manifest.get("labels", {})
        return labels

    @property
    def experiment(self) -> str:
        """The hash of what defines its experiment."""
        return experiment_hash(self.manifest["experiment"])


def summarise(directory: Path) -> RunSummary:
    """Summarises the run in `directory`.

    Raises:
        UserError: if there is none, or its manifest, result or rows cannot be read.
    """
    manifest = manifest_of_run(directory)
    result = result_of_run(directory, manifest)
    sessions = manifest.get("sessions", [])
    busy = owner(directory)  # even if the last session ended: the next one is recorded only once it trains
    if result is not None:
        state, step = "finished", int(result["step"])
        score, greedy = (result.get(name) for name in (_SCORE, _GREEDY))
    else:
        state, step = _state(directory, sessions, busy), _step(directory, sessions)
        score, greedy = newest_values(directory / "metrics.jsonl", _SCORE, _GREEDY)
    wall = sum(
        _wall_seconds(session, directory, is_running=busy is not None and session is sessions[-1])
        for session in sessions
    )
    return RunSummary(directory, manifest, state, busy, step, score, greedy, wall)


def _step(directory: Path, sessions: list[Mapping[str, Any]]) -> int:
    """How far it is; steps lost with a damaged checkpoint do not count."""
    last = sessions[-1] if sessions else {"from_step": 0, "to_step": 0}
    reached = last["to_step"] if last["to_step"] is not None else last["from_step"]
    return max(last_step(directory), newest_checkpoint(directory) or 0, reached or 0)


def _state(directory: Path, sessions: list[Mapping[str, Any]], busy: str | None) -> str:
    if busy is not None:
        return "running"
    if not sessions or sessions[-1]["ended"] is None:
        return "killed"
    if sessions[-1]["status"] == "failed":
        return "failed"
    return "stopped" if has_checkpoint(directory) else "unsaved"


def _wall_seconds(session: Mapping[str, Any], directory: Path, *, is_running: bool) -> float:
    """Of a killed process, which did not record it: until its last row."""
    if session["wall_seconds"] is not None:
        return float(session["wall_seconds"])
    end = time() if is_running else newest_values(directory / "timings.jsonl", CLOCK)[0] or 0.0
    return max(0.0, end - datetime.fromisoformat(session["started"]).timestamp())


def find_runs(folder: Path) -> Iterator[Path]:
    """The directories of all runs below `folder`, or `folder` itself, in the order of their names."""
    for path, folders, files in os.walk(folder):
        if MANIFEST in files:
            folders.clear()  # runs are not nested
            yield Path(path)
        folders.sort(key=_natural)


def _natural(name: str) -> tuple[str, int, int, str]:
    """`seed2` before `seed10`, and `seed2` before `seed2-2`."""
    stem, dash, number = name.partition("-")
    text = stem.rstrip("0123456789")
    digits = stem[len(text) :]
    order = int(number) if dash and number.isdigit() else 0
    return text, int(digits or 0), order, name
