"""Values of the states and actions of a grid for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from rlrun.pictures.numbers import best_actions, decimals_for, fewer_decimals, written
from rlrun.types import BoolArray, Float64Array, GridLayout

COLUMNS, MOST_ROWS = 100, 50  # of the terminal
_ARROWS = dict(
    zip([(-1, 0), (0, 1), (1, 0), (0, -1), (-1, 1), (1, 1), (1, -1), (-1, -1), (0, 0)], "↑→↓←↗↘↙↖o", strict=True)
)
_SEVERAL, _WALL, _END = "+", "####", "·"
_GAPS = (" ", "  "), (" ", " "), ("", " ")  # between a number and its arrows, and between cells
_Lines: TypeAlias = list[list[str]]  # the texts of the cells, by row and column


def values_as_text(
    layout: GridLayout, values: Float64Array, policy: Float64Array | None, *, counts: bool = False
) -> str:
    """The grid in lines: each cell's value and an arrow for every action of positive probability.

    Walls are `####` and terminal cells `·`. If that is wider than 100 columns, it uses fewer digits, then arrows
    without values, then one character per cell (`+`: several actions), and finally only the part of the grid that fits,
    with a line about the rest. At most 50 rows.

    Args:
        layout: of the S states.
        values: [S].
        policy: [S, A] probabilities; None: no arrows.
        counts: whether values are integers.
    """
    corner = np.s_[:MOST_ROWS, :COLUMNS]
    grid, wall = values.reshape(layout.shape)[corner], layout.wall[corner]
    plain = ~(wall | layout.terminal[corner])
    arrows = [["" for _ in line] for line in grid]
    if policy is not None:
        chosen = (policy > 0).reshape(*layout.shape, -1)[corner]
        for row, column in np.argwhere(plain):
            arrows[row][column] = "".join(_arrow(layout.moves[a]) for a in np.flatnonzero(chosen[row, column]))

    def drawn() -> Iterator[tuple[_Lines, str]]:
        """From the most detailed to the most compact: the cells, and the gap between them."""
        for decimals in [0] if counts else fewer_decimals(decimals_for(grid[plain])):
            numbers = [[written(value, decimals) for value in line] for line in grid.tolist()]
            for between, gap in _GAPS:
                yield _cells(_labelled(numbers, wall, plain), arrows, between), gap
        if policy is not None:
            blank = _labelled([["" for _ in line] for line in grid], wall, plain)
            yield _arrow_cells(blank, arrows), " "
            one_sign = _arrow_cells(blank, [[sign if len(sign) < 2 else _SEVERAL for sign in line] for line in arrows])
            yield one_sign, " "
            yield one_sign, ""

    lines: _Lines = []
    for lines, gap in drawn():
        if max(len(gap.join(line)) for line in lines) <= COLUMNS:
            break
    shown = (COLUMNS + len(gap)) // (len(lines[0][0]) + len(gap))  # as many whole cells as fit
    text = [gap.join(line[:shown]).rstrip() for line in lines]
    left = layout.shape[0] - len(lines), layout.shape[1] - min(shown, len(lines[0]))
    left_out = [f"{count} more {name}" for count, name in zip(left, ("rows", "columns"), strict=True) if count]
    return "\n".join([*text, f"... and {' and '.join(left_out)}"] if left_out else text)


def q_as_text(layout: GridLayout, q: Float64Array, legal: BoolArray) -> str | None:
    """The grid with a line for every action in each cell: where it leads, and its value; `*` marks the best ones.

    Illegal actions are left empty. If that is wider than 100 columns, it uses fewer digits.

    Args:
        layout: of the S states.
        q: [S, A].
        legal: [S, A].

    Returns:
        None if it does not fit 100 columns and 50 rows.
    """
    height, width = layout.shape
    plain = ~(layout.wall | layout.terminal)
    able, actions = legal & plain.reshape(-1, 1), range(len(layout.moves))
    if height * (len(actions) + 1) > MOST_ROWS or not able.any():
        return None
    best, signs = best_actions(q, able), [_arrow(move) for move in layout.moves]
    labels = [text for line in _labelled([[""] * width] * height, layout.wall, plain) for text in line]
    for decimals in fewer_decimals(decimals_for(q[able])):
        digits = max(len(written(value, decimals)) for value in q[able].tolist())
        for between, gap in _GAPS:
            cells = [  # [S, A]
                [
                    f"{signs[a]}{between}{written(q[state, a], decimals):>{digits}}{'*' if best[state, a] else ' '}"
                    if able[state, a]
                    else (labels[state] if a == 0 else "").center(2 + len(between) + digits)
                    for a in actions
                ]
                for state in range(len(q))
            ]
            rows = [cells[first : first + width] for first in range(0, len(q), width)]
            text = "\n\n".join("\n".join(gap.join(cell[a] for cell in row).rstrip() for a in actions) for row in rows)
            if max(map(len, text.splitlines())) <= COLUMNS:
                return text
    return None


def _labelled(texts: _Lines, wall: BoolArray, plain: BoolArray) -> _Lines:
    """The texts of cells, with walls and terminal cells marked."""
    return [
        [_WALL if is_wall else text if is_plain else _END for text, is_wall, is_plain in zip(*line, strict=True)]
        for line in zip(texts, wall, plain, strict=True)
    ]


def _cells(texts: _Lines, arrows: Sequence[Sequence[str]], between: str) -> _Lines:
    """Equally wide cells: texts right-aligned, then arrows."""
    widest, longest = (max(len(text) for line in lines for text in line) for lines in (texts, arrows))
    total = widest + (len(between) + longest if longest else 0)
    return [
        [f"{text:>{widest}}{between if sign else ''}{sign}".ljust(total) for text, sign in zip(*line, strict=True)]
        for line in zip(texts, arrows, strict=True)
    ]


def _arrow_cells(labels: _Lines, arrows: Sequence[Sequence[str]]) -> _Lines:
    """Only arrows, with as much of the label of a wall or an end as fits."""
    longest = max(len(sign) for line in arrows for sign in line)
    return [
        [(label[:longest] or sign).ljust(longest) for label, sign in zip(*line, strict=True)]
        for line in zip(labels, arrows, strict=True)
    ]


def _arrow(move: tuple[int, int]) -> str:
    return _ARROWS[int(np.sign(move[0])), int(np.sign(move[1]))]
