"""Where numbers go: `metrics.jsonl` and `timings.jsonl` always, TensorBoard unless switched off."""

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

if TYPE_CHECKING:
    from rlrun.runs.event_file import EventFile

TIMING_PREFIX = "time/"
_LOG = logging.getLogger(__name__)
CLOCK = "unix_time"  # seconds since 1970; in rows of timings
_METRICS, _TIMINGS = "metrics.jsonl", "timings.jsonl"


class Logger(Protocol):
    """Takes one row of scalars at a time."""

    def begin(self, step: int) -> None:
        """Rows come from now on. A run that is resumed goes on from `step`: what was written later comes again."""
        ...

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Records `values` at agent step `step`."""
        ...

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Records a picture, RGB [h, w, 3], where pictures can be looked at."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """How far the files of a run's numbers were written: their first so many bytes, with this digest, by file name."""

    files: Mapping[str, tuple[int, str]]

    def check(self, directory: Path, unneeded: Collection[str] = ()) -> None:
        """Makes sure that those bytes are still there, but for what a clock measured: nothing depends on that.

        Args:
            directory: of the run.
            unneeded: names of other files on which nothing depends; whoever writes them looks after them.

        Raises:
            UserError: if they are not.
        """
        for name in self.files:
            if name not in (_TIMINGS, *unneeded) and not self.intact(directory / name):
                raise UserError(f"{directory / name} is not what this run wrote: rows are missing, damaged or edited")

    def intact(self, path: Path) -> bool:
        """Whether the file still begins as it was written."""
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

    What was measured by a clock goes into a file of its own, so that the other one is the same, byte for byte, whenever
    the same run is repeated, and however often it was interrupted.

    Args:
        directory: where `metrics.jsonl` and `timings.jsonl` are.
        written: how far they were written when the checkpoint was made that is gone on from: what comes after is
            dropped, for the run is about to write it again. None starts afresh.
    """

    def __init__(self, directory: Path, written: Written | None) -> None:
        self._directory, self._resumed = directory, written
        self._files: dict[str, _LineFile] = {}

    def begin(self, step: int) -> None:
        """Opens both files."""
        del step  # how far they were written says more
        timings = self._directory / _TIMINGS
        self._files[_METRICS] = _LineFile(self._directory / _METRICS, self._resumed)
        self._files[_TIMINGS] = _LineFile(timings, _unless_spoiled(timings, self._resumed))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends a row to each file that has something to say."""
        measured = {key: value for key, value in values.items() if key.startswith(TIMING_PREFIX)}
        computed = {key: value for key, value in values.items() if key not in measured}
        if computed:
            self._files[_METRICS].append({"step": step, **computed})
        if measured:
            self._files[_TIMINGS].append({"step": step, **measured, CLOCK: time()})

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Keeps no pictures: these are files of numbers."""

    def written(self) -> Written:
        """How far the files are written; up to there they are safe on disk."""
        return Written({name: file.written() for name, file in self._files.items()})

    def close(self) -> None:
        """Closes both files, even if what is left cannot be written."""
        with ExitStack() as stack:
            for file in self._files.values():
                stack.callback(file.close)


def _unless_spoiled(path: Path, written: Written | None) -> Written | None:
    """`written`; or None if the file is not what was written: it is set aside, and begins anew."""
    if written is None or written.intact(path):
        return written
    _LOG.warning(f"{path} is not what this run wrote: it begins anew, and the old one is set aside")
    if path.exists():
        path.replace(path.with_name(path.name + ".damaged"))
    return None


class _LineFile:
    """A file of lines that knows the digest of what it holds."""

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
    """The whole rows of a metrics file; a last line that was cut off by a crash is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


class TensorBoard:
    """Scalars and pictures for `tensorboard --logdir runs`.

    A run that is resumed begins a new event file from `metrics.jsonl` and `timings.jsonl`, and removes the old one,
    which may know of steps that are about to come again.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: EventFile | None = None

    def begin(self, step: int) -> None:
        """Opens the file."""
        from rlrun.runs.event_file import EventFile  # TensorBoard takes a while to import, so only when wanted

        del step  # the rows say it themselves
        for old in self._directory.glob("events.out.tfevents.*"):
            old.unlink()
        self._file = EventFile(self._directory)
        timings = read_rows(self._directory / _TIMINGS)
        clock = {row["step"]: row[CLOCK] for row in timings if CLOCK in row}
        for row in sorted([*read_rows(self._directory / _METRICS), *timings], key=itemgetter("step")):
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
            raise RuntimeError("a logger's `begin` comes before its first row")
        return self._file


class Silent:
    """Keeps nothing beyond the files that every run has (`logger=none`)."""

    def __init__(self, directory: Path) -> None:
        del directory

    def begin(self, step: int) -> None:
        """Does nothing, on purpose."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Does nothing, on purpose."""

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Does nothing, on purpose."""

    def close(self) -> None:
        """Does nothing, on purpose."""


class Several:
    """Passes every row on to each of its loggers."""

    def __init__(self, loggers: list[Logger]) -> None:
        self._loggers = loggers

    def begin(self, step: int) -> None:
        """Begins with all."""
        for logger in self._loggers:
            logger.begin(step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes to all."""
        for logger in self._loggers:
            logger.write(step, values)

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Hands it to all."""
        for logger in self._loggers:
            logger.image(step, name, image)

    def close(self) -> None:
        """Closes all, even if one of them cannot be."""
        with ExitStack() as stack:
            for logger in self._loggers:
                stack.callback(logger.close)
