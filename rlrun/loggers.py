"""Where numbers go: `metrics.jsonl` and `timings.jsonl` always, TensorBoard unless switched off."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

TIMING_PREFIX = "time/"


class Logger(Protocol):
    """Takes one row of scalars at a time."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Records `values` at agent step `step`."""
        ...

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Records a picture, RGB [h, w, 3], where pictures can be looked at."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class JsonLines:
    """One JSON object per row.

    What was measured by a clock goes into a file of its own, so that the other one is the same, byte for byte, whenever
    the same run is repeated.

    Args:
        directory: where `metrics.jsonl` and `timings.jsonl` are.
        resume_step: rows after this step are dropped: the run is about to write them again. 0 starts afresh.
    """

    def __init__(self, directory: Path, resume_step: int) -> None:
        self._metrics = _reopen(directory / "metrics.jsonl", resume_step)
        self._timings = _reopen(directory / "timings.jsonl", resume_step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends a row to each file that has something to say."""
        for file, is_timing in ((self._metrics, False), (self._timings, True)):
            row = {key: value for key, value in values.items() if key.startswith(TIMING_PREFIX) == is_timing}
            if row:
                file.write(json.dumps({"step": step, **row}) + "\n")
                file.flush()

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Keeps no pictures: these are files of numbers."""

    def close(self) -> None:
        """Closes both files."""
        self._metrics.close()
        self._timings.close()


def _reopen(path: Path, resume_step: int) -> TextIO:
    kept = [row for row in read_rows(path) if row["step"] <= resume_step] if resume_step else []
    file = path.open("w", encoding="utf-8")
    for row in kept:
        file.write(json.dumps(row) + "\n")
    file.flush()
    return file


def read_rows(path: Path) -> list[dict[str, float]]:
    """The whole rows of a metrics file; a last line that was cut off by a crash is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


class TensorBoard:
    """Scalars and pictures for `tensorboard --logdir runs`."""

    def __init__(self, directory: Path, resume_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import, so only when wanted

        self._writer = SummaryWriter(str(directory), purge_step=resume_step + 1 if resume_step else None)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds one scalar per value."""
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Adds one picture."""
        self._writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Flushes and closes the event file."""
        self._writer.close()


class Silent:
    """Keeps nothing beyond the files that every run has (`logger=none`)."""

    def __init__(self, directory: Path, resume_step: int) -> None:
        del directory, resume_step

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

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes to all."""
        for logger in self._loggers:
            logger.write(step, values)

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Hands it to all."""
        for logger in self._loggers:
            logger.image(step, name, image)

    def close(self) -> None:
        """Closes all."""
        for logger in self._loggers:
            logger.close()
