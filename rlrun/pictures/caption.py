"""Words in columns under a picture, which stay where they are from one picture of a film to the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_SIZE, _LINE, _PAD = 14, 20, 10  # pixels: of letters, from one line to the next, and of paper round them
_LEAST_WIDTH = 336


def captioned(picture: NDArray[np.uint8], rows: Sequence[Sequence[str]]) -> NDArray[np.uint8]:
    """The picture on white paper, with rows of words under it; words too long for their column are cut.

    Args:
        picture: uint8 [h, w, 3].
        rows: words, by row and column; columns are equally wide.
    """
    height, width = picture.shape[0], max(picture.shape[1], _LEAST_WIDTH)
    image = Image.new("RGB", (width, height + _LINE * len(rows) + _PAD), "white")
    image.paste(Image.fromarray(picture), ((width - picture.shape[1]) // 2, 0))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(_SIZE)
    for number, row in enumerate(rows):
        column = (width - _PAD) / len(row)
        for place, words in enumerate(row):
            position = (_PAD + place * column, height + _PAD / 2 + number * _LINE)
            draw.text(position, _cut(words, column - _PAD / 2, font), fill="black", font=font)
    return np.asarray(image, np.uint8)


def _cut(words: str, width: float, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    while words and font.getlength(words) > width:
        words = words[:-2] + "…" if len(words) > 2 else ""
    return words
