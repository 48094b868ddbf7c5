"""`rlrun report DIR ...`: curves, scores and comparisons of runs, as pictures, a text and a page."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from rlrun.cli.arguments import Arguments


def declare(parser: Arguments) -> None:
    """Adds the arguments."""
    parser.add_argument("directories", nargs="+", metavar="DIR", help="a run, or runs are below it", kind="run")
    parser.add_argument("--out", metavar="DIR", help="where to (default: report, next to the runs)", kind="directory")
    parser.add_argument("--unfinished", action="store_true", help="show unfinished runs too; no statistic counts them")
    parser.add_argument("--mixed-code", action="store_true", help="compare runs of different code; the page says so")
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="[TASK=]NUMBER",
        help="the score that counts as solved, for the optimality gap and the steps to it",
    )
    parser.add_argument("--suite", choices=("atari49",), help="human-normalised scores over the games of a suite")


def run(chosen: Namespace) -> int:
    """Writes the report and says where.

    Raises:
        UserError: if there is nothing to report, or runs must not be compared.
    """
    from rlrun.reports.comparable import check_comparable
    from rlrun.reports.groups import tasks_of
    from rlrun.reports.selection import select_runs
    from rlrun.reports.targets import targets_of
    from rlrun.reports.writing import PAGE, check_replaceable, default_directory, write_report

    directories = [Path(name) for name in chosen.directories]
    selection = select_runs(directories, unfinished=chosen.unfinished)
    mixed = check_comparable(selection.runs, mixed_code=chosen.mixed_code)
    tasks = tasks_of(selection.runs)
    targets = targets_of(chosen.target, [task.name for task in tasks])
    out = Path(chosen.out) if chosen.out is not None else default_directory(directories)
    check_replaceable(out)

    from rlrun.reports.contents import opening, task_parts, title_of, warnings  # matplotlib is slow to import
    from rlrun.reports.figures import looks_of

    looks = looks_of(list(dict.fromkeys(group.label for task in tasks for group in task.groups)))
    parts = list(opening(tasks, selection.notes, mixed))
    if chosen.suite is not None:
        from rlrun.reports.atari_suite import suite_parts

        parts += suite_parts(tasks, looks)
    for task in tasks:
        parts += task_parts(task, targets.get(task.name), looks)
    write_report(out, title_of(tasks), parts)
    for line in [*selection.notes, *warnings(tasks, mixed)]:
        print(line, file=sys.stderr)
    print(f"report: {out / PAGE}")
    return 0
