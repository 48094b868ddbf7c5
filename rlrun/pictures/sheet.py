"""The page around a picture: its position on the figure, its title, and the legend beneath it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image

from rlrun.files import write_atomically
from rlrun.pictures.colours import Scale

DPI = 100  # pixels an inch
POINTS = 72  # an inch
_MARGIN, _TITLE, _LEGEND, _LEAST_WIDTH = 0.12, 0.36, 0.46, 3.3  # inches


class Place(NamedTuple):
    """The place of a picture without title, legend and margins, in inches; left and top are those of the page."""

    width: float
    height: float
    left: float = 0.0
    top: float = 0.0

    @property
    def paper(self) -> tuple[float, float]:
        """Width and height with title, legend and margins."""
        return max(self.width, _LEAST_WIDTH) + 2 * _MARGIN, self.height + _TITLE + _LEGEND


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure, width and height in inches. Unlike those of pyplot, it is not kept open."""
    return Figure(figsize=size, dpi=DPI)


def axes_at(figure: Figure, place: Place, title: str) -> Axes:
    """Axes with a title above them."""
    width, height = figure.get_size_inches()
    bottom = height - place.top - _TITLE - place.height
    left = place.left + _MARGIN
    axes = figure.add_axes((left / width, bottom / height, place.width / width, place.height / height))
    axes.set_title(title, loc="left", fontsize=11)
    return axes


def explain(axes: Axes, place: Place, scale: Scale, kinds: Sequence[tuple[str, str]]) -> None:
    """Draws the labelled colour bar beneath the axes, and next to it a legend of the other colours."""
    width, height = place.width, place.height
    scale.draw_bar(axes.inset_axes((0.0, -0.22 / height, 1.3 / width, 0.12 / height)))
    axes.legend(
        handles=[Patch(facecolor=colour, label=name) for name, colour in kinds],
        loc="upper left",
        bbox_to_anchor=(1.5 / width, -0.08 / height),
        borderaxespad=0.0,
        borderpad=0.0,
        ncols=3,
        frameon=False,
        fontsize=8,
        handlelength=1.0,
        columnspacing=1.0,
    )


def pixels(figure: Figure) -> NDArray[np.uint8]:
    """The figure as RGB uint8 [h, w, 3]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save_picture(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes RGB [h, w, 3] as PNG; the file is written whole or not at all."""
    write_atomically(path, lambda file: Image.fromarray(image).save(file, "PNG", optimize=True))
