"""State values of a grid for the terminal."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from rlrun.pictures.digits import SCIENTIFIC, decimals_for, written
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


def values_as_text(layout: GridLayout, values: Float64Array, policy: Float64Array | None) -> str:
    """The grid in lines: each cell's value and an arrow for every action of positive probability.

    Walls are `####` and terminal cells `·`. Where that is wider than 100 columns, there are fewer digits, then arrows
    without values, then one sign a cell (`+`: several actions), and at last only as much of the grid as fits; what is
    left out is said beneath it. At most 50 rows.

    Args:
        layout: how the S states lie.
        values: [S].
        policy: [S, A] probabilities; None: no arrows.
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
    lines, gap = _most_that_fits(grid, wall, terminal, arrows)
    shown = len(lines[0])
    text = [gap.join(line).rstrip() for line in lines]
    left_out = [
        f"{left} more {name}" for left, name in ((height - len(lines), "rows"), (width - shown, "columns")) if left
    ]
    return "\n".join([*text, f"... and {' and '.join(left_out)}"] if left_out else text)


def _arrows(chosen: BoolArray, moves: tuple[tuple[int, int], ...]) -> str:
    return "".join(_ARROWS[_sign(move[0]), _sign(move[1])] for move, there in zip(moves, chosen, strict=True) if there)


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _width(lines: list[list[str]], gap: str) -> int:
    return max(len(gap.join(line)) for line in lines)


def _most_that_fits(
    grid: Float64Array, wall: BoolArray, terminal: BoolArray, arrows: _Signs
) -> tuple[list[list[str]], str]:
    """The cells of every line, and what goes between them."""
    wanted = decimals_for(grid[~wall & ~terminal])
    for decimals in [wanted] if wanted == SCIENTIFIC else range(wanted, -1, -1):
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
