"""A video of planning: the values sweep by sweep."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rlrun.loop.collect import empty_rollout
from rlrun.pictures.figures import cell_size
from rlrun.pictures.gif import write_gif
from rlrun.pictures.grid import grid_place
from rlrun.pictures.sheet import new_figure, pixels
from rlrun.pictures.tables_file import VIDEO
from rlrun.pictures.value_map import ValueMap
from rlrun.protocols import Agent, Tabular
from rlrun.types import GridLayout

_MOST_CELLS = 400
_MOST_FRAMES = 60
_MOST_SWEEPS = 10_000


def save_planning_video(directory: Path, planner: Agent, layout: GridLayout, title: str, num_sweeps: int) -> None:
    """Repeats the planning and records the values sweep by sweep in `values.gif`.

    Has no effect on grids of more than 400 cells. Of more than 10,000 sweeps, it shows the first 10,000.

    Args:
        directory: of the run.
        planner: of the run, as it began.
        layout: of the grid.
        title: of every frame.
        num_sweeps: of the run.
    """
    if layout.wall.size > _MOST_CELLS:
        return
    planner = copy.deepcopy(planner)
    assert isinstance(planner, Tabular)
    num_sweeps = min(num_sweeps, _MOST_SWEEPS)
    chosen = frames_to_show(num_sweeps + 1)
    history = {0: planner.tables()}
    with _quiet(logging.getLogger("rlrun.agents")):  # it has already logged that its values converged
        for sweep in range(1, num_sweeps + 1):
            planner.learn(empty_rollout(torch.device("cpu")))
            if sweep in chosen:
                history[sweep] = planner.tables()
    place = grid_place(layout, cell_size(layout))
    figure = new_figure(place.paper)
    drawn = ValueMap(figure, layout, place, title, np.stack([tables.values for tables in history.values()]))

    def frame(sweep: int) -> NDArray[np.uint8]:
        drawn.axes.set_title(f"{title}: sweep {sweep}", loc="left")
        drawn.show(history[sweep].values, history[sweep].arrows)
        return pixels(figure)

    write_gif(directory / VIDEO, [frame(sweep) for sweep in chosen], seconds_per_frame=0.4)


@contextmanager
def _quiet(log: logging.Logger) -> Iterator[None]:
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def frames_to_show(count: int) -> list[int]:
    """At most 60 of the indices 0 ... count - 1: all of the first ones, then increasingly sparse ones, and the last."""
    if count <= _MOST_FRAMES:
        return list(range(count))
    dense = _MOST_FRAMES // 2
    later = np.geomspace(dense, count - 1, _MOST_FRAMES - dense).round().astype(int)
    return sorted({*range(dense), *later.tolist()})
