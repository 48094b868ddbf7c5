"""The value of every action in a grid, as triangles that point to the sides to which they lead."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from rlrun.pictures.colours import END, LINE, Scale, ink_on
from rlrun.pictures.glyphs import Glyphs
from rlrun.pictures.grid import CORNERS, cell_of, fitting, frame_ends, grid_axes, inside, kinds, middles, paint_rest
from rlrun.pictures.numbers import best_actions, written
from rlrun.pictures.sheet import POINTS, Place, explain
from rlrun.types import BoolArray, Float64Array, GridLayout

COMPASS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # north, east, south, west
_TRIANGLES = np.stack([CORNERS, np.roll(CORNERS, -1, axis=0), np.zeros((4, 2))], axis=1)  # [4, 3, 2] by side
_PLACES = 0.28 * np.array(COMPASS, np.float64)[:, ::-1] * (1.0, 1.18)  # of their numbers, as (x, y)


def draw_q(figure: Figure, layout: GridLayout, place: Place, title: str, q: Float64Array, legal: BoolArray) -> Axes:
    """Divides every cell into four triangles, coloured and labelled by the action's value, the best ones outlined.

    Illegal actions are plain grey.

    Args:
        figure: to draw on.
        layout: of the S states; its moves must be the four of `COMPASS`, in any order.
        place: of the grid.
        title: above the grid.
        q: [S, 4].
        legal: [S, 4].
    """
    axes, cell, played = grid_axes(figure, layout, place, title), cell_of(layout, place), inside(layout)
    order = [layout.moves.index(side) for side in COMPASS]
    sides, able = q[:, order], (legal & played[:, None])[:, order]  # by side
    scale = Scale.of(sides[able])
    unknown, some_illegal = not np.isfinite(sides[able]).all(), not able[played].all()
    explain(axes, place, scale, [*kinds(layout, unknown=unknown), *([("illegal", END)] if some_illegal else [])])
    ground = np.ones((*layout.shape, 4))
    paint_rest(ground, layout, END)
    axes.imshow(ground, aspect="auto")
    colours = np.where(able[..., None], scale.colours(sides), to_rgba(END))
    inks, best = ink_on(colours), best_actions(sides, able)
    centres = middles(layout)
    triangles = centres[:, None, None] + _TRIANGLES  # [S, 4, 3, 2]
    inner = centres[:, None, None] + 0.8 * _TRIANGLES + 0.2 * _TRIANGLES.mean(axis=1, keepdims=True)
    for corners, filled, edges, wide in (
        (triangles[played].reshape(-1, 3, 2), colours[played].reshape(-1, 4), LINE, 0.5),
        (inner[best], "none", inks[best], 1.5 * cell),
    ):
        axes.add_collection(PolyCollection(list(corners), facecolors=filled, edgecolors=edges, linewidths=wide))
    frame_ends(axes, layout)
    fit = fitting(sides[able], 0.27 * cell * POINTS, 0.12 * cell * POINTS)
    if fit is not None:
        state, side = np.nonzero(able)
        texts = [written(value, fit[1]) for value in sides[able].tolist()]
        Glyphs(axes, centres[state] + _PLACES[side], fit[0]).show(texts, inks[able])
    return axes
