"""Videos as MP4 (H.264), by PyAV, an extra."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rlrun.errors import UserError
from rlrun.files import write_atomically

_LAST_SECONDS = 2.0
_QUALITY = "18"  # x264's CRF; letters stay sharp


def require_mp4() -> Any:
    """The library.

    Raises:
        UserError: if it is not installed.
    """
    try:
        return import_module("av")
    except ImportError as error:
        raise UserError("MP4 videos need an extra: pip install 'rlrun[video]'; GIFs need nothing") from error


def write_mp4(path: Path, frames: Sequence[NDArray[np.uint8]], seconds_per_frame: float) -> None:
    """Writes an MP4 that holds its last frame for 2 s; the file is written whole or not at all.

    Equal frames give equal bytes.

    Args:
        path: of the MP4.
        frames: uint8 [h, w, 3] each, of one size.
        seconds_per_frame: how long each is shown.

    Raises:
        UserError: if the library is missing.
        ValueError: if there is no frame, or sizes differ.
    """
    shapes = {frame.shape for frame in frames}
    if len(shapes) != 1:
        raise ValueError(f"all frames must have one size, not {sorted(shapes)}")
    av = require_mp4()
    ((height, width, _),) = shapes
    rate = Fraction(1 / seconds_per_frame).limit_denominator(1000)
    held = max(0, round(_LAST_SECONDS / seconds_per_frame) - 1)

    def write(file: BinaryIO) -> None:
        with av.open(file, "w", format="mp4") as container:
            options = {"crf": _QUALITY, "threads": "1"}  # one thread: the same bytes on every machine
            stream = container.add_stream("libx264", rate=rate, options=options)
            stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
            for number in range(len(frames) + held):
                picture = frames[min(number, len(frames) - 1)]
                even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
                container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
            container.mux(stream.encode())

    write_atomically(path, write)
