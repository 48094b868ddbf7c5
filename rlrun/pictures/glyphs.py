"""Many short texts on axes, drawn as one artist: hundreds of matplotlib texts take seconds per frame."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath, text_to_path
from matplotlib.transforms import Affine2D

from rlrun.types import Float64Array

_HALF_HEIGHT = 0.365  # of a digit, in units of the font size


class Glyphs(PathCollection):
    """Texts, each centred on its position.

    Args:
        axes: to draw on.
        places: [N, 2] (x, y) in the coordinates of the axes.
        size: of the font, in points.
    """

    def __init__(self, axes: Axes, places: Float64Array, size: float) -> None:
        super().__init__([], offsets=places, offset_transform=axes.transData, linewidths=0.0, zorder=3)
        self.set_snap(False)  # snapping would lose the strokes of a plus sign
        self.set_transform(Affine2D().scale(size * axes.figure.dpi / 72))
        self.texts: tuple[str, ...] = ()
        axes.add_collection(self, autolim=False)

    def show(self, texts: Sequence[str], inks: Float64Array) -> None:
        """Shows N texts in the colours RGBA [N, 4]."""
        self.texts = tuple(texts)
        self.set(paths=[_outline(text) for text in texts], facecolor=inks)


def width_of(text: str) -> float:
    """Width in units of the font size."""
    return sum(_glyph(character)[1] for character in text)


@lru_cache(maxsize=4096)
def _outline(text: str) -> Path:
    """The outline of a text centred on (0, 0), in units of the font size."""
    left, paths = -width_of(text) / 2, []
    for path, width in map(_glyph, text):
        paths.append(Path(path.vertices + np.array([left, -_HALF_HEIGHT]), path.codes))
        left += width
    return Path.make_compound_path(*paths)


@lru_cache(maxsize=256)
def _glyph(character: str) -> tuple[Path, float]:
    """Its outline and width, in units of the font size."""
    width, _, _ = text_to_path.get_text_width_height_descent(character, FontProperties(size=1.0), ismath=False)
    return TextPath((0.0, 0.0), character, size=1.0), width
