"""The paper round a picture: title, legend, and several pictures beside one another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rlrun.pictures.colours import BLACK, LINE, PAPER, RGB, Scale
from rlrun.pictures.digits import decimals_for, written

PAD = 10  # pixels of paper round everything
_LEAST_WIDTH = 220
_BAR = (120, 12)  # width and height of the colour bar
_TITLE_SIZE, _LEGEND_SIZE = 16, 12
_NAMES = {"π": "pi", "γ": "gamma", "α": "alpha", "ε": "epsilon", "λ": "lambda", "−": "-", "θ": "theta"}


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own typeface; `size` in pixels."""
    loaded = ImageFont.load_default(size)
    assert isinstance(loaded, ImageFont.FreeTypeFont)
    return loaded


def text_width(text: str, size: int) -> float:
    """In pixels."""
    return font(size).getlength(text)


def on_paper(
    picture: NDArray[np.uint8], title: str, scale: Scale | None, key: Sequence[tuple[str, RGB]] = ()
) -> NDArray[np.uint8]:
    """The picture with its title above, and beneath it what the colours mean.

    Args:
        picture: uint8 [h, w, 3].
        title: broken into lines where it is longer than the picture is wide; empty: none.
        scale: of the colour bar; None: no bar.
        key: names and colours of what the bar does not explain.
    """
    inner = max(picture.shape[1], _LEAST_WIDTH)
    lines = _broken(_readable(title), inner) if title.strip() else []
    line_height = _TITLE_SIZE + 6
    top = PAD + line_height * len(lines)
    rows = _legend_rows(scale, key, inner)
    legend_top = top + picture.shape[0] + 8
    height = legend_top + (_LEGEND_SIZE + 8) * len(rows) + PAD // 2
    image = Image.new("RGB", (inner + 2 * PAD, height), PAPER)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((PAD, PAD // 2 + number * line_height), line, fill=BLACK, font=font(_TITLE_SIZE))
    image.paste(Image.fromarray(picture), (PAD + (inner - picture.shape[1]) // 2, top))
    for number, row in enumerate(rows):
        left: float = PAD
        for name, colour in row:
            middle = legend_top + number * (_LEGEND_SIZE + 8) + _LEGEND_SIZE / 2 + 2
            if colour is None:
                assert scale is not None
                left = _draw_bar(image, draw, scale, left, middle)
            else:
                draw.rectangle((left, middle - 6, left + 12, middle + 6), fill=colour, outline=LINE)
                draw.text((left + 17, middle), name, fill=BLACK, font=font(_LEGEND_SIZE), anchor="lm")
                left += _entry_width(name)
    return np.asarray(image, np.uint8).copy()


def side_by_side(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures in a row, tops aligned, on white paper with a gap.

    Args:
        images: uint8 [h, w, 3] each, of any heights and widths.

    Raises:
        ValueError: if there is none.
    """
    if not images:
        raise ValueError("side_by_side needs at least one picture")
    gap = 2 * PAD
    height = max(image.shape[0] for image in images)
    width = sum(image.shape[1] for image in images) + gap * (len(images) - 1)
    sheet = np.full((height, width, 3), 255, np.uint8)
    left = 0
    for image in images:
        sheet[: image.shape[0], left : left + image.shape[1]] = image
        left += image.shape[1] + gap
    return sheet


def _readable(title: str) -> str:
    """The title in characters that the typeface has."""
    named = "".join(_NAMES.get(character, character) for character in title)
    return "".join(character if ord(character) < 256 or character in "…–—" else "?" for character in named)


def _broken(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, _TITLE_SIZE) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for character in word:  # a word longer than a line is cut
            if text_width(lines[-1] + character, _TITLE_SIZE) > width:
                lines.append("")
            lines[-1] += character
    return lines


def _entry_width(name: str) -> float:
    return 17 + text_width(name, _LEGEND_SIZE) + 16


def _ends(scale: Scale) -> tuple[str, str]:
    decimals = decimals_for(np.array([scale.low, scale.high]))
    return written(scale.low, decimals), written(scale.high, decimals)


def _bar_width(scale: Scale) -> float:
    return _BAR[0] + 10 + sum(text_width(end, _LEGEND_SIZE) for end in _ends(scale)) + 16


def _legend_rows(scale: Scale | None, key: Sequence[tuple[str, RGB]], width: int) -> list[list[tuple[str, RGB | None]]]:
    """The entries, as many to a row as fit; the colour bar is the one without a colour."""
    entries: list[tuple[str, RGB | None, float]] = [(name, colour, _entry_width(name)) for name, colour in key]
    if scale is not None:
        entries.insert(0, ("", None, _bar_width(scale)))
    rows: list[list[tuple[str, RGB | None]]] = []
    used = 0.0
    for name, colour, needed in entries:
        if not rows or used + needed - 16 > width:
            rows.append([])
            used = 0.0
        rows[-1].append((name, colour))
        used += needed
    return rows


def _draw_bar(image: Image.Image, draw: ImageDraw.ImageDraw, scale: Scale, left: float, middle: float) -> float:
    low, high = _ends(scale)
    draw.text((left, middle), low, fill=BLACK, font=font(_LEGEND_SIZE), anchor="lm")
    start = round(left + text_width(low, _LEGEND_SIZE) + 5)
    width, height = _BAR
    shades = scale.colours(np.linspace(scale.low, scale.high, width))
    image.paste(Image.fromarray(np.repeat(shades[None], height, axis=0)), (start, round(middle) - height // 2))
    draw.text((start + width + 5, middle), high, fill=BLACK, font=font(_LEGEND_SIZE), anchor="lm")
    return left + _bar_width(scale)
