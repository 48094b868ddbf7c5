"""TensorBoard's event files, written by the thread that has the numbers.

`SummaryWriter` writes from a thread of its own: a full disk raises there, where nobody can catch it, and what was
logged before a kill may not be in the file yet. Format, records and checksums are TensorBoard's.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from time import time

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
from tensorboard.plugins.hparams.metadata import NULL_TENSOR, SESSION_END_INFO_TAG, create_summary_metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from rlrun.runs.bounded_pictures import bounded_gif, bounded_png
from rlrun.runs.loggers import Hyperparameter

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
        """Adds a picture, RGB [h, w, 3], with fewer pixels where a side has more than 2,048."""
        self._picture(step, tag, *bounded_png(image))

    def video(self, step: int, tag: str, path: Path) -> None:
        """Adds an animated GIF, with fewer pixels and frames where it would take more than 2 MiB."""
        self._picture(step, tag, *bounded_gif(path))

    def _picture(self, step: int, tag: str, data: bytes, width: int, height: int) -> None:
        picture = Summary.Image(height=height, width=width, colorspace=_RGB, encoded_image_string=data)
        self._write(Event(step=step, wall_time=time(), summary=Summary(value=[Summary.Value(tag=tag, image=picture)])))

    def hyperparameters(self, group: str, values: Mapping[str, Hyperparameter]) -> None:
        """Adds a row of the HParams table; runs of one `group` would share a row."""
        self._write(Event(wall_time=time(), summary=hparams_pb(dict(values), trial_id=group)))

    def finished(self) -> None:
        """Marks that row as finished."""
        end = SessionEndInfo(status=STATUS_SUCCESS, end_time_secs=time())
        metadata = create_summary_metadata(HParamsPluginData(session_end_info=end))
        value = Summary.Value(tag=SESSION_END_INFO_TAG, metadata=metadata, tensor=NULL_TENSOR)
        self._write(Event(wall_time=time(), summary=Summary(value=[value])))

    def _write(self, event: Event) -> None:
        self._records.write(event.SerializeToString())
        self._file.flush()

    def close(self) -> None:
        """Closes the file, even if its last bytes cannot be written."""
        self._file.close()
