"""CSVs of measurements: every row says by which command, from which commit and on which machine."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlrun.receipt import cpu_model

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results"
Row = Mapping[str, object]


def provenance() -> dict[str, object]:
    """Command, commit (with a + where files differ from it) and machine."""
    from rlrun.device import available_cores  # imports torch, which a program that measures memory does later

    commit = subprocess.run(
        ["git", "describe", "--always", "--abbrev=7", "--dirty=+", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {"command": typed(sys.argv), "commit": commit, "machine": f"{cpu_model()}, {available_cores()} cores"}


def typed(argv: Sequence[str]) -> str:
    """What was typed, less where things are on this machine."""
    program = Path(argv[0])
    words, skip = [f"benchmarks/{program.parent.name or 'speed'}/{program.name}"], False
    for word in argv[1:]:
        name, _, value = word.partition("=")
        if skip:
            skip = False
        elif name == "--results":
            skip = not value
        elif name == "--peer":
            words.append("--peer PYTHON")
            skip = not value
        else:
            words.append(word)
    return " ".join(words)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV; none if there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: Sequence[Row], key: Sequence[str]) -> None:
    """Writes rows with their provenance; those of an earlier run stay where `key` has no new one.

    Args:
        path: of the CSV.
        rows: all with the same columns.
        key: the columns that tell rows apart.
    """
    made = provenance()
    new: list[Row] = [{**row, **made} for row in rows]
    taken = {tuple(str(row[name]) for name in key) for row in new}
    kept: list[Row] = [row for row in read_rows(path) if tuple(row.get(name, "") for name in key) not in taken]
    columns = list(new[0])
    path.parent.mkdir(exist_ok=True, parents=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *new])


def warn_if_busy() -> None:
    """Says so if something else is running: it would be in every number."""
    load = os.getloadavg()[0]
    if load > 0.25 * (os.cpu_count() or 1):
        print(f"NOT QUIET: load {load:.1f} before the start; nothing else should run", file=sys.stderr, flush=True)
