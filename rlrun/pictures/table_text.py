"""States that are not cells of a grid, for the terminal: a row for each with its value and those of its actions."""

from __future__ import annotations

import numpy as np

from rlrun.pictures.numbers import best_actions, decimals_for, written
from rlrun.types import Float64Array, Int64Array, TabularModel

MOST_STATES = 50
_LONGEST_NAME = 32


def table_as_text(
    model: TabularModel,
    values: Float64Array,
    q: Float64Array,
    *,
    sample_averages: Float64Array | None = None,
    visits: Int64Array | None = None,
) -> str:
    """One line for each state: name, V, and Q of every action; `*` marks the best ones, `-` illegal ones.

    If nothing is known about Q, it is omitted. At most the first 50 states; the last line counts the others.

    Args:
        model: names and legal actions.
        values: [S].
        q: [S, A].
        sample_averages: [S] mean returns, a column after V; NaN if there is none.
        visits: [S] how often each state was learned from, the last column.
    """
    columns = list(zip(*table_rows(model, values, q), strict=True))
    count = len(columns[0]) - 1
    if sample_averages is not None:
        averages, decimals = sample_averages[:count], decimals_for(np.append(values, sample_averages))
        known = ~np.isnan(averages) & model.legal[:count].any(axis=1)
        texts = [written(average, decimals) if there else "-" for average, there in zip(averages, known, strict=True)]
        columns.insert(2, ("average", *texts))
    if visits is not None:
        columns.append(("visits", *map(str, visits[:count])))
    names, *numbers = ([text.rjust(max(map(len, column))) for text in column] for column in columns)
    names = [name.strip().ljust(len(name)) for name in names]
    lines = ["  ".join(row).rstrip() for row in zip(names, *numbers, strict=True)]
    left_out = model.num_states - count
    return "\n".join([*lines, f"... and {left_out} more states"] if left_out else lines)


def table_rows(model: TabularModel, values: Float64Array, q: Float64Array) -> list[list[str]]:
    """The column headings, then the texts of the first 50 states."""
    count = min(model.num_states, MOST_STATES)
    states = model.state_names or tuple(map(str, range(count)))
    actions = model.action_names or tuple(map(str, range(model.num_actions)))
    legal, q = model.legal[:count], q[:count]
    decimals, best = decimals_for(np.append(values[:count], q[legal])), best_actions(q, legal)
    if np.isnan(q[legal]).all():
        actions = ()

    def text(state: int, action: int) -> str:
        if not legal[state, action]:
            return "- "
        return written(q[state, action], decimals) + ("*" if best[state, action] else " ")

    return [
        ["state", "V", *map(_shortened, actions)],
        *(
            [
                _shortened(states[state]),
                written(values[state], decimals),
                *(text(state, a) for a in range(len(actions))),
            ]
            for state in range(count)
        ),
    ]


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 3] + "..."
