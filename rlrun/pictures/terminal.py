"""Pictures in a terminal: a cell shows two pixels, one above the other, by the character of an upper half block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.color import Color
from rich.segment import Segment
from rich.style import Style

_UPPER_HALF = "▀"
_SHADES = " .:-=+*#%@"  # from dark to light


def fitted(picture: NDArray[np.uint8], columns: int, rows: int) -> NDArray[np.uint8]:
    """The picture [h, w, 3] scaled to fit in cells of two pixels, its proportions kept: [even, <= columns, 3]."""
    height, width = picture.shape[:2]
    scale = min(columns / width, 2 * rows / height)
    size = (max(1, round(width * scale)), max(2, 2 * round(height * scale / 2)))
    kind = Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(picture).resize(size, kind), np.uint8)


def in_cells(picture: NDArray[np.uint8], *, coloured: bool) -> Iterator[list[Segment]]:
    """A line of segments for every two rows of pixels of a picture [even, w, 3].

    Where the terminal has fewer colours, rich shows the nearest ones; where it has none, characters are light or dark.
    """
    if not coloured:
        grey = picture.astype(np.float64).mean(axis=2).reshape(-1, 2, picture.shape[1]).mean(axis=1)
        for row in (grey / 256 * len(_SHADES)).astype(int):
            yield [Segment("".join(_SHADES[shade] for shade in row))]
        return
    for upper, lower in zip(picture[::2].tolist(), picture[1::2].tolist(), strict=True):
        line: list[Segment] = []
        before, count = (upper[0], lower[0]), 0
        for pair in [*zip(upper, lower, strict=True), None]:
            if pair != before:
                line.append(Segment(_UPPER_HALF * count, _style(*before)))
                before, count = pair or before, 0
            count += 1
        yield line


def _style(upper: list[int], lower: list[int]) -> Style:
    return Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower))
