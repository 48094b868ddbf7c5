"""Values of the states of a grid, with a policy's arrows."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlrun.pictures.colours import END, END_EDGE, Scale, ink_on
from rlrun.pictures.glyphs import Glyphs
from rlrun.pictures.grid import LEAST_TYPE, cell_of, fitting, frame_ends, grid_axes, inside, kinds, middles, paint_rest
from rlrun.pictures.numbers import written
from rlrun.pictures.sheet import POINTS, Place, explain
from rlrun.types import BoolArray, Float64Array, GridLayout

_LEAST_ARROWED, _LEAST_MARKED = 0.15, 0.4  # sides of a cell in inches, from which they are drawn
_PLAIN_MARKS = ". #"  # marks of ordinary cells


class ValueMap:
    """Cells coloured and labelled by their values, with a policy's arrows; drawn once, and updated for many tables.

    Walls are dark, terminal cells grey in a purple frame (all purple if cells are tiny), values not finite grey.

    Args:
        figure: to draw on.
        layout: of the S states.
        place: of the grid.
        title: above the grid.
        seen: [..., S] all values that will be shown, which determine colours and decimals.
        limits: the least and greatest value of the colours; None: those of `seen`.
    """

    def __init__(
        self,
        figure: Figure,
        layout: GridLayout,
        place: Place,
        title: str,
        seen: Float64Array,
        limits: tuple[float, float] | None = None,
    ) -> None:
        played, cell = inside(layout), cell_of(layout, place)
        self.axes = grid_axes(figure, layout, place, title)
        self._layout = layout
        self._scale = Scale.of(seen[..., played], limits)
        self._image = self.axes.imshow(np.zeros((*layout.shape, 4), np.uint8), aspect="auto")
        explain(self.axes, place, self._scale, kinds(layout, unknown=not np.isfinite(seen[..., played]).all()))
        self._numbers = self._marks = self._arrows = None
        if cell < _LEAST_ARROWED:
            return
        frame_ends(self.axes, layout)
        self._numbered, centres = np.flatnonzero(~layout.wall), middles(layout)
        fit = fitting(seen[..., self._numbered], 0.52 * cell * POINTS, 0.24 * cell * POINTS)
        if fit is not None:
            size, self._decimals = fit
            self._numbers = Glyphs(self.axes, centres[self._numbered], size)
        if cell >= _LEAST_MARKED and layout.marks:
            self._marked = np.flatnonzero([mark not in _PLAIN_MARKS for mark in "".join(layout.marks)])
            self._marks = Glyphs(self.axes, centres[self._marked] - 0.36, max(LEAST_TYPE, 0.16 * cell * POINTS))
        self._arrows = _Arrows(self.axes, layout, played, beside_numbers=fit is not None)

    def show(self, values: Float64Array, policy: Float64Array) -> None:
        """Shows values [S] and action probabilities [S, A], which set the lengths of arrows."""
        colours = self._scale.colours(values.reshape(self._layout.shape))
        paint_rest(colours, self._layout, END_EDGE if self._arrows is None else END)
        self._image.set_data((255.0 * colours).round().astype(np.uint8))  # integers are drawn faster
        inks = ink_on(colours).reshape(-1, 4)
        if self._numbers is not None:
            texts = [written(value, self._decimals) for value in values[self._numbered].tolist()]
            self._numbers.show(texts, inks[self._numbered])
        if self._marks is not None:
            marks = "".join(self._layout.marks)
            self._marks.show([marks[state] for state in self._marked], inks[self._marked])
        if self._arrows is not None:
            self._arrows.show(policy, inks)


class _Arrows:
    """An arrow for every action of the states `played` [S], those of no probability left out."""

    def __init__(self, axes: Axes, layout: GridLayout, played: BoolArray, *, beside_numbers: bool) -> None:
        self._states, self._actions = np.nonzero(np.repeat(played[:, None], len(layout.moves), axis=1))
        moves = np.array(layout.moves, np.float64)[self._actions, ::-1]  # [N, 2] as (x, y)
        self._ways = moves / np.maximum(np.hypot(*moves.T), 1e-9)[:, None]
        self._longest = 0.17 if beside_numbers else 0.42
        # Beside a number all tips are near the edge, so that no short arrow looks like a minus sign.
        ends = middles(layout)[self._states] + (0.47 * self._ways if beside_numbers else 0.0)
        ends[~moves.any(axis=1)] += 0.4  # who stays is a dot in a corner
        self._quiver = axes.quiver(
            *ends.T,
            *self._ways.T,
            pivot="tip" if beside_numbers else "tail",
            angles="xy",
            scale_units="xy",
            scale=1.0,
            units="x",
            width=0.028,
            headwidth=4.5,
            headlength=4.0,
            headaxislength=4.0,
            minlength=2.0,
            zorder=3,
        )

    def show(self, policy: Float64Array, inks: Float64Array) -> None:
        """Probabilities [S, A], and the colours of ink in the cells [S, 4]."""
        chance = policy[self._states, self._actions]
        vectors = self._longest * self._ways * (0.4 + 0.6 * chance)[:, None]
        self._quiver.set_UVC(*(np.ma.masked_where(chance <= 0, part) for part in vectors.T))
        self._quiver.set(facecolor=inks[self._states])
