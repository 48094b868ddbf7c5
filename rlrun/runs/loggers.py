"""Where the numbers of a run go: `metrics.jsonl` and `timings.jsonl` always, and the loggers that are chosen."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from time import time
from typing import NamedTuple, Protocol
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from rlrun.errors import UserError
from rlrun.files import disk_errors_as_user_errors, write_atomically
from rlrun.runs.rows import METRICS, TIMINGS

TIMING_PREFIX = "time/"
_LOG = logging.getLogger(__name__)
Hyperparameter = bool | int | float | str
CLOCK = "unix_time"  # seconds since 1970; in rows of timings


class Row(NamedTuple):
    """Scalars that were logged together."""

    step: int  # agent step
    values: Mapping[str, float]
    unix_time: float | None  # seconds since 1970; None where no timing was logged at this step


class Logger(Protocol):
    """Takes one row of scalars at a time, besides the files that every run has.

    Whatever a method but `begin` raises switches the logger off with a warning, and the run continues without it.
    """

    def begin(self, rows: Sequence[Row]) -> None:
        """Called once, when training begins.

        Args:
            rows: all that the run has logged so far. A run that was killed wrote later ones, which come again: what a
                logger kept of them must not stand there twice.

        Raises:
            UserError: if it cannot log.
        """
        ...

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Records `values` at agent step `step`."""
        ...

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Records a picture, RGB [h, w, 3], if the logger takes pictures."""
        ...

    def video(self, step: int, name: str, path: Path) -> None:
        """Records an animated GIF, if the logger takes videos."""
        ...

    def finish(self) -> None:
        """Called after the last row of a finished run; not where it was interrupted, or failed."""
        ...

    def close(self) -> None:
        """Called at the very end, however the run ended."""
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

    def begin(self) -> None:
        """Opens both files."""
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

    def rows(self) -> list[Row]:
        """What the files hold, by step."""
        timings = read_rows(self._directory / TIMINGS)
        clock = {int(row["step"]): row[CLOCK] for row in timings if CLOCK in row}
        return sorted(
            (_row(row, clock) for row in (*read_rows(self._directory / METRICS), *timings)), key=attrgetter("step")
        )

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


def _row(row: Mapping[str, float], clock: Mapping[int, float]) -> Row:
    step = int(row["step"])
    return Row(step, {key: value for key, value in row.items() if key not in ("step", CLOCK)}, clock.get(step))


def read_rows(path: Path) -> list[dict[str, float]]:
    """The complete rows of a metrics file; a last line cut off by a crash is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


class MultiLogger:
    """Passes everything to each of its loggers. One that fails is switched off: training continues without it.

    The run stops where the disk of its directory is full or failing, since rows and checkpoints would fail next.

    Args:
        loggers: by name, for messages.
        directory: of the run.
    """

    def __init__(self, loggers: Mapping[str, Logger], directory: Path) -> None:
        self._loggers, self._directory = dict(loggers), directory
        self._step = 0  # of the last row
        self._failed: dict[str, int] = {}  # by name: the step from which a logger lacks rows

    def begin(self, rows: Sequence[Row]) -> None:
        """Begins all.

        Raises:
            UserError: if one of them cannot.
        """
        for name, logger in self._loggers.items():
            try:
                with disk_errors_as_user_errors(self._directory):
                    logger.begin(rows)
            except UserError:
                raise
            except Exception as error:
                raise UserError(f"logger={name} cannot begin: {first_line(error)}") from error

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes to all."""
        self._step = step
        self._each(lambda logger: logger.write(step, values))

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Passes it to all."""
        self._each(lambda logger: logger.image(step, name, image))

    def video(self, step: int, name: str, path: Path) -> None:
        """Passes it to all."""
        self._each(lambda logger: logger.video(step, name, path))

    def finish(self) -> None:
        """Tells all."""
        self._each(lambda logger: logger.finish())

    def close(self) -> None:
        """Closes all, also those that failed."""
        for name, step in self._failed.items():
            _LOG.warning(f"logger={name} lacks rows from about step {step:,} on; metrics.jsonl has all of them")
            with suppress(Exception):
                self._loggers[name].close()
        self._each(lambda logger: logger.close())

    def _each(self, call: Callable[[Logger], None]) -> None:
        for name in [name for name in self._loggers if name not in self._failed]:
            try:
                with disk_errors_as_user_errors(self._directory):
                    call(self._loggers[name])
            except UserError:
                raise
            except Exception as error:  # whatever it is: a run is worth more than its curves
                self._failed[name] = self._step
                _LOG.warning(
                    f"logger={name} failed at step {self._step:,} and is switched off: {first_line(error)}; training "
                    "continues, metrics.jsonl has everything, and a run that is resumed hands over what is missing"
                )


def first_line(error: Exception) -> str:
    """The first line of an error, or its type."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def require(package: str, extra: str) -> None:
    """Makes sure that the package of an extra is installed, without importing it.

    Raises:
        UserError: if it is not.
    """
    if find_spec(package) is None:
        raise UserError(f"logger={extra} needs a package that is not installed: pip install 'rlrun[{extra}]'")


def run_name(directory: Path) -> str:
    """What people call the run in `directory`: `cartpole/dqn/4d30b92c53/seed1`."""
    return "/".join(directory.absolute().parts[-4:])


def kept_id(directory: Path) -> str:
    """A random id of the run in `directory`, kept in its file `run_id`: by it others know a run that is resumed."""
    path = directory / "run_id"
    if not path.exists():
        made = uuid4().hex[:12]
        write_atomically(path, lambda file: file.write(f"{made}\n".encode()))
    return path.read_text(encoding="utf-8").strip()
