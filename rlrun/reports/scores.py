"""A run as a report sees it: its evaluations along three axes, and its scores. Small files alone are read."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np

from rlrun.errors import UserError
from rlrun.runs.loggers import CLOCK
from rlrun.runs.manifest import manifest_of_run, result_of_run
from rlrun.runs.rows import newest_rows
from rlrun.types import Float64Array

RETURN, GREEDY, DISCOUNTED = "eval/episode_return", "eval/greedy_return", "eval/discounted_return"


@dataclass(frozen=True, slots=True)
class Curve:
    """The evaluations of a run, in the order in which they were made; every field is [n]."""

    steps: Float64Array  # agent steps
    env_steps: Float64Array  # interactions with the environment
    seconds: Float64Array  # of wall time, evaluation and saving included; NaN where it is not known
    returns: Float64Array  # mean raw return of the evaluation's episodes


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of a run. Final policy and best checkpoint are different things, and never stand in one column.

    The best one is the highest of many noisy evaluations: on average, its policy would get less in another one.
    """

    final: float  # mean raw return of the last evaluation
    greedy: float | None  # of its greedy episodes, if the agent samples its actions
    best: float  # mean raw return of the best evaluation
    area: float  # under the curve over agent steps, divided by their number; NaN of a single evaluation
    discounted: float | None = None  # mean of the last evaluation with the agent's gamma, if it has one; raw rewards


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """A run with at least one evaluation."""

    directory: Path
    manifest: Mapping[str, Any]
    finished: bool
    curve: Curve
    scores: Scores

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.manifest["seed"])

    @property
    def env(self) -> Mapping[str, Any]:
        """What its experiment says of the environment."""
        env: Mapping[str, Any] = self.manifest["experiment"]["env"]
        return env

    @property
    def label(self) -> Mapping[str, str]:
        """Names of its environment, algorithm and preset."""
        labels: Mapping[str, str] = self.manifest.get("labels", {})
        return labels


def read_run(directory: Path) -> ReportedRun | None:
    """The run in `directory`; None if it was not evaluated yet.

    Raises:
        UserError: if one of its files cannot be read.
    """
    manifest = manifest_of_run(directory)
    result = result_of_run(directory, manifest)
    curve, last = _evaluations(directory, manifest)
    if not len(curve.steps):
        return None
    return ReportedRun(
        directory, manifest, result is not None, curve, scores_of(curve, last if result is None else result)
    )


def scores_of(curve: Curve, last: Mapping[str, Any]) -> Scores:
    """The scores of a run: the one place that decides which evaluation they come from.

    Args:
        curve: its evaluations.
        last: `result.json`; of an unfinished run the row of its last evaluation.
    """
    final = float(last[RETURN])
    return Scores(final, last.get(GREEDY), float(curve.returns.max()), area_under(curve), last.get(DISCOUNTED))


def area_under(curve: Curve) -> float:
    """The mean of the curve over agent steps, linear from the first evaluation to the last; NaN of a single one."""
    length = curve.steps[-1] - curve.steps[0]
    return float(np.trapezoid(curve.returns, curve.steps) / length) if length > 0 else nan


def _evaluations(directory: Path, manifest: Mapping[str, Any]) -> tuple[Curve, Mapping[str, Any]]:
    """All evaluations, and the row of the last one."""
    path = directory / "metrics.jsonl"
    rows = _rows(path)
    last = {row["step"]: row for row in rows if RETURN in row}  # of two at a step, the later one
    columns = [_column(path, last, name) for name in ("step", "env_steps", RETURN)]
    clock = {row["step"]: row[CLOCK] for row in _rows(directory / "timings.jsonl") if "time/eval_seconds" in row}
    clock = {step: time for step, time in clock.items() if isinstance(time, int | float)}
    seconds = elapsed([clock.get(step, np.nan) for step in last], manifest.get("sessions", []))
    return Curve(columns[0], columns[1], seconds, columns[2]), next(reversed(last.values()), {})


def _rows(path: Path) -> list[dict[str, Any]]:
    return list(newest_rows(path, most_bytes=sys.maxsize))[::-1]


def _column(path: Path, rows: Mapping[float, Mapping[str, float]], name: str) -> Float64Array:
    values = [row.get(name) for row in rows.values()]
    if not all(isinstance(value, int | float) for value in values):
        raise UserError(f"{path} is damaged: its {name} is not a number")
    return np.array(values, np.float64)


def elapsed(times: Sequence[float], sessions: Sequence[Mapping[str, Any]]) -> Float64Array:
    """Seconds that a run had been worked on at each of `times`, pauses between sessions left out, [n].

    Args:
        times: in seconds since 1970; NaN if unknown.
        sessions: of the manifest. One that was killed did not record its end: it counts until the last of `times`
            before the next one began.
    """
    starts = [datetime.fromisoformat(session["started"]).timestamp() for session in sessions]
    at = np.array(times, np.float64)
    total = np.zeros(len(at))
    for session, (start, following) in zip(sessions, pairwise([*starts, inf]), strict=True):
        within = np.clip(at, start, following) - start
        if session["wall_seconds"] is not None:
            within = np.minimum(within, float(session["wall_seconds"]))
        elif following < inf:
            known = at[(at >= start) & (at < following)]
            within = np.minimum(within, known.max(initial=start) - start)
        total += within
    return total
