"""CSVs of measurements: every row says by which command, from which commit and on which machine."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from io import StringIO
from pathlib import Path

from rlrun.compute.cores import available_cores
from rlrun.files import write_atomically
from rlrun.runs.manifest import cpu_model

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results"
Row = Mapping[str, object]


def provenance() -> dict[str, object]:
    """Command, commit (with a + where files differ from it) and machine."""
    return {"command": typed(sys.argv), "commit": commit(), "machine": f"{cpu_model()}, {available_cores()} cores"}


@cache
def commit() -> str:
    """What is measured: as git says, or RLRUN_COMMIT for a copy without its history; else `unknown`, and a line."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--abbrev=7", "--dirty=+", "--exclude=*"],
            cwd=ROOT,
            env=os.environ | {"GIT_CEILING_DIRECTORIES": str(ROOT.parent)},  # or it takes a repository around this copy
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip()
    except OSError:  # there is no git
        told = ""
    told = told or os.environ.get("RLRUN_COMMIT", "")
    if not told:
        print(
            "git knows no commit of this copy: results will say unknown; RLRUN_COMMIT=... says which it is",
            file=sys.stderr,
            flush=True,
        )
    return told or "unknown"


def typed(argv: Sequence[str]) -> str:
    """What was typed, less where things are on this machine."""
    program = Path(argv[0])
    parts, skip = [f"benchmarks/{program.parent.name or 'speed'}/{program.name}"], False
    for word in argv[1:]:
        name, _, value = word.partition("=")
        if skip:
            skip = False
        elif name == "--results":
            skip = not value
        elif name == "--peer":
            parts.append("--peer PYTHON")
            skip = not value
        else:
            parts.append(word)
    return " ".join(parts)


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
    text = StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows([*kept, *new])
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))  # a program may be stopped at any time


def warn_if_busy() -> None:
    """Says so if something else is running: it would be in every number."""
    load = os.getloadavg()[0]
    if load > 0.25 * (os.cpu_count() or 1):
        print(f"NOT QUIET: load {load:.1f} before the start; nothing else should run", file=sys.stderr, flush=True)
