"""Which kind of file a video becomes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlrun.errors import UserError
from rlrun.pictures.gif import LEAST_SECONDS, write_gif
from rlrun.pictures.mp4 import require_mp4, write_mp4

KINDS = (".gif", ".mp4")
MOST_PIXELS = {".gif": 400_000_000, ".mp4": 4_000_000_000}  # a GIF is assembled in memory, a byte per pixel
_LEAST_SECONDS = {".gif": LEAST_SECONDS, ".mp4": 0.001}  # of a frame


def require_writable(path: Path) -> None:
    """Makes sure, before anything is played, that a video can be written to `path`.

    Raises:
        UserError: if its kind is unknown, what it needs is not installed, or its directory does not exist.
    """
    if path.suffix.lower() not in KINDS:
        raise UserError(f"--out {path}: the name must end in {' or '.join(KINDS)}")
    if not path.parent.is_dir():
        raise UserError(f"--out {path}: {path.parent} is not a directory")
    if path.suffix.lower() == ".mp4":
        require_mp4()


def most_pixels(path: Path) -> int:
    """Of all frames of a video together."""
    return MOST_PIXELS[path.suffix.lower()]


def seconds_per_frame(path: Path, frames_per_second: float) -> float:
    """How long a frame is shown; GIF counts hundredths, and viewers play shorter frames than 0.02 s slowly."""
    exact = 1 / frames_per_second
    return max(round(exact, 2) if path.suffix.lower() == ".gif" else exact, _LEAST_SECONDS[path.suffix.lower()])


def write_video(path: Path, frames: Sequence[NDArray[np.uint8]], frames_per_second: float) -> None:
    """Writes frames uint8 [h, w, 3] of one size as a GIF or an MP4, by the name; whole or not at all.

    Raises:
        UserError: if it cannot be written.
    """
    write = write_gif if path.suffix.lower() == ".gif" else write_mp4
    try:
        write(path, frames, seconds_per_frame(path, frames_per_second))
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
