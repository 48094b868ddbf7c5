"""Words in columns under a picture, which stay where they are from one picture of a film to the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rlrun.pictures.colours import BLACK, PAPER
from rlrun.pictures.sheet import PAD, font, text_width

_SIZE, _LINE = 14, 20  # pixels: of letters, and from one line to the next
_LEAST_WIDTH = 336


def captioned(picture: NDArray[np.uint8], rows: Sequence[Sequence[str]]) -> NDArray[np.uint8]:
    """The picture on white paper, with rows of words under it; words too long for their column are cut.

    Args:
        picture: uint8 [h, w, 3].
        rows: words, by row and column; columns are equally wide.
    """
    height, width = picture.shape[0], max(picture.shape[1], _LEAST_WIDTH)
    image = Image.new("RGB", (width, height + _LINE * len(rows) + PAD), PAPER)
    image.paste(Image.fromarray(picture), ((width - picture.shape[1]) // 2, 0))
    draw = ImageDraw.Draw(image)
    for number, row in enumerate(rows):
        column = (width - PAD) / len(row)
        for place, words in enumerate(row):
            position = (PAD + place * column, height + PAD / 2 + number * _LINE)
            draw.text(position, _cut(words, column - PAD / 2), fill=BLACK, font=font(_SIZE))
    return np.asarray(image, np.uint8)


def _cut(words: str, width: float) -> str:
    while words and text_width(words, _SIZE) > width:
        words = words[:-2] + "…" if len(words) > 2 else ""
    return words
