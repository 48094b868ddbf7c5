"""States, their values and those of their actions as a table, where states are no cells of a grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rlrun.pictures.cells import hatch
from rlrun.pictures.colours import BLACK, END, LINE, PAPER, UNKNOWN, Scale, ink_on
from rlrun.pictures.digits import best_actions, decimals_in_text, written
from rlrun.pictures.sheet import font, on_paper, text_width
from rlrun.types import Float64Array, Int64Array, TabularModel

MOST_STATES = 50
_ROW_PIXELS, _TYPE_PIXELS, _ROOM = 26, 14, 9  # height of a row, size of type, paper left and right of a text
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

    Where nothing is known of Q it is left out. At most the first 50 states; how many are left out is said in the last
    line.

    Args:
        model: names and legal actions.
        values: [S].
        q: [S, A].
        sample_averages: [S] mean returns, a column after V; NaN where there is none.
        visits: [S] how often each state was learned from, the last column.
    """
    rows = _texts(model, values, q)
    if sample_averages is not None:
        _add_column(rows, 2, "average", _average_texts(model, values, sample_averages))
    if visits is not None:
        _add_column(rows, len(rows[0]), "visits", [str(count) for count in visits[: len(rows) - 1].tolist()])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    left_out = model.num_states - MOST_STATES
    return "\n".join(
        [*(line.rstrip() for line in lines), *([f"... and {left_out} more states"] if left_out > 0 else [])]
    )


def draw_table(
    model: TabularModel,
    values: Float64Array,
    q: Float64Array,
    title: str,
    *,
    limits: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """The same as a picture whose cells are coloured by their values; the best actions are framed and starred.

    Args:
        model: names and legal actions; at most 50 states.
        values: [S].
        q: [S, A]; left out where nothing is known of it.
        title: written above.
        limits: the least and greatest value of the colours; None: those of the table.

    Returns:
        Uint8 [h, w, 3].

    Raises:
        ValueError: if there are more states than fit a picture.
    """
    if model.num_states > MOST_STATES:
        raise ValueError(f"a table of {model.num_states} states is too long for a picture; {MOST_STATES} is the most")
    rows = _texts(model, values, q)
    best = best_actions(q, model.legal)
    numbers, shown = np.column_stack([values, q]), np.column_stack([np.ones(model.num_states, bool), model.legal])
    numbers, shown = numbers[:, : len(rows[0]) - 1], shown[:, : len(rows[0]) - 1]  # [S, 1 + A], or V alone
    scale = Scale.of(numbers[shown], limits)
    colours = scale.colours(numbers)
    widths = [
        round(max(text_width(row[column], _TYPE_PIXELS) for row in rows)) + 2 * _ROOM for column in range(len(rows[0]))
    ]
    lefts = [0, *np.cumsum(widths).tolist()]
    height, width = _ROW_PIXELS * len(rows) + 1, lefts[-1] + 1
    picture = np.full((height, width, 3), PAPER, np.uint8)
    for state, column in np.argwhere(np.ones_like(shown)):
        top, left, right = (state + 1) * _ROW_PIXELS, lefts[column + 1], lefts[column + 2]
        box = np.s_[top : top + _ROW_PIXELS, left:right]
        picture[box] = colours[state, column] if shown[state, column] else END
        if shown[state, column] and not np.isfinite(numbers[state, column]):
            hatch(picture[box], np.ones(picture[box].shape[:2], bool))
    picture[::_ROW_PIXELS] = LINE
    picture[:, lefts] = LINE
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            top, left, right = number * _ROW_PIXELS, lefts[column], lefts[column + 1]
            coloured = number > 0 and column > 0 and bool(shown[number - 1, column - 1])
            ink = ink_on(colours[number - 1, column - 1]) if coloured else BLACK
            if number and column > 1 and best[number - 1, column - 2]:
                draw.rectangle((left + 2, top + 2, right - 2, top + _ROW_PIXELS - 2), outline=ink, width=2)
            middle = top + _ROW_PIXELS / 2
            if coloured and not np.isfinite(numbers[number - 1, column - 1]):  # no slanted lines behind letters
                draw.rectangle((left + 6, top + 5, right - 6, top + _ROW_PIXELS - 5), UNKNOWN)
            place = (left + _ROOM, middle) if column == 0 else ((left + right) / 2, middle)
            draw.text(place, text.strip(), fill=ink, font=font(_TYPE_PIXELS), anchor="lm" if column == 0 else "mm")
    unknown = not np.isfinite(numbers[shown]).all()
    key = [("illegal", END)] if not shown.all() else []
    return on_paper(np.asarray(image, np.uint8), title, scale, [*key, *([("not finite", UNKNOWN)] if unknown else [])])


def _texts(model: TabularModel, values: Float64Array, q: Float64Array) -> list[list[str]]:
    """The header, then one row for each of the first states."""
    if values.shape != (model.num_states,) or q.shape != (model.num_states, model.num_actions):
        raise ValueError(
            f"values {values.shape} and Q {q.shape} do not fit {model.num_states} states of {model.num_actions} actions"
        )
    states = model.state_names or tuple(map(str, range(model.num_states)))
    actions = model.action_names or tuple(map(str, range(model.num_actions)))
    count = min(model.num_states, MOST_STATES)
    legal, best = model.legal[:count], best_actions(q[:count], model.legal[:count])
    decimals = decimals_in_text(np.concatenate([values[:count], q[:count][legal]]))
    if _nothing_known(model, q):
        actions = ()
    rows = [["state", "V", *map(_shortened, actions)]]
    for state in range(count):
        row = [_shortened(states[state]), written(values[state], decimals)]
        for action in range(len(actions)):
            if not legal[state, action]:
                row.append("- ")
            else:
                row.append(written(q[state, action], decimals) + ("*" if best[state, action] else " "))
        rows.append(row)
    return rows


def _nothing_known(model: TabularModel, q: Float64Array) -> bool:
    return bool(np.isnan(q[model.legal]).all())


def _average_texts(model: TabularModel, values: Float64Array, averages: Float64Array) -> list[str]:
    shown = averages[:MOST_STATES]
    decimals = decimals_in_text(np.concatenate([values[:MOST_STATES], shown]))
    known = ~np.isnan(shown) & model.legal[:MOST_STATES].any(axis=1)
    return [written(float(value), decimals) if there else "-" for value, there in zip(shown, known, strict=True)]


def _add_column(rows: list[list[str]], place: int, name: str, texts: list[str]) -> None:
    for row, text in zip(rows, [name, *texts], strict=True):
        row.insert(place, text)


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 3] + "..."
