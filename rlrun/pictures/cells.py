"""A grid of cells as pixels: how large a cell is, and what every kind of cell looks like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from rlrun.pictures.colours import END, END_BORDER, HATCH, LINE, RGB, UNKNOWN, WALL
from rlrun.types import BoolArray, GridLayout, Int64Array

LONGEST_SIDE = 1300  # pixels of the grid itself; with the paper round it about 1,400
LEAST_NUMBERED, LEAST_ARROWED = 28, 12  # pixels a side that a cell needs for a number, and for arrows
_LEAST_LINED = 8
_LEAST_THICK = 12  # a grid of one row is drawn at least so high


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """Which cell each pixel shows."""

    cell: int  # pixels a side; 0 where several cells share a pixel
    rows: Int64Array  # [h]
    columns: Int64Array  # [w]

    @staticmethod
    def of(shape: tuple[int, int], preferred: int) -> Raster:
        """Cells of `preferred` pixels, or smaller ones where the grid would grow longer than `LONGEST_SIDE`."""
        cell = min(preferred, LONGEST_SIDE // max(shape))
        shrink = 1.0 if cell else LONGEST_SIDE / max(shape)
        pixels = [size * cell if cell else max(1, round(size * shrink)) for size in shape]
        if cell < LEAST_ARROWED:
            pixels = [max(count, _LEAST_THICK) for count in pixels]
        rows, columns = (np.arange(count) * size // count for count, size in zip(pixels, shape, strict=True))
        return Raster(cell, rows, columns)

    def spread(self, cells: NDArray[np.generic]) -> NDArray[np.generic]:
        """What belongs to cells [H, W, ...], for each pixel [h, w, ...]."""
        return cells[self.rows][:, self.columns]

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of a cell, its lines left out."""
        left, top = column * self.cell, row * self.cell
        return left + 1, top + 1, left + self.cell - 1, top + self.cell - 1


def hatch(picture: NDArray[np.uint8], where: BoolArray) -> None:
    """Draws slanted lines over the pixels `where` [h, w]."""
    height, width = where.shape
    slanted = (np.arange(height)[:, None] + np.arange(width)[None]) % 7 < 2
    picture[where & slanted] = HATCH


def finish(picture: NDArray[np.uint8], raster: Raster, layout: GridLayout) -> NDArray[np.uint8]:
    """Paints walls and terminal cells over the picture and rules lines between cells that are large enough."""
    terminal = layout.terminal & ~layout.wall
    picture[raster.spread(terminal).astype(bool)] = END if raster.cell >= LEAST_ARROWED else END_BORDER
    picture[raster.spread(layout.wall).astype(bool)] = WALL
    if raster.cell < _LEAST_LINED:
        return picture
    picture = np.pad(picture, ((0, 1), (0, 1), (0, 0)), mode="edge")
    picture[:: raster.cell] = LINE
    picture[:, :: raster.cell] = LINE
    return picture


def border_ends(draw: ImageDraw.ImageDraw, raster: Raster, layout: GridLayout) -> None:
    """Marks terminal cells by a frame of their own."""
    width = max(1, raster.cell // 20)
    for row, column in np.argwhere(layout.terminal & ~layout.wall):
        draw.rectangle(raster.box(int(row), int(column)), outline=END_BORDER, width=width)


def key_of(layout: GridLayout, unknown: bool) -> list[tuple[str, RGB]]:
    """What the legend must explain beside the colours of values."""
    key: list[tuple[str, RGB]] = []
    if layout.wall.any():
        key.append(("wall", WALL))
    if (layout.terminal & ~layout.wall).any():
        key.append(("end", END_BORDER))
    if unknown:
        key.append(("not finite", UNKNOWN))
    return key
