"""TensorBoard's event files, written by the thread that has the numbers.

`SummaryWriter` writes from a thread of its own: a full disk raises there, where nobody can catch it, and what was
logged before a kill may not be in the file yet. Format, records and checksums are TensorBoard's.
"""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from time import time

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

_RGB = 3  # of Summary.Image: the number of channels


class EventFile:
    """A new event file in `directory`, named as TensorBoard expects.

    Raises:
        OSError: here and in all methods, if it cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        now = time()
        name = f"events.out.tfevents.{int(now)}.{socket.gethostname()}.{os.getpid()}"
        self._file = (directory / name).open("wb")
        self._records = RecordWriter(self._file)
        with ExitStack() as closing:
            closing.callback(self.close)
            self._write(Event(wall_time=now, file_version="brain.Event:2"))
            closing.pop_all()  # it stays open

    def scalars(self, step: int, values: Mapping[str, float], wall_time: float | None = None) -> None:
        """Adds one scalar per value, at `wall_time` in seconds since 1970, or now."""
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._write(Event(step=step, wall_time=time() if wall_time is None else wall_time, summary=summary))

    def image(self, step: int, tag: str, image: NDArray[np.uint8]) -> None:
        """Adds a picture, RGB [h, w, 3]."""
        png = io.BytesIO()
        Image.fromarray(image).save(png, "PNG")
        height, width, _ = image.shape
        picture = Summary.Image(height=height, width=width, colorspace=_RGB, encoded_image_string=png.getvalue())
        summary = Summary(value=[Summary.Value(tag=tag, image=picture)])
        self._write(Event(step=step, wall_time=time(), summary=summary))

    def _write(self, event: Event) -> None:
        self._records.write(event.SerializeToString())
        self._file.flush()

    def close(self) -> None:
        """Closes the file, even if its last bytes cannot be written."""
        self._file.close()
