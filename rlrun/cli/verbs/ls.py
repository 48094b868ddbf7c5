"""`rlrun ls`: a table of the runs there are."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlrun.cli.arguments import Arguments
from rlrun.errors import UserError

if TYPE_CHECKING:
    from rlrun.runs.summary import RunSummary

_COLUMNS = (
    *("environment", "algorithm", "preset", "experiment", "seed", "steps", "state"),
    *("evaluation", "greedy", "time", "path"),
)
_RIGHT = {"seed", "steps", "evaluation", "greedy", "time"}
_COLOURS = {"finished": "green", "running": "cyan", "stopped": "yellow", "killed": "red", "failed": "red"}
_COLOURS |= {"unsaved": "red", "damaged": "red"}


def declare(parser: Arguments) -> None:
    """Adds the arguments."""
    parser.add_argument("runs_dir", nargs="?", default="runs", help="where to look (default: runs)", kind="directory")


def run(chosen: Namespace) -> int:
    """Prints the table; status 1 if there is no run.

    Raises:
        UserError: if there is no such directory.
    """
    from rlrun.runs.summary import find_runs, summarise

    folder = Path(chosen.runs_dir)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a directory: give the runs_dir= of the runs, as in `rlrun ls runs`")
    rows = []
    for directory in find_runs(folder):
        try:
            rows.append(_row(summarise(directory)))
        except UserError as error:
            print(f"rlrun: {error}", file=sys.stderr)
            damaged = {"state": "damaged", "path": str(directory)}
            rows.append(tuple(damaged.get(name, "-") for name in _COLUMNS))
    if not rows:
        print(f"no runs in {folder}")
        return 1
    _print_table(rows)
    return 0


def _row(run: RunSummary) -> tuple[str, ...]:
    return (
        *(run.labels.get(name, "-") for name in ("env", "algo", "preset")),
        run.experiment,
        str(run.manifest["seed"]),
        f"{run.step:,}/{run.manifest['total_steps']:,}",
        run.state,
        "-" if run.score is None else f"{run.score:.2f}",
        "-" if run.greedy is None else f"{run.greedy:.2f}",
        in_hours(run.wall_seconds),
        str(run.directory),
    )


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    """A table with colours on a terminal, aligned text elsewhere: nothing is cut off there, one line for a run."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, header_style="bold", pad_edge=False)
        for name in _COLUMNS:
            table.add_column(name, justify="right" if name in _RIGHT else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
        Console().print(table)
        return
    widths = [max(len(name), *(len(row[index]) for row in rows)) for index, name in enumerate(_COLUMNS)]
    for row in (_COLUMNS, *rows):
        cells = zip(row, _COLUMNS, widths, strict=True)
        line = (f"{cell:>{width}}" if name in _RIGHT else f"{cell:<{width}}" for cell, name, width in cells)
        print("  ".join(line).rstrip())


def in_hours(seconds: float) -> str:
    """`1:02:03`: hours, minutes, seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
