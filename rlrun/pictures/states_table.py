"""States that are not cells of a grid, as a coloured table."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from rlrun.pictures.colours import END, UNKNOWN, Scale, ink_on
from rlrun.pictures.numbers import best_actions
from rlrun.pictures.sheet import Place, axes_at, explain, new_figure
from rlrun.pictures.table_text import table_rows
from rlrun.types import Float64Array, TabularModel

_ROW, _LETTER = 0.27, 0.085  # inches: the height of a row, the width of a letter


def table_figure(model: TabularModel, values: Float64Array, q: Float64Array, title: str) -> Figure:
    """A row for each state, coloured by its values; the best actions are starred and bold, illegal ones grey.

    Args:
        model: names and legal actions; at most `MOST_STATES` states.
        values: [S].
        q: [S, A]; omitted if nothing is known about it.
        title: above the table.
    """
    head, *rows = table_rows(model, values, q)
    num_actions = len(head) - 2
    numbers = np.column_stack([values, q[:, :num_actions]])  # [S, 1 + A], or V alone
    shown = np.column_stack([np.ones(len(rows), bool), model.legal[:, :num_actions]])
    scale = Scale.of(numbers[shown])
    colours = np.where(shown[..., None], scale.colours(numbers), to_rgba(END))
    inks, best = ink_on(colours), best_actions(q, model.legal)
    letters = np.array([max(len(row[column]) for row in (head, *rows)) + 2 for column in range(len(head))])
    place = Place(_LETTER * letters.sum(), _ROW * (len(rows) + 1))
    figure = new_figure(place.paper)
    axes = axes_at(figure, place, title)
    axes.set_axis_off()
    table = axes.table(
        [[text.strip() for text in row] for row in rows],
        cellColours=np.concatenate([np.ones((len(rows), 1, 4)), colours], axis=1).tolist(),
        cellLoc="center",
        colLabels=head,
        colWidths=letters / letters.sum(),
        bbox=Bbox.unit(),
    )
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    for (row, column), cell in table.get_celld().items():
        cell.set_linewidth(0.5)
        if row > 0 and column > 0:
            bold = column > 1 and best[row - 1, column - 2]
            cell.set_text_props(color=inks[row - 1, column - 1], weight="bold" if bold else "normal")
    kinds = [("illegal", END, not shown.all()), ("not finite", UNKNOWN, not np.isfinite(numbers[shown]).all())]
    explain(axes, place, scale, [(name, colour) for name, colour, there in kinds if there])
    return figure
