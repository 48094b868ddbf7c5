"""Pictures and videos in TensorBoard's files, not larger than a browser can use."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

MOST_PIXELS = 2048  # a side
MOST_BYTES = 1 << 21  # a video
_SMALLER = 0.7  # a side and the number of frames, each time


def bounded_png(image: NDArray[np.uint8], most_pixels: int = MOST_PIXELS) -> tuple[bytes, int, int]:
    """A picture, RGB [h, w, 3], as PNG: the file, its width and its height, at most `most_pixels` each."""
    picture = Image.fromarray(image)
    picture.thumbnail((most_pixels, most_pixels))
    png = io.BytesIO()
    picture.save(png, "PNG")
    return png.getvalue(), picture.width, picture.height


def bounded_gif(path: Path, most_bytes: int = MOST_BYTES) -> tuple[bytes, int, int]:
    """An animated GIF of at most `most_bytes`: the file, its width and its height.

    Where `path` is larger it loses pixels and frames, and keeps its duration.
    """
    data = path.read_bytes()
    with Image.open(path) as video:
        width, height = video.size
        if len(data) <= most_bytes:
            return data, width, height
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(video)]
        durations = [float(frame.info.get("duration", 0)) for frame in ImageSequence.Iterator(video)]
    share, shown = 1.0, list(range(len(frames)))
    while len(data) > most_bytes and (width, height, len(shown)) != (1, 1, 1):
        share *= _SMALLER
        width, height = (max(1, round(side * share)) for side in frames[0].size)
        shown = np.linspace(0, len(frames), max(1, round(len(frames) * share)), endpoint=False).astype(int).tolist()
        lasting = [sum(durations[begin:end]) for begin, end in pairwise([*shown, len(frames)])]
        data = _gif([frames[index].resize((width, height)) for index in shown], lasting)
    return data, width, height


def _gif(frames: list[Image.Image], durations: list[float]) -> bytes:
    file = io.BytesIO()
    first, *others = frames
    first.save(file, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    return file.getvalue()
