"""Rows of `metrics.jsonl` and `timings.jsonl`: the newest ones, and where those of two runs first differ."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rlrun.annotations.type_words import shown
from rlrun.errors import UserError

METRICS, TIMINGS = "metrics.jsonl", "timings.jsonl"
_BLOCK_BYTES = 1 << 14


def parse_row(line: bytes, path: Path) -> dict[str, Any]:
    """A line of `path` as a row; it has an integer `step`.

    Raises:
        UserError: if it is not one.
    """
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UserError(f"{path} is damaged: one of its lines is not a row") from error
    if not isinstance(row, dict) or not isinstance(row.get("step"), int):
        raise UserError(f"{path} is damaged: one of its lines is not a row")
    return row


def newest_rows(path: Path, most_bytes: int = 1 << 20, block_bytes: int = _BLOCK_BYTES) -> Iterator[dict[str, Any]]:
    """Complete rows, newest first; a last line that was cut off is left out.

    Args:
        path: of the file; yields nothing if there is none.
        most_bytes: how far back to look.
        block_bytes: how much is read at once.

    Raises:
        UserError: at a complete line that is not a row.
    """
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        position = file.seek(0, os.SEEK_END)
        lowest = max(0, position - most_bytes)
        begun = b""  # the end of a line whose beginning has not been read yet
        is_tail = True  # whether it follows the last newline, so is incomplete
        while position > lowest:
            start = max(lowest, position - block_bytes)
            file.seek(start)
            begun, *lines = (file.read(position - start) + begun).split(b"\n")
            position = start
            if is_tail and lines:
                is_tail = False
                lines.pop()
            yield from (parse_row(line, path) for line in reversed(lines))
        if position == 0 and begun and not is_tail:
            yield parse_row(begun, path)


def newest_values(path: Path, key: str, *others: str) -> tuple[float | None, ...]:
    """Values of `key` and the other keys in the newest row that has `key`; None for those it lacks.

    Raises:
        UserError: if a value is not a number, or a line before it is not a row.
    """
    row = next((row for row in newest_rows(path) if key in row), {})
    for name in (key, *others):
        if not isinstance(row.get(name, 0), int | float):
            raise UserError(f"{path} is damaged: its {name} is not a number")
    return tuple(row.get(name) for name in (key, *others))


@dataclass(frozen=True, slots=True)
class RowDifference:
    """The first value in which two files of rows differ."""

    row: int  # from 1
    step: int  # of the left one
    key: str
    left: Any  # None: absent
    right: Any

    def __str__(self) -> str:
        return f"step {self.step:,}, {self.key}: {shown(self.left)} and {shown(self.right)} (row {self.row:,})"


@dataclass(frozen=True, slots=True)
class RowComparison:
    """What two files of rows have in common."""

    equal_rows: int  # how many rows are equal, from the first
    difference: RowDifference | None  # None: every row that both have is equal
    longer: str | None  # "left" or "right", if one has more rows
    last_equal_step: int  # 0 where no row is equal


def compare_rows(left: Path, right: Path, before_step: int | None = None) -> RowComparison:
    """Compares files of JSON lines, row by row, as bytes.

    Args:
        left: one file; a missing file has no rows.
        right: the other one.
        before_step: only rows of smaller steps; None for all.

    Raises:
        UserError: at a line that is not a row.
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
    """Complete lines; the last one may have been cut off."""
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
