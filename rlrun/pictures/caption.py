"""Text in columns under a frame, at fixed positions through a video."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_SIZE, _LINE, _PAD = 14, 20, 10  # pixels: of letters, of lines, and of the margin
_LEAST_WIDTH = 336


def captioned(picture: NDArray[np.uint8], rows: Sequence[Sequence[str]]) -> NDArray[np.uint8]:
    """The picture on white, with rows of text under it; text too long for its column is cut.

    Args:
        picture: uint8 [h, w, 3].
        rows: texts by row and column; columns are equally wide.
    """
    height, width = picture.shape[0], max(picture.shape[1], _LEAST_WIDTH)
    image = Image.new("RGB", (width, height + _LINE * len(rows) + _PAD), "white")
    image.paste(Image.fromarray(picture), ((width - picture.shape[1]) // 2, 0))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(_SIZE)
    for number, row in enumerate(rows):
        column = (width - _PAD) / len(row)
        for place, text in enumerate(row):
            position = (_PAD + place * column, height + _PAD / 2 + number * _LINE)
            draw.text(position, cut(text, column - _PAD / 2, font), fill="black", font=font)
    return np.asarray(image, np.uint8)


def cut(text: str, width: float, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """As much of a text as fits in `width` pixels, with an ellipsis."""
    while text and font.getlength(text) > width:
        text = text[:-2] + "…" if len(text) > 2 else ""
    return text
