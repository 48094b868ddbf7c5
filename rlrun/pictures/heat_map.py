"""State values as colours, numbers and arrows, one cell for each state."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rlrun.pictures.cells import (
    LEAST_ARROWED,
    LEAST_NUMBERED,
    Raster,
    border_ends,
    finish,
    hatch,
    key_of,
)
from rlrun.pictures.colours import RGB, UNKNOWN, Scale, ink_on
from rlrun.pictures.digits import SCIENTIFIC, decimals_for, written
from rlrun.pictures.sheet import font, on_paper, text_width
from rlrun.types import Float64Array, GridLayout

CELL_PIXELS = 64
_LEAST_FONT = 9
_LEAST_MARKED = 44  # pixels a side that a cell needs for its letter beside number and arrows
_PLAIN_MARKS = ". #"


def draw_values(
    layout: GridLayout,
    values: Float64Array,
    policy: Float64Array | None,
    title: str,
    *,
    limits: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """A heat map: each cell coloured and labelled by its value, with the policy's arrows.

    Cells are 64 pixels a side and shrink for grids of more than 20 rows or columns. Walls are dark, terminal cells
    grey in a purple frame (all purple where cells are tiny), values that are not finite hatched.

    Args:
        layout: how the S states lie.
        values: [S].
        policy: [S, A] probabilities: every action with a positive one has an arrow, longer where it is likelier. None
            or a row of zeros: no arrows.
        title: written above.
        limits: the least and greatest value of the colours; None: those of the states shown. Give the same ones to
            pictures that are compared, and to the frames of a film.

    Returns:
        Uint8 [h, w, 3], at most about 1,400 pixels a side.

    Raises:
        ValueError: if an array does not fit the layout.
    """
    height, width = layout.shape
    if values.shape != (height * width,):
        raise ValueError(f"values are {values.shape}, and the layout has {height * width} states")
    if policy is not None and policy.shape != (height * width, len(layout.moves)):
        raise ValueError(
            f"the policy is {policy.shape}, and the layout has {height * width} states and {len(layout.moves)} moves"
        )
    grid = values.reshape(height, width)
    shown = grid[~(layout.wall | layout.terminal)]
    scale = Scale.of(shown, limits)
    raster = Raster.of((height, width), CELL_PIXELS)
    colours = scale.colours(grid)
    picture = raster.spread(colours).astype(np.uint8)
    unknown = ~np.isfinite(grid)
    hatch(picture, raster.spread(unknown).astype(bool))
    picture = finish(picture, raster, layout)
    if raster.cell >= LEAST_ARROWED:
        image = Image.fromarray(picture)
        draw = ImageDraw.Draw(image)
        draw.fontmode = "L"
        border_ends(draw, raster, layout)
        colours[layout.terminal] = 226
        numbered = _draw_numbers(draw, raster, layout, grid, colours, policy is not None)
        if policy is not None:
            _draw_arrows(draw, raster, layout, policy, colours, numbered)
        _draw_marks(draw, raster, layout, colours)
        picture = np.asarray(image, np.uint8)
    return on_paper(picture, title, scale, key_of(layout, bool((~np.isfinite(shown)).any())))


def fitting(values: Float64Array, width: float, largest: int) -> tuple[int, list[str]] | None:
    """The size of type, and each value as text at most `width` pixels wide; None: it cannot be done.

    Smaller type, down to four fifths of `largest` pixels, is tried first. Then those values have fewer decimals that
    are too wide, if they are at most half of all; and then all.
    """
    wanted = decimals_for(values)
    sizes = [*range(max(largest, _LEAST_FONT), max(_LEAST_FONT, round(largest * 0.8)) - 1, -1)]
    for decimals in [wanted] if wanted == SCIENTIFIC else [*range(wanted, -1, -1), SCIENTIFIC]:
        # The last try, in the smallest type, is the one that allows for different decimals.
        tries = [(size, 1.0) for size in sizes] + [(_LEAST_FONT if decimals == SCIENTIFIC else sizes[-1], 0.5)]
        for size, share in tries:
            texts = [_as_fits(value, decimals, size, width) for value in values.tolist()]
            as_wanted = sum(text == written(value, decimals) for text, value in zip(texts, values, strict=True))
            if None not in texts and as_wanted >= share * len(texts):
                return size, [text for text in texts if text is not None]
    return None


def _as_fits(value: float, decimals: int, size: int, width: float) -> str | None:
    for fewer in range(decimals, min(decimals, 0) - 1, -1):
        text = written(value, fewer)
        if text_width(text, size) <= width:
            return text
    return None


def _draw_numbers(
    draw: ImageDraw.ImageDraw,
    raster: Raster,
    layout: GridLayout,
    grid: Float64Array,
    colours: NDArray[np.uint8],
    arrows: bool,
) -> bool:
    """Writes the values and says whether there was room."""
    if raster.cell < LEAST_NUMBERED:
        return False
    room = raster.cell * (0.52 if arrows else 0.88)
    fit = fitting(grid[~layout.wall], room, max(_LEAST_FONT, round(raster.cell * 0.235)))
    if fit is None:
        return False
    size, texts = fit
    for (row, column), text in zip(np.argwhere(~layout.wall), texts, strict=True):
        middle = _middle(raster, int(row), int(column))
        if not np.isfinite(grid[row, column]) and not layout.terminal[row, column]:
            half = text_width(text, size) / 2 + 2  # lines behind letters cannot be read
            draw.rectangle((middle[0] - half, middle[1] - size / 2, middle[0] + half, middle[1] + size / 2), UNKNOWN)
        draw.text(middle, text, fill=ink_on(colours[row, column]), font=font(size), anchor="mm")
    return True


def _draw_arrows(
    draw: ImageDraw.ImageDraw,
    raster: Raster,
    layout: GridLayout,
    policy: Float64Array,
    colours: NDArray[np.uint8],
    numbered: bool,
) -> None:
    inside = policy.copy()
    inside[(layout.wall | layout.terminal).reshape(-1)] = 0.0
    half = raster.cell / 2
    longest = 0.17 * raster.cell if numbered else 0.8 * half
    for state, action in np.argwhere(inside > 0):
        row, column = divmod(int(state), layout.shape[1])
        length = longest * (0.4 + 0.6 * min(1.0, float(inside[state, action])))
        # Beside a number all tips are near the edge, so that no short arrow looks like a minus sign.
        tail = half - 2.5 - length if numbered else 0.05 * half
        ink = ink_on(colours[row, column])
        _arrow(draw, _middle(raster, row, column), layout.moves[action], tail, length, ink)


def _arrow(
    draw: ImageDraw.ImageDraw,
    middle: tuple[float, float],
    move: tuple[int, int],
    tail: float,
    length: float,
    ink: RGB,
) -> None:
    """An arrow `length` pixels long whose tail is `tail` pixels from the middle; a ring for a move that stays."""
    size = float(np.hypot(*move))
    if size == 0:
        radius = max(1.0, length / 2)
        x, y = middle[0] + tail, middle[1] + tail
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=ink)
        return
    down, right = move[0] / size, move[1] / size
    head = min(length, max(3.0, 0.62 * length))
    broad = 0.62 * head

    def point(along: float, aside: float) -> tuple[float, float]:
        return middle[0] + along * right - aside * down, middle[1] + along * down + aside * right

    tip = tail + length
    draw.polygon([point(tip, 0.0), point(tip - head, broad), point(tip - head, -broad)], fill=ink)
    if length - head >= 1:
        draw.line([point(tail, 0.0), point(tip - head, 0.0)], fill=ink, width=max(1, round(length / 7)))


def _draw_marks(draw: ImageDraw.ImageDraw, raster: Raster, layout: GridLayout, colours: NDArray[np.uint8]) -> None:
    """The letters of the map, small in the corners."""
    if raster.cell < _LEAST_MARKED:
        return
    size = max(_LEAST_FONT, raster.cell // 6)
    for row, line in enumerate(layout.marks):
        for column, mark in enumerate(line):
            if mark not in _PLAIN_MARKS and not layout.wall[row, column]:
                left, top, _, _ = raster.box(row, column)
                draw.text((left + 4, top + 3), mark, fill=ink_on(colours[row, column]), font=font(size))


def _middle(raster: Raster, row: int, column: int) -> tuple[float, float]:
    return (column + 0.5) * raster.cell, (row + 0.5) * raster.cell
