"""Pictures of states that have only a name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 240, 96  # pixels
_SIZES = (32, 24, 18, 14, 11)  # of letters: the largest that fits every name is used
_PAPER, _INK, _FRAME = (255, 255, 255), (0, 0, 0), (31, 90, 180)
_MARGIN = 8


def render_name(names: Sequence[str], state: int) -> NDArray[np.uint8]:
    """A picture, uint8 [96, 240, 3]: the name in a frame; where it is too long, as much of it as fits."""
    longest = max(names, key=len)
    room = WIDTH - 4 * _MARGIN
    size = next((size for size in _SIZES if _width(longest, size) <= room), _SIZES[-1])
    name = names[state]
    while _width(name, size) > room:
        name = name[:-2] + "…"
    image = Image.new("RGB", (WIDTH, HEIGHT), _PAPER)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle(
        (_MARGIN, _MARGIN, WIDTH - _MARGIN, HEIGHT - _MARGIN), radius=12, outline=_FRAME, width=3, fill=_PAPER
    )
    draw.text((WIDTH / 2, HEIGHT / 2), name, fill=_INK, font=ImageFont.load_default(size), anchor="mm")
    return np.asarray(image, np.uint8)


def _width(text: str, size: int) -> float:
    return ImageFont.load_default(size).getlength(text)
