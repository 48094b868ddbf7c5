"""A run's metrics as one CSV file, for spreadsheets and `pandas.read_csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rlrun.files import write_atomically
from rlrun.runs.loggers import Row

FILE = "metrics.csv"
_STEP = "step"


class CsvFile:
    """`metrics.csv`: a line for each step, a column for each metric; a cell is empty where a step has no such value.

    Columns are in the order in which metrics appear; a new metric rewrites the file with one column more. A resumed
    run writes the file anew from all its rows.

    Args:
        directory: of the run.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._columns = [_STEP]
        self._line: dict[str, Any] = {}  # the last one, by column
        self._start = 0  # where it begins, in bytes
        self._file: BinaryIO | None = None

    def begin(self, rows: Sequence[Row]) -> None:
        """Writes all rows so far."""
        lines: dict[int, dict[str, Any]] = {}
        for row in rows:
            lines.setdefault(row.step, {_STEP: row.step}).update(row.values)
        self._columns = list(dict.fromkeys([_STEP, *(name for line in lines.values() for name in line)]))
        self._write_all(list(lines.values()))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes the line of a step; what was written of the same step before stays in it."""
        if self._file is None:
            raise RuntimeError("a logger's `begin` must be called before its first row")
        is_same = self._line.get(_STEP) == step
        line = {**(self._line if is_same else {_STEP: step}), **values}
        new = [name for name in values if name not in self._columns]
        if new:
            before = self._lines()
            self._columns += new
            self._write_all([*(before[:-1] if is_same else before), line])
            return
        self._start = self._file.seek(self._start) if is_same else self._file.tell()
        self._file.truncate()
        self._file.write(self._text([line]))
        self._file.flush()
        self._line = line

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Ignored: this is a file of numbers."""

    def video(self, step: int, name: str, path: Path) -> None:
        """Ignored."""

    def finish(self) -> None:
        """Ignored: the file is complete after each row."""

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()

    def _lines(self) -> list[dict[str, Any]]:
        with self._path.open(encoding="utf-8", newline="") as file:
            return [dict(line) for line in csv.DictReader(file)]

    def _write_all(self, lines: Sequence[dict[str, Any]]) -> None:
        self.close()
        text = self._text([{name: name for name in self._columns}, *lines[:-1]])
        self._line, last = (lines[-1], self._text(lines[-1:])) if lines else ({}, b"")
        self._start = len(text)
        write_atomically(self._path, lambda file: file.write(text + last))
        self._file = self._path.open("r+b")
        self._file.seek(0, io.SEEK_END)

    def _text(self, lines: Iterable[Mapping[str, Any]]) -> bytes:
        text = io.StringIO()
        csv.DictWriter(text, self._columns, lineterminator="\n").writerows(lines)
        return text.getvalue().encode()
