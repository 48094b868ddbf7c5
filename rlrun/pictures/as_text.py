"""Tables of a run for the terminal: a grid of cells, or a row for each state."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rlrun.pictures.grid_text import q_as_text, values_as_text
from rlrun.pictures.table_text import table_as_text
from rlrun.pictures.tables_file import PICTURE, Shown


def as_text(shown: Shown) -> str:
    """The values for a terminal: a grid with arrows, or a row for each state with everything known about it."""
    tables, model = shown.tables, shown.model
    if model.layout is not None:
        return values_as_text(model.layout, tables.values, tables.arrows)
    visits = None if tables.visits is None else tables.visits.sum(axis=1)
    return table_as_text(model, tables.values, tables.q, sample_averages=tables.sample_averages, visits=visits)


def more_as_text(shown: Shown, *, with_q: bool) -> Iterator[tuple[str, str]]:
    """Further tables of a grid, each with its heading: sample averages, visits, and Q if requested.

    Yields nothing if states are not cells: then `as_text` is complete.
    """
    tables, model = shown.tables, shown.model
    if model.layout is None:
        return
    if tables.sample_averages is not None:
        yield "mean of the returns seen", values_as_text(model.layout, tables.sample_averages, None)
    if tables.visits is not None:
        visits = tables.visits.sum(axis=1).astype(np.float64)
        yield "visits", values_as_text(model.layout, visits, None, counts=True)
    if with_q:
        known = not np.isnan(tables.q[model.legal]).all()
        q = q_as_text(model.layout, tables.q, model.legal) if known else "no values are known"
        yield "Q", q or f"too large for a terminal; see {PICTURE}"
