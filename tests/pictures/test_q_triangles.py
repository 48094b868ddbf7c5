"""What the triangles say, as matplotlib holds them."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba

from rlrun.pictures.colours import END, UNKNOWN, WALL
from rlrun.pictures.glyphs import Glyphs
from rlrun.pictures.grid import grid_place
from rlrun.pictures.q_triangles import draw_q
from rlrun.pictures.sheet import new_figure, pixels
from rlrun.types import BoolArray, Float64Array, GridLayout

LAYOUT = GridLayout(np.array([[False, True, False]]), np.array([[False, False, True]]))
LEGAL = np.array([[True] * 4, [False] * 4, [False] * 4])
SIDES = ["north", "east", "south", "west"]
LOW, HIGH = (68, 1, 84), (253, 231, 37)  # of viridis


def drawn(layout: GridLayout, q: Float64Array, legal: BoolArray, cell: float = 1.0) -> Axes:
    place = grid_place(layout, cell)
    figure = new_figure(place.paper)
    axes = draw_q(figure, layout, place, "Q", q, legal)
    assert pixels(figure).ndim == 3
    return axes


def table(*values: float) -> Float64Array:
    return np.array([values, (0.0,) * 4, (0.0,) * 4])


def side(corners: Float64Array) -> str:
    """Where a triangle lies in its cell."""
    x, y = corners[:3].mean(axis=0) - np.round(corners[:3].mean(axis=0))
    return ("east" if x > 0 else "west") if abs(x) > abs(y) else ("south" if y > 0 else "north")


def triangles(axes: Axes, *, filled: bool) -> dict[str, tuple[int, ...]]:
    """The colours of the triangles of the only cell with any, or of the lines round the best ones, by side."""
    found = {}
    for collection in axes.collections:
        inside = isinstance(collection, PolyCollection) and all(
            np.shape(path.vertices) == (4, 2) for path in collection.get_paths()
        )
        faces, edges = np.asarray(collection.get_facecolor()), np.asarray(collection.get_edgecolor())
        if inside and bool(len(faces)) == filled:
            colours = faces if filled else edges
            for path, colour in zip(collection.get_paths(), colours, strict=True):
                found[side(np.asarray(path.vertices))] = tuple((255 * colour[:3]).round().astype(int).tolist())
    return found


def numbers(axes: Axes) -> dict[str, str]:
    (glyphs,) = [each for each in axes.collections if isinstance(each, Glyphs)]
    places = [np.repeat(place[None], 3, axis=0) for place in np.asarray(glyphs.get_offsets())]
    return {side(place): text for place, text in zip(places, glyphs.texts, strict=True)}


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in to_rgba(colour)[:3])


@pytest.mark.parametrize("best", range(4))
def test_the_triangle_of_an_action_lies_where_it_leads(best: int) -> None:
    q = np.ones((3, 4))
    q[0, best] = 3.0
    axes = drawn(LAYOUT, q, LEGAL)
    where = {name: at == best for at, name in enumerate(SIDES)}
    assert triangles(axes, filled=True) == {name: HIGH if is_best else LOW for name, is_best in where.items()}
    assert numbers(axes) == {name: "3.00" if is_best else "1.00" for name, is_best in where.items()}


def test_the_order_of_the_moves_is_free() -> None:
    west_first = GridLayout(LAYOUT.wall, LAYOUT.terminal, moves=((0, -1), (1, 0), (0, 1), (-1, 0)))
    axes = drawn(west_first, table(4.0, 3.0, 2.0, 1.0), LEGAL)
    assert numbers(axes) == dict(zip(SIDES, ["1.00", "2.00", "3.00", "4.00"], strict=True))
    assert triangles(axes, filled=True) == triangles(drawn(LAYOUT, table(1.0, 2.0, 3.0, 4.0), LEGAL), filled=True)


def test_the_best_actions_alone_are_outlined_and_ties_all() -> None:
    assert list(triangles(drawn(LAYOUT, table(2.0, 2.0, 2.0, 3.0), LEGAL), filled=False)) == ["west"]
    assert list(triangles(drawn(LAYOUT, table(2.0, 3.0, 2.0, 3.0), LEGAL), filled=False)) == ["east", "west"]


def test_illegal_actions_walls_and_ends_have_no_value() -> None:
    legal = LEGAL.copy()
    legal[0, 1] = False
    axes = drawn(LAYOUT, table(1.0, -np.inf, 2.0, 1.0), legal)
    found = dict(zip(SIDES, (LOW, rgb(END), HIGH, LOW), strict=True))
    assert triangles(axes, filled=True) == found
    assert numbers(axes) == {"north": "1.00", "south": "2.00", "west": "1.00"}
    (ground,) = axes.images
    assert [tuple(colour) for colour in (255 * np.asarray(ground.get_array())[0, 1:, :3]).round()] == [
        rgb(WALL),
        rgb(END),
    ]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["wall", "end", "illegal"]


def test_an_unknown_value_is_grey_and_no_best_one() -> None:
    axes = drawn(LAYOUT, table(1.0, np.nan, 2.0, 1.0), LEGAL)
    assert triangles(axes, filled=True)["east"] == rgb(UNKNOWN)
    assert list(triangles(axes, filled=False)) == ["south"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (20, 20)])
def test_every_size_is_drawn(shape: tuple[int, int]) -> None:
    layout = GridLayout(np.zeros(shape, bool), np.zeros(shape, bool))
    size = shape[0] * shape[1]
    axes = drawn(layout, np.arange(size * 4.0).reshape(size, 4), np.ones((size, 4), bool), 0.84)
    assert sum(len(each.texts) for each in axes.collections if isinstance(each, Glyphs)) == 4 * size
