"""Grid worlds as text and as a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rlrun.envs.grid_map import GridMap

CELL_PIXELS = 48
_PAPER, _LINE, _WALL, _END = (255, 255, 255), (200, 200, 200), (70, 70, 70), (176, 176, 176)
_GAIN, _LOSS, _JUMP, _START, _AGENT = (178, 223, 138), (251, 154, 153), (166, 206, 227), (120, 120, 120), (31, 90, 180)


def render_ansi(grid: GridMap, cell: int) -> str:
    """The map as it was written, with `@` where the agent is."""
    width = grid.shape[1]
    rows = [list(row) for row in grid.marks]
    rows[cell // width][cell % width] = "@"
    return "\n".join(" ".join(row) for row in rows)


def render_rgb(grid: GridMap, cell: int) -> NDArray[np.uint8]:
    """A picture, uint8 [H * 48 + 1, W * 48 + 1, 3]: walls dark, ends grey, gains green, losses red, agent blue."""
    height, width = grid.shape
    image = Image.new("RGB", (width * CELL_PIXELS + 1, height * CELL_PIXELS + 1), _PAPER)
    draw = ImageDraw.Draw(image)
    for state in range(grid.num_states):
        row, column = divmod(state, width)
        left, top = column * CELL_PIXELS, row * CELL_PIXELS
        box = (left, top, left + CELL_PIXELS, top + CELL_PIXELS)
        draw.rectangle(box, fill=_colour(grid, row, column), outline=_LINE)
        reward = grid.cell_reward[row, column]
        if reward:
            draw.text((left + CELL_PIXELS / 2, top + CELL_PIXELS / 2), f"{reward:+g}", fill=(0, 0, 0), anchor="mm")
        elif grid.start[row, column] and grid.start.sum() == 1:
            draw.text((left + CELL_PIXELS / 2, top + CELL_PIXELS / 2), "S", fill=_START, anchor="mm")
    row, column = divmod(cell, width)
    margin = CELL_PIXELS // 4
    left, top = column * CELL_PIXELS + margin, row * CELL_PIXELS + margin
    draw.ellipse((left, top, left + CELL_PIXELS - 2 * margin, top + CELL_PIXELS - 2 * margin), fill=_AGENT)
    return np.asarray(image, np.uint8)


def _colour(grid: GridMap, row: int, column: int) -> tuple[int, int, int]:
    if grid.wall[row, column]:
        return _WALL
    reward = grid.cell_reward[row, column]
    if reward:
        return _GAIN if reward > 0 else _LOSS
    if grid.terminal[row, column] or grid.exits[row, column]:
        return _END
    return _JUMP if grid.jump[row, column] >= 0 else _PAPER
