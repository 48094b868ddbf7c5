"""Values of the states and actions of a grid for the terminal."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from rlrun.pictures.numbers import best_actions, decimals_for, fewer_decimals, written
from rlrun.types import BoolArray, Float64Array, GridLayout

COLUMNS = 100  # of the terminal
MOST_ROWS = 50
_ARROWS = {
    (-1, 0): "↑",
    (0, 1): "→",
    (1, 0): "↓",
    (0, -1): "←",
    (-1, 1): "↗",
    (1, 1): "↘",
    (1, -1): "↙",
    (-1, -1): "↖",
    (0, 0): "o",
}
_Signs: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.object_]]  # [H, W] strings
_SEVERAL, _WALL, _END = "+", "####", "·"


def values_as_text(
    layout: GridLayout, values: Float64Array, policy: Float64Array | None, *, counts: bool = False
) -> str:
    """The grid in lines: each cell's value and an arrow for every action of positive probability.

    Walls are `####` and terminal cells `·`. Where that is wider than 100 columns, there are fewer digits, then arrows
    without values, then one sign a cell (`+`: several actions), and at last only as much of the grid as fits; what is
    left out is said beneath it. At most 50 rows.

    Args:
        layout: how the S states lie.
        values: [S].
        policy: [S, A] probabilities; None: no arrows.
        counts: whether values are whole numbers.
    """
    height, width = layout.shape
    corner = np.s_[: min(height, MOST_ROWS), : min(width, COLUMNS)]
    wall, terminal = layout.wall[corner], layout.terminal[corner] & ~layout.wall[corner]
    grid = values.reshape(height, width)[corner]
    arrows = np.full(grid.shape, "", dtype=object)
    if policy is not None:
        chosen = policy.reshape(height, width, -1)[corner] > 0
        for row, column in np.argwhere(~wall & ~terminal):
            arrows[row, column] = _arrows(chosen[row, column], layout.moves)
    wanted = 0 if counts else decimals_for(grid[~wall & ~terminal])
    lines, gap = _most_that_fits(grid, wall, terminal, arrows, wanted)
    shown = len(lines[0])
    text = [gap.join(line).rstrip() for line in lines]
    left_out = [
        f"{left} more {name}" for left, name in ((height - len(lines), "rows"), (width - shown, "columns")) if left
    ]
    return "\n".join([*text, f"... and {' and '.join(left_out)}"] if left_out else text)


def q_as_text(layout: GridLayout, q: Float64Array, legal: BoolArray) -> str | None:
    """The grid with a line for every action in each cell: where it leads, and its value; `*` marks the best ones.

    Illegal actions are left empty. Where that is wider than 100 columns, there are fewer digits.

    Args:
        layout: how the S states lie.
        q: [S, A].
        legal: [S, A].

    Returns:
        None where it does not fit 100 columns and 50 rows.
    """
    height = layout.shape[0]
    able = legal & ~(layout.wall | layout.terminal).reshape(-1, 1)
    if height * (len(layout.moves) + 1) > MOST_ROWS or not able.any():
        return None
    wanted = decimals_for(q[able])
    for decimals in fewer_decimals(wanted):
        numbers = np.full(q.shape, "", dtype=object)
        for at in map(tuple, np.argwhere(able)):
            numbers[at] = written(float(q[at]), decimals)
        for between, gap in ((" ", "  "), (" ", " "), ("", " ")):
            text = _q_lines(layout, numbers, best_actions(q, able), between, gap)
            if max(map(len, text.splitlines())) <= COLUMNS:
                return text
    return None


def _q_lines(layout: GridLayout, numbers: _Signs, best: BoolArray, between: str, gap: str) -> str:
    """Cells of as many lines as there are actions; numbers [S, A] are texts, empty where an action is illegal."""
    width = layout.shape[1]
    digits = max(map(len, numbers.reshape(-1)))
    empty = " " * (len("→") + len(between) + digits + len("*"))

    def cell(state: int, action: int) -> str:
        if numbers[state, action]:
            row, column = layout.moves[action]
            star = "*" if best[state, action] else " "
            return f"{_ARROWS[_sign(row), _sign(column)]}{between}{numbers[state, action]:>{digits}}{star}"
        at = divmod(state, width)
        sign = _WALL if layout.wall[at] else _END if layout.terminal[at] else ""
        return sign.center(len(empty)) if action == 0 else empty

    blocks = [
        "\n".join(
            gap.join(cell(row + column, action) for column in range(width)).rstrip()
            for action in range(len(layout.moves))
        )
        for row in range(0, numbers.shape[0], width)
    ]
    return "\n\n".join(blocks)


def _arrows(chosen: BoolArray, moves: tuple[tuple[int, int], ...]) -> str:
    return "".join(_ARROWS[_sign(move[0]), _sign(move[1])] for move, there in zip(moves, chosen, strict=True) if there)


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _width(lines: list[list[str]], gap: str) -> int:
    return max(len(gap.join(line)) for line in lines)


def _most_that_fits(
    grid: Float64Array, wall: BoolArray, terminal: BoolArray, arrows: _Signs, wanted: int
) -> tuple[list[list[str]], str]:
    """The cells of every line, and what goes between them."""
    for decimals in fewer_decimals(wanted):
        for between, gap in ((" ", "  "), (" ", " "), ("", " ")):
            lines = _cells(grid, wall, terminal, arrows, decimals, between)
            if _width(lines, gap) <= COLUMNS:
                return lines, gap
    if not any(arrows.reshape(-1)):  # as many whole cells as fit
        most = (COLUMNS + 1) // (len(lines[0][0]) + 1)
        return [line[:most] for line in lines], " "
    one_sign = np.array([[arrow if len(arrow) < 2 else _SEVERAL for arrow in line] for line in arrows], dtype=object)
    for signs in (arrows, one_sign):
        lines = _cells(grid, wall, terminal, signs, None, "")
        if _width(lines, " ") <= COLUMNS:
            return lines, " "
    return lines, ""


def _cells(
    grid: Float64Array,
    wall: BoolArray,
    terminal: BoolArray,
    arrows: _Signs,
    decimals: int | None,
    between: str,
) -> list[list[str]]:
    """Every cell in the same width; `decimals` None: arrows alone."""
    texts = [
        [
            _WALL if wall[at] else _END if terminal[at] else "" if decimals is None else written(grid[at], decimals)
            for at in ((row, column) for column in range(grid.shape[1]))
        ]
        for row in range(grid.shape[0])
    ]
    arrow_width = max(map(len, arrows.reshape(-1)))
    if decimals is None:
        return [
            [(text[:arrow_width] or arrow).ljust(arrow_width) for text, arrow in zip(line, signs, strict=True)]
            for line, signs in zip(texts, arrows, strict=True)
        ]
    widest = max(len(text) for line in texts for text in line)
    total = widest + (len(between) + arrow_width if arrow_width else 0)
    return [
        [
            (f"{text:>{widest}}{between}{arrow}" if arrow else f"{text:>{widest}}").ljust(total)
            for text, arrow in zip(line, signs, strict=True)
        ]
        for line, signs in zip(texts, arrows, strict=True)
    ]
