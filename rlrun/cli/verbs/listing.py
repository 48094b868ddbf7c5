"""`rlrun ls`: a table of the runs there are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rlrun.cli.verbs.words import Words
from rlrun.errors import UserError
from rlrun.runs.summary import RunSummary, find_runs, summarise

_COLUMNS = (
    *("environment", "algorithm", "preset", "experiment", "seed", "steps", "state"),
    *("evaluation", "greedy", "time", "path"),
)
_RIGHT = {"seed", "steps", "evaluation", "greedy", "time"}
_COLOURS = {"finished": "green", "running": "cyan", "stopped": "yellow", "killed": "red", "failed": "red"}
_COLOURS |= {"unsaved": "red", "damaged": "red"}


def ls(words: Sequence[str]) -> int:
    """Prints the table; status 1 if there is no run."""
    parser = Words("rlrun ls", description="The runs below a directory.")
    parser.add_argument("runs_dir", nargs="?", default="runs", help="where to look (default: runs)")
    folder = Path(parser.parse_args(words).runs_dir)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a directory: give the runs_dir= of the runs, as in `rlrun ls runs`")
    rows = []
    for directory in find_runs(folder):
        try:
            rows.append(_row(summarise(directory)))
        except UserError as error:
            print(f"rlrun: {error}", file=sys.stderr)
            rows.append(_damaged(directory))
    if not rows:
        print(f"no runs in {folder}")
        return 1
    print_table(rows)
    return 0


def _row(run: RunSummary) -> tuple[str, ...]:
    return (
        run.labels.get("env", "-"),
        run.labels.get("algo", "-"),
        run.labels.get("preset", "-"),
        run.experiment,
        str(run.manifest["seed"]),
        f"{run.step:,}/{run.manifest['total_steps']:,}",
        run.state,
        "-" if run.score is None else f"{run.score:.2f}",
        "-" if run.greedy is None else f"{run.greedy:.2f}",
        in_hours(run.wall_seconds),
        str(run.directory),
    )


def _damaged(directory: Path) -> tuple[str, ...]:
    said = {"state": "damaged", "path": str(directory)}
    return tuple(said.get(name, "-") for name in _COLUMNS)


def print_table(rows: Sequence[Sequence[str]]) -> None:
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
