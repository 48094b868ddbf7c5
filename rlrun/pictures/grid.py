"""A grid of cells on a figure: its axes and lines, and the style of walls, ends and numbers."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from rlrun.pictures.colours import END_EDGE, LINE, UNKNOWN, WALL
from rlrun.pictures.glyphs import width_of
from rlrun.pictures.numbers import decimals_for, fewer_decimals, written
from rlrun.pictures.sheet import Place, axes_at
from rlrun.types import BoolArray, Float64Array, GridLayout

CORNERS = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])  # of a cell, as (x, y) with y downwards
LEAST_TYPE = 6.0  # points
_LEAST_LINED = 0.08  # side of a cell in inches, from which lines are drawn
_THINNEST = 0.12  # inches, of a grid of very many cells


def grid_place(layout: GridLayout, cell: float, left: float = 0.0, top: float = 0.0) -> Place:
    """The place of a grid whose cells have sides of `cell` inches."""
    height, width = layout.shape
    return Place(max(width * cell, _THINNEST), max(height * cell, _THINNEST), left, top)


def grid_axes(figure: Figure, layout: GridLayout, place: Place, title: str) -> Axes:
    """Axes with lines between cells that are large enough; x is a cell's column and y its row."""
    axes = axes_at(figure, place, title)
    height, width = layout.shape
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    if cell_of(layout, place) >= _LEAST_LINED:
        axes.vlines(np.arange(1, width) - 0.5, -0.5, height - 0.5, LINE, linewidth=0.6)
        axes.hlines(np.arange(1, height) - 0.5, -0.5, width - 0.5, LINE, linewidth=0.6)
    axes.spines[:].set(color=LINE, linewidth=0.6)
    return axes


def cell_of(layout: GridLayout, place: Place) -> float:
    """Side of a cell, in inches."""
    return min(place.height / layout.shape[0], place.width / layout.shape[1])


def inside(layout: GridLayout) -> BoolArray:
    """[S]: cells that are neither walls nor terminal."""
    return ~(layout.wall | layout.terminal).reshape(-1)


def middles(layout: GridLayout) -> Float64Array:
    """[S, 2]: centres of cells, as (x, y)."""
    return np.argwhere(np.ones(layout.shape, bool))[:, ::-1].astype(np.float64)


def paint_rest(colours: Float64Array, layout: GridLayout, end: str) -> None:
    """Gives terminal cells and walls their colours; RGBA [H, W, 4], changed in place."""
    colours[layout.terminal] = to_rgba(end)
    colours[layout.wall] = to_rgba(WALL)


def kinds(layout: GridLayout, *, unknown: bool) -> list[tuple[str, str]]:
    """Legend entries besides the colours of values."""
    there = {"wall": layout.wall.any(), "end": (layout.terminal & ~layout.wall).any(), "not finite": unknown}
    colours = {"wall": WALL, "end": END_EDGE, "not finite": UNKNOWN}
    return [(name, colours[name]) for name, is_there in there.items() if is_there]


def frame_ends(axes: Axes, layout: GridLayout) -> None:
    """Marks terminal cells by a frame."""
    ends = middles(layout)[(layout.terminal & ~layout.wall).reshape(-1)]
    frames = PolyCollection(
        list(ends[:, None] + 0.92 * CORNERS), facecolors="none", edgecolors=END_EDGE, linewidths=2.0
    )
    axes.add_collection(frames)


def fitting(values: Float64Array, room: float, largest: float) -> tuple[float, int] | None:
    """The font size and the decimals with which all values are at most `room` points wide; None if there are none."""
    for decimals in fewer_decimals(decimals_for(values)):
        longest = max((width_of(written(value, decimals)) for value in np.unique(values).tolist()), default=1.0)
        size = min(largest, room / longest)
        if size >= LEAST_TYPE:
            return size, decimals
    return None
