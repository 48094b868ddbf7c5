"""Videos as animated GIFs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rlrun.files import write_atomically

_LAST_SECONDS = 2.0
LEAST_SECONDS = 0.02  # viewers play shorter frames slowly; GIF counts hundredths
_PALETTE_FRAMES, _COLOURS = 8, 255
_UNKNOWN = 255  # no colour of a palette has this number


def write_gif(path: Path, frames: Sequence[NDArray[np.uint8]], seconds_per_frame: float) -> None:
    """Writes a GIF that loops and holds its last frame for 2 s; the file is written whole or not at all.

    All frames share one palette of 255 colours without dithering, so letters stay sharp; background and cells keep
    their exact colours. Equal consecutive frames become one longer frame.

    Args:
        path: of the GIF.
        frames: uint8 [h, w, 3] each, of one size.
        seconds_per_frame: at least 0.02.

    Raises:
        ValueError: if there is no frame, sizes differ, or frames are too short.
    """
    shapes = {frame.shape for frame in frames}
    if len(shapes) != 1:
        raise ValueError(f"all frames must have one size, not {sorted(shapes)}")
    if not seconds_per_frame >= LEAST_SECONDS:
        raise ValueError(f"a frame must last at least {LEAST_SECONDS} s, not {seconds_per_frame}")
    index = _Index(_palette(frames))
    images = (index.image(frame) for frame in frames)  # one at a time: long videos are large
    durations = [round(seconds_per_frame * 1000)] * (len(frames) - 1) + [round(_LAST_SECONDS * 1000)]
    options = {"save_all": True, "append_images": images, "duration": durations, "loop": 0, "optimize": False}
    write_atomically(path, lambda file: next(images).save(file, "GIF", **options))


def _palette(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """[<= 255, 3]: colours of the first frame, the last, and some between; the most common exactly, others nearly."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, _PALETTE_FRAMES).round().astype(int))
    pixels = np.concatenate([frames[index].reshape(-1, 3) for index in chosen])
    codes, inverse, counts = np.unique(_packed(pixels), return_inverse=True, return_counts=True)
    by_count = np.argsort(-counts, kind="stable")
    exact = len(codes) if len(codes) <= _COLOURS else _COLOURS // 2
    colours = _unpacked(codes[by_count[:exact]])
    if exact == len(codes):
        return colours
    rare = np.ones(len(codes), bool)
    rare[by_count[:exact]] = False
    others = Image.fromarray(pixels[rare[inverse]][None])
    near = others.quantize(_COLOURS - exact, method=Image.Quantize.MEDIANCUT).getpalette() or []
    return np.concatenate([colours, np.array(near[: 3 * (_COLOURS - exact)], np.uint8).reshape(-1, 3)])


class _Index:
    """Finds the nearest colour of a palette, once per colour (Pillow's own search ignores the last two bits)."""

    def __init__(self, palette: NDArray[np.uint8]) -> None:
        self._palette = palette
        self._nearest = np.full(1 << 24, _UNKNOWN, np.uint8)  # by packed colour

    def image(self, frame: NDArray[np.uint8]) -> Image.Image:
        """The frame in the colours of the palette."""
        codes = _packed(frame.reshape(-1, 3))
        found = self._nearest[codes]
        new = np.unique(codes[found == _UNKNOWN])
        if new.size:
            wanted, offered = _unpacked(new).astype(np.int32), self._palette.astype(np.int32)
            distance = sum((wanted[:, None, channel] - offered[None, :, channel]) ** 2 for channel in range(3))
            self._nearest[new] = np.asarray(distance).argmin(axis=1)
            found = self._nearest[codes]
        image = Image.fromarray(found.reshape(frame.shape[:2]))
        image.putpalette(self._palette.reshape(-1).tolist())
        return image


def _packed(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """[N, 3] as one number each, which sorts faster."""
    wide = pixels.astype(np.uint32)
    return (wide[:, 0] << 16 | wide[:, 1] << 8 | wide[:, 2]).astype(np.uint32)


def _unpacked(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    return np.stack([codes >> shift & 255 for shift in (16, 8, 0)], axis=1).astype(np.uint8)
