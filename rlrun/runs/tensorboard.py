"""A run as TensorBoard shows it: scalars, pictures, videos, and a row of its HParams table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rlrun.runs.loggers import Hyperparameter, Row, run_name

if TYPE_CHECKING:
    from rlrun.runs.event_file import EventFile


class TensorBoard:
    """Scalars, pictures and a row of the HParams table, for `tensorboard --logdir runs`.

    A resumed run writes a new event file from all its rows, and removes the old one, which may contain steps that will
    come again.

    Args:
        directory: of the run.
        hyperparameters: what stands in its row of the HParams table.
    """

    def __init__(self, directory: Path, hyperparameters: Mapping[str, Hyperparameter]) -> None:
        self._directory, self._hyperparameters = directory, hyperparameters
        self._file: EventFile | None = None

    def begin(self, rows: Sequence[Row]) -> None:
        """Opens the file."""
        from rlrun.runs.event_file import EventFile  # slow to import, so only when used

        for old in self._directory.glob("events.out.tfevents.*"):
            old.unlink()
        self._file = EventFile(self._directory)
        place = self._directory.absolute()
        group = f"{run_name(place)} in {Path(*place.parts[:-4])}"  # runs of one name would share a row
        self._file.hyperparameters(group, self._hyperparameters)
        for row in rows:
            self._file.scalars(row.step, row.values, row.unix_time)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds one scalar per value."""
        self._begun.scalars(step, values)

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Adds one picture."""
        self._begun.image(step, name, image)

    def video(self, step: int, name: str, path: Path) -> None:
        """Adds an animated picture."""
        self._begun.video(step, name, path)

    def finish(self) -> None:
        """Marks the run as finished in the HParams table, whose metrics are the last scalars."""
        self._begun.finished()

    def close(self) -> None:
        """Closes the event file."""
        if self._file is not None:
            self._file.close()

    @property
    def _begun(self) -> EventFile:
        if self._file is None:
            raise RuntimeError("a logger's `begin` must be called before its first row")
        return self._file
