"""Scores that count as a task solved."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from importlib.resources import files
from math import isfinite

from rlrun.errors import UserError, nearest


def targets_of(given: Sequence[str], tasks: Collection[str]) -> dict[str, float]:
    """The target of each task that has one.

    Args:
        given: `TASK=NUMBER`, or a number for every task; the last one counts.
        tasks: names of tasks.

    Raises:
        UserError: if one is not a number, or of no task.
    """
    with (files("rlrun.reports") / "data" / "targets.csv").open(encoding="utf-8") as file:
        known = {row["task"]: float(row["target"]) for row in csv.DictReader(file)}
    found = {task: known[task] for task in tasks if task in known}
    for text in given:
        task, _, number = text.rpartition("=")
        if task and task not in tasks:
            raise UserError(f"--target {text}: no run is in {task}; there are: {', '.join(nearest(task, tasks))}")
        found |= dict.fromkeys([task] if task else tasks, _number(number, text))
    return found


def _number(number: str, text: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise UserError(f"--target {text}: {number or 'nothing'} is not a number; give TASK=NUMBER or NUMBER")
    return value
