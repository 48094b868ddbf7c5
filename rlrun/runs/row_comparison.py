"""Where the rows of two runs first differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rlrun.runs.rows import parse_row


@dataclass(frozen=True, slots=True)
class RowDifference:
    """The first value in which two files of rows differ."""

    row: int  # from 1
    step: int  # of the left one
    key: str
    left: Any  # None: it has no such value
    right: Any

    def __str__(self) -> str:
        return f"step {self.step:,}, {self.key}: {_shown(self.left)} and {_shown(self.right)} (row {self.row:,})"


@dataclass(frozen=True, slots=True)
class RowComparison:
    """What two files of rows have in common."""

    equal_rows: int  # how many rows are equal, from the first one on
    difference: RowDifference | None  # None: every row that both have is equal
    longer: str | None  # "left" or "right", where one of them has more rows
    last_equal_step: int  # 0 where no row is equal


def compare_rows(left: Path, right: Path, before_step: int | None = None) -> RowComparison:
    """Compares files of JSON lines, row by row, as bytes.

    Args:
        left: one file; one that is not there has no rows.
        right: the other one.
        before_step: only rows of smaller steps; None for all.

    Raises:
        UserError: at a line that is no row.
    """
    equal, last = 0, 0
    for a, b in zip_longest(_lines(left, before_step), _lines(right, before_step)):
        if a is None or b is None:
            return RowComparison(equal, None, "left" if b is None else "right", last)
        if a != b:
            return RowComparison(equal, _difference(equal + 1, parse_row(a, left), parse_row(b, right)), None, last)
        equal, last = equal + 1, int(parse_row(a, left)["step"])
    return RowComparison(equal, None, None, last)


def _lines(path: Path, before_step: int | None) -> Iterator[bytes]:
    """Whole lines; the last one may have been cut off."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            if before_step is None or parse_row(line, path)["step"] < before_step:
                yield line


def _difference(row: int, left: dict[str, Any], right: dict[str, Any]) -> RowDifference:
    names = [*left, *(key for key in right if key not in left)]
    key = next((name for name in names if left.get(name) != right.get(name)), "the order of the values")
    return RowDifference(row, int(left["step"]), key, left.get(key), right.get(key))


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)
