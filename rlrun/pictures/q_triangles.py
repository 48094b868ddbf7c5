"""Action values as four triangles in each cell, one on the side to which the action leads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rlrun.pictures.cells import LEAST_ARROWED, Raster, border_ends, finish, hatch, key_of
from rlrun.pictures.colours import END, RGB, UNKNOWN, Scale, ink_on
from rlrun.pictures.digits import best_actions
from rlrun.pictures.heat_map import fitting
from rlrun.pictures.sheet import font, on_paper, text_width
from rlrun.types import BoolArray, Float64Array, GridLayout, Int64Array

CELL_PIXELS = 96  # four numbers need more room than one
_SIDES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # north, east, south, west
# Corners of the triangle on each side, as (x, y) in cells, the middle last.
_CORNERS = (
    ((0.0, 0.0), (1.0, 0.0), (0.5, 0.5)),
    ((1.0, 0.0), (1.0, 1.0), (0.5, 0.5)),
    ((1.0, 1.0), (0.0, 1.0), (0.5, 0.5)),
    ((0.0, 1.0), (0.0, 0.0), (0.5, 0.5)),
)
_TEXT = ((0.5, 0.16, "mm"), (0.93, 0.5, "rm"), (0.5, 0.84, "mm"), (0.07, 0.5, "lm"))


def draw_q(
    layout: GridLayout,
    q: Float64Array,
    legal: BoolArray,
    title: str,
    *,
    limits: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """Every cell cut into four triangles, each coloured and labelled by its action's value, the best ones outlined.

    Cells are 96 pixels a side and shrink for grids of more than 13 rows or columns. Illegal actions are plain grey.

    Args:
        layout: how the S states lie; its moves must be the four unit moves, in any order.
        q: [S, 4].
        legal: [S, 4].
        title: written above.
        limits: the least and greatest value of the colours; None: those of the legal actions.

    Returns:
        Uint8 [h, w, 3], at most about 1,400 pixels a side.

    Raises:
        ValueError: if the moves are others, or an array does not fit the layout.
    """
    if sorted(layout.moves) != sorted(_SIDES):
        raise ValueError(
            "Q is drawn as triangles only for four actions that move one cell north, east, south and west; "
            f"these move {', '.join(map(str, layout.moves))} (rows, columns)"
        )
    height, width = layout.shape
    if q.shape != (height * width, 4) or legal.shape != q.shape:
        raise ValueError(f"Q is {q.shape} and legal {legal.shape}; both must be ({height * width}, 4)")
    order = [layout.moves.index(side) for side in _SIDES]
    playable = legal & ~(layout.wall | layout.terminal).reshape(-1, 1)
    sides, able = q[:, order], playable[:, order]  # [S, 4] by side
    scale = Scale.of(sides[able], limits)
    raster = Raster.of((height, width), CELL_PIXELS)
    side = _side_of_pixels(raster)
    state = raster.rows[:, None] * width + raster.columns
    if raster.cell < 4:  # too small for triangles: the value of the best action
        side = np.where(able, np.nan_to_num(sides, nan=-np.inf), -np.inf).argmax(axis=1)[state]
    colours = scale.colours(sides)
    colours[~able] = END
    picture = colours[state, side]
    hatch(picture, (able & ~np.isfinite(sides))[state, side])
    picture = finish(picture, raster, layout)
    if raster.cell >= LEAST_ARROWED:
        image = Image.fromarray(picture)
        draw = ImageDraw.Draw(image)
        border_ends(draw, raster, layout)
        best = best_actions(sides, able)
        for cell, way in np.argwhere(able):
            row, column = divmod(int(cell), width)
            _draw_edges(draw, raster, row, column, int(way), ink_on(colours[cell, way]), bool(best[cell, way]))
        _draw_numbers(draw, raster, width, sides, able, colours)
        picture = np.asarray(image, np.uint8)
    return on_paper(picture, title, scale, key_of(layout, bool((~np.isfinite(sides[able])).any())))


def _side_of_pixels(raster: Raster) -> Int64Array:
    """[h, w]: in which triangle of its cell each pixel lies."""
    y, x = (
        (np.arange(len(index)) - np.searchsorted(index, index) + 0.5) / np.bincount(index)[index]
        for index in (raster.rows, raster.columns)
    )
    above, before = y[:, None] < x[None], y[:, None] < 1.0 - x[None]
    return np.where(above, np.where(before, 0, 1), np.where(before, 3, 2)).astype(np.int64)


def _draw_edges(
    draw: ImageDraw.ImageDraw, raster: Raster, row: int, column: int, way: int, ink: RGB, best: bool
) -> None:
    """A hairline round each triangle, and a bold line inside it where the action is a best one."""
    left, top = column * raster.cell, row * raster.cell
    corners = [(left + x * raster.cell, top + y * raster.cell) for x, y in _CORNERS[way]]
    draw.line([corners[0], corners[2], corners[1]], fill=(150, 150, 150))
    if best:
        width = 2 if raster.cell >= 40 else 1
        inset = 0.07 if raster.cell >= 40 else 0.14
        centre = (sum(x for x, _ in corners) / 3, sum(y for _, y in corners) / 3)
        inner = [(x + (centre[0] - x) * 3 * inset, y + (centre[1] - y) * 3 * inset) for x, y in corners]
        draw.line([*inner, inner[0], inner[1]], fill=ink, width=width, joint="curve")


def _draw_numbers(
    draw: ImageDraw.ImageDraw,
    raster: Raster,
    columns: int,
    sides: Float64Array,
    able: BoolArray,
    colours: NDArray[np.uint8],
) -> None:
    fit = fitting(sides[able], 0.29 * raster.cell, round(0.15 * raster.cell)) if raster.cell >= 40 else None
    if fit is None:
        return
    size, texts = fit
    for (state, way), text in zip(np.argwhere(able), texts, strict=True):
        row, column = divmod(int(state), columns)
        x, y, anchor = _TEXT[way]
        place = ((column + x) * raster.cell, (row + y) * raster.cell)
        if not np.isfinite(sides[state, way]):
            middle = place[0] + {"m": 0.0, "r": -0.5, "l": 0.5}[anchor[0]] * text_width(text, size)
            half = text_width(text, size) / 2 + 1
            draw.rectangle((middle - half, place[1] - size / 2, middle + half, place[1] + size / 2), UNKNOWN)
        draw.text(place, text, fill=ink_on(colours[state, way]), font=font(size), anchor=anchor)
