"""Figures of tables: the random policy beside the result, with the value of every action; or rows of states."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure

from rlrun.agents.tables.policies import uniform_policy
from rlrun.numerics.bellman import Bellman
from rlrun.pictures.grid import grid_place
from rlrun.pictures.q_triangles import COMPASS, draw_q
from rlrun.pictures.sheet import new_figure
from rlrun.pictures.states_table import table_figure
from rlrun.pictures.table_text import MOST_STATES
from rlrun.pictures.tables_file import Shown
from rlrun.pictures.value_map import ValueMap
from rlrun.types import Float64Array, GridLayout, TabularModel

_MOST_CELLS_WITH_Q = 400  # beyond, triangles are too small to read
_LARGEST_CELL, _SMALLEST_CELL, _LONGEST_SIDE = 0.64, 0.42, 13.0  # inches
_WIDE = 1.5  # width over height from which maps are stacked vertically


def cell_size(layout: GridLayout) -> float:
    """Side of a cell in inches: large enough for numbers and arrows, up to 30 rows or columns."""
    longest = max(layout.shape)
    return min(_LARGEST_CELL, max(6.4 / longest, _SMALLEST_CELL), _LONGEST_SIDE / longest)


def figure_of(shown: Shown, title: str) -> Figure | None:
    """The random policy beside the result, with Q if cells are large enough; None if nothing fits.

    Args:
        shown: tables and the whole model.
        title: of the result.
    """
    tables, model, layout = shown.tables, shown.model, shown.model.layout
    if layout is None:
        return table_figure(model, tables.values, tables.q, title) if model.num_states <= MOST_STATES else None
    maps, limits, remark = [], None, ""
    random_v = None if tables.gamma is None else random_values(model, tables.gamma)
    if random_v is not None:
        playable = model.legal.any(axis=1)
        limits = common_limits(random_v[playable], tables.values[playable])
        remark = "" if limits is not None else ", on its own colour scale"
        maps.append(("random policy: V", random_v, uniform_policy(model.legal)))
    maps.append((f"{title}: V{remark}", tables.values, tables.arrows))
    with_q = bool(
        np.isfinite(tables.q[model.legal]).all()
        and sorted(layout.moves) == sorted(COMPASS)
        and model.num_states <= _MOST_CELLS_WITH_Q
    )
    cell = cell_size(layout)
    size = np.array(grid_place(layout, cell).paper)
    wide = layout.shape[1] >= _WIDE * layout.shape[0]
    # The maps are laid out in one direction, and Q next to them in the other.
    step = size * (np.array([1, 0]) if wide == with_q else np.array([0, 1]))
    behind = (size + step * (len(maps) - 1)) * (np.array([0, 1]) if wide else np.array([1, 0]))
    q_place = grid_place(layout, 2 * cell, *behind)
    figure = new_figure(np.maximum(size + step * (len(maps) - 1), (behind + q_place.paper) * with_q))
    for number, (name, values, policy) in enumerate(maps):
        place = grid_place(layout, cell, *(number * step))
        ValueMap(figure, layout, place, name, values, limits).show(values, policy)
    if with_q:
        draw_q(figure, layout, q_place, f"{title}: Q", tables.q, model.legal)
    return figure


def random_values(model: TabularModel, gamma: float) -> Float64Array | None:
    """Values of the uniformly random policy, to a residual of 1e-6; None if that takes too long."""
    if model.num_states > 10_000 or not len(model.state):
        return None
    bellman = Bellman(model, torch.device("cpu"))
    policy = bellman.legal / bellman.legal.sum(dim=0).clamp(min=1)
    values = torch.zeros(model.num_states, dtype=torch.float64)
    for _ in range(20_000):
        updated = bellman.expected(bellman.q_values(values, gamma), policy)
        residual = float((updated - values).abs().max())
        values = updated
        if residual <= 1e-6:
            return values.numpy()
    return None


def common_limits(random_v: Float64Array, found: Float64Array) -> tuple[float, float] | None:
    """The least and greatest finite value of both, so that maps that are compared share one colour scale.

    None if the result would then span less than a tenth of it: beside a cliff the random policy loses hundreds, the
    best one a dozen.
    """
    chance, best = (values[np.isfinite(values)] for values in (random_v, found))
    both = np.concatenate([chance, best])
    if not both.size:
        return 0.0, 0.0
    low, high = float(both.min()), float(both.max())
    own = float(np.ptp(best)) if best.size else 0.0
    return None if 0.0 < own < 0.1 * (high - low) else (low, high)
