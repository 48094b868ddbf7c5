"""What is kept of a finished run of a bar: a row of numbers, and its curve in at most 60 points."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from bars import EVALUATION_SEED, PROTOCOL, Bar
from curves import command_of, commit_of, machine_of

from rlrun.files import write_atomically
from rlrun.runs.evaluation_log import read_evaluations
from rlrun.runs.loggers import read_rows
from rlrun.runs.manifest import manifest_of_run, result_of_run
from rlrun.runs.policies import BEST, FINAL
from rlrun.runs.summary import summarise

RETURN, GREEDY = "eval/episode_return", "eval/greedy_return"
COLUMNS = (
    *("seed", "step", "env_steps", "protocol", "episodes", "final_mean", "final_std", "greedy_mean", "greedy_episodes"),
    *("best_mean", "best_step", "wall_seconds", "command", "commit", "machine"),
)
CURVE_COLUMNS = ("seed", "step", "env_steps", "episode_return")
_MOST_POINTS = 60
Row = dict[str, Any]


def record(bar: Bar, directory: Path) -> None:
    """Writes the row and the curve of the finished run in `directory`, in place of those with its seed."""
    row = row_of(directory)
    _replace(bar.results, COLUMNS, row["seed"], [row])
    _replace(bar.curves, CURVE_COLUMNS, row["seed"], curve_of(directory, row["seed"]))


def row_of(directory: Path) -> Row:
    """The numbers of a finished run.

    Its final policy and its best checkpoint are evaluated afresh by `rlrun eval`; where that has not been done, the
    final policy's numbers are the run's own last evaluation, and the best checkpoint's are unknown.
    """
    manifest = manifest_of_run(directory)
    result = result_of_run(directory, manifest)
    assert result is not None
    final = evaluation_of(directory, FINAL, result["step"]) or {"protocol": "in training", **result}
    best = evaluation_of(directory, BEST, result["step"]) or {}
    return {
        "seed": manifest["seed"],
        "step": result["step"],
        "env_steps": result["env_steps"],
        "protocol": final["protocol"],
        "episodes": final["eval/episodes"],
        "final_mean": _short(final[RETURN]),
        "final_std": _short(final["eval/standard_error"] * final["eval/episodes"] ** 0.5),
        "greedy_mean": _short(final.get(GREEDY)),
        "greedy_episodes": len(final.get("eval/greedy_returns", ())) or "",
        "best_mean": _short(best.get(RETURN)),
        "best_step": best.get("step", ""),
        "wall_seconds": round(summarise(directory).wall_seconds),
        "command": command_of(manifest),
        "commit": commit_of(manifest),
        "machine": machine_of(manifest),
    }


def curve_of(directory: Path, seed: int) -> list[Row]:
    """Its evaluations, the first and the last among them."""
    rows = [row for row in read_rows(directory / "metrics.jsonl") if RETURN in row]
    every = -(-len(rows) // _MOST_POINTS) or 1
    kept = [row for index, row in enumerate(rows) if (len(rows) - 1 - index) % every == 0 or index == 0]
    return [
        {
            "seed": seed,
            "step": int(row["step"]),
            "env_steps": int(row.get("env_steps", row["step"])),
            "episode_return": _short(row[RETURN]),
        }
        for row in kept
    ]


def read_records(path: Path) -> list[dict[str, str]]:
    """Rows of a file; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _replace(path: Path, columns: Sequence[str], seed: int, rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows of other seeds stay, all in the order of seeds."""
    kept: list[Mapping[str, Any]] = [row for row in read_records(path) if int(row["seed"]) != seed]
    ordered = sorted([*kept, *rows], key=lambda row: int(row["seed"]))  # stable: a curve stays in its order
    text = StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(ordered)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))


def evaluation_of(directory: Path, checkpoint: str, step: int) -> Row | None:
    """The first evaluation, under the bars' protocol and with their seed, of its final policy or its best.

    That of the final policy is one of step `step`, at which the run ended. Another evaluation of the same policy with
    the same seed, whoever makes it and when, changes nothing; the newest of the best policies counts.
    """
    wanted: tuple[object, ...] = (PROTOCOL, [], EVALUATION_SEED, checkpoint)
    rows = [row for row in read_evaluations(directory) if row["step"] <= step]
    rows = [row for row in rows if tuple(row[key] for key in ("protocol", "changed", "seed", "checkpoint")) == wanted]
    at = max((row["step"] for row in rows), default=step) if checkpoint == BEST else step
    return next((row for row in rows if row["step"] == at), None)


def _short(value: float | None) -> str:
    """Enough digits for a mean of 100 episodes."""
    return "" if value is None else f"{value:.2f}"
