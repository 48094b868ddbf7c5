"""Loggers: `metrics.jsonl` and `timings.jsonl` always, TensorBoard unless switched off."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rlrun.errors import UserError
from rlrun.runs.rows import METRICS, TIMINGS

if TYPE_CHECKING:
    from rlrun.runs.event_file import EventFile

TIMING_PREFIX = "time/"
_LOG = logging.getLogger(__name__)
CLOCK = "unix_time"  # seconds since 1970; in rows of timings


class Logger(Protocol):
    """Takes one row of scalars at a time."""

    def begin(self, step: int) -> None:
        """Called before the first row. A resumed run starts at `step`: later rows will be written again."""
        ...

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Records `values` at agent step `step`."""
        ...

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Records a picture, RGB [h, w, 3], if the logger takes pictures."""
        ...

    def close(self) -> None:
        """Called after the last row."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """How far a run's files were written: by file name, a number of bytes and their digest."""

    files: Mapping[str, tuple[int, str]]

    def check(self, directory: Path, unneeded: Collection[str] = ()) -> None:
        """Makes sure that those bytes are still there, except in `timings.jsonl`, on which nothing depends.

        Args:
            directory: of the run.
            unneeded: names of other files on which nothing depends.

        Raises:
            UserError: if they are missing or changed.
        """
        for name in self.files:
            if name not in (TIMINGS, *unneeded) and not self.intact(directory / name):
                raise UserError(f"{directory / name} is not what this run wrote: rows are missing, damaged or edited")

    def intact(self, path: Path) -> bool:
        """Whether the file still begins with what was written."""
        count, digest = self.files[path.name]
        data = _first_bytes(path, count)
        return len(data) == count and hashlib.blake2b(data, digest_size=16).hexdigest() == digest


def _first_bytes(path: Path, count: int) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(count)


class JsonLines:
    """One JSON object per row.

    Timings go into a file of their own, so that the other one is the same, byte for byte, whenever the same run is
    repeated, however often it was interrupted.

    Args:
        directory: where `metrics.jsonl` and `timings.jsonl` are.
        written: how far they were written at the checkpoint that is resumed from: later rows are dropped, since the run
            will write them again. None starts new files.
    """

    def __init__(self, directory: Path, written: Written | None) -> None:
        self._directory, self._resumed = directory, written
        self._files: dict[str, _LineFile] = {}

    def begin(self, step: int) -> None:
        """Opens both files."""
        del step  # `written` is more precise
        timings = self._directory / TIMINGS
        self._files[METRICS] = _LineFile(self._directory / METRICS, self._resumed)
        self._files[TIMINGS] = _LineFile(timings, _if_intact(timings, self._resumed))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends a row to each file that has values in it."""
        measured = {key: value for key, value in values.items() if key.startswith(TIMING_PREFIX)}
        computed = {key: value for key, value in values.items() if key not in measured}
        if computed:
            self._files[METRICS].append({"step": step, **computed})
        if measured:
            self._files[TIMINGS].append({"step": step, **measured, CLOCK: time()})

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Ignored: these are files of numbers."""

    def written(self) -> Written:
        """How much of the files is safely on disk."""
        return Written({name: file.written() for name, file in self._files.items()})

    def close(self) -> None:
        """Closes both files, even if the last bytes cannot be written."""
        with ExitStack() as stack:
            for file in self._files.values():
                stack.callback(file.close)


def _if_intact(path: Path, written: Written | None) -> Written | None:
    """`written`; or None if the file is not what was written: then it is set aside and started over."""
    if written is None or written.intact(path):
        return written
    _LOG.warning(f"{path} is not what this run wrote: it is set aside, and a new one is started")
    if path.exists():
        path.replace(path.with_name(path.name + ".damaged"))
    return None


class _LineFile:
    """A file of lines, and the digest of its content."""

    def __init__(self, path: Path, written: Written | None) -> None:
        count = written.files[path.name][0] if written is not None else 0
        data = _first_bytes(path, count)
        self._digest = hashlib.blake2b(data, digest_size=16)
        self._count = count
        self._file = path.open("r+b" if path.exists() else "wb")
        self._file.truncate(count)
        self._file.seek(count)

    def append(self, row: Mapping[str, float]) -> None:
        line = (json.dumps(row) + "\n").encode()
        self._file.write(line)
        self._file.flush()
        self._digest.update(line)
        self._count += len(line)

    def written(self) -> tuple[int, str]:
        os.fsync(self._file.fileno())
        return self._count, self._digest.hexdigest()

    def close(self) -> None:
        self._file.close()


def read_rows(path: Path) -> list[dict[str, float]]:
    """The complete rows of a metrics file; a last line cut off by a crash is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


class TensorBoard:
    """Scalars and pictures for `tensorboard --logdir runs`.

    A resumed run writes a new event file from `metrics.jsonl` and `timings.jsonl`, and removes the old one, which may
    contain steps that will come again.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: EventFile | None = None

    def begin(self, step: int) -> None:
        """Opens the file."""
        from rlrun.runs.event_file import EventFile  # slow to import, so only when used

        del step  # each row has its own
        for old in self._directory.glob("events.out.tfevents.*"):
            old.unlink()
        self._file = EventFile(self._directory)
        timings = read_rows(self._directory / TIMINGS)
        clock = {row["step"]: row[CLOCK] for row in timings if CLOCK in row}
        for row in sorted([*read_rows(self._directory / METRICS), *timings], key=itemgetter("step")):
            self._add(row, clock.get(row["step"]))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds one scalar per value."""
        self._add({"step": step, **values}, None)

    def _add(self, row: Mapping[str, float], clock: float | None) -> None:
        values = {key: value for key, value in row.items() if key not in ("step", CLOCK)}
        self._begun.scalars(int(row["step"]), values, clock)

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Adds one picture."""
        self._begun.image(step, name, image)

    def close(self) -> None:
        """Closes the event file."""
        if self._file is not None:
            self._file.close()

    @property
    def _begun(self) -> EventFile:
        if self._file is None:
            raise RuntimeError("a logger's `begin` must be called before its first row")
        return self._file


class NullLogger:
    """Adds nothing to the files that every run has (`logger=none`)."""

    def __init__(self, directory: Path) -> None:
        del directory

    def begin(self, step: int) -> None:
        """Ignored."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Ignored."""

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Ignored."""

    def close(self) -> None:
        """Ignored."""


class MultiLogger:
    """Passes every row to each of its loggers."""

    def __init__(self, loggers: list[Logger]) -> None:
        self._loggers = loggers

    def begin(self, step: int) -> None:
        """Begins all."""
        for logger in self._loggers:
            logger.begin(step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes to all."""
        for logger in self._loggers:
            logger.write(step, values)

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Passes it to all."""
        for logger in self._loggers:
            logger.image(step, name, image)

    def close(self) -> None:
        """Closes all, even if one of them fails."""
        with ExitStack() as stack:
            for logger in self._loggers:
                stack.callback(logger.close)
