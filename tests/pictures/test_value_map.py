"""What a drawn grid says: its colours, numbers and arrows, as matplotlib holds them."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba, to_rgba_array
from matplotlib.quiver import Quiver

from rlrun.envs.grid_map import load_map, tabular_model
from rlrun.pictures.colours import END, END_EDGE, UNKNOWN, WALL
from rlrun.pictures.figures import cell_size
from rlrun.pictures.glyphs import Glyphs
from rlrun.pictures.grid import grid_place
from rlrun.pictures.sheet import new_figure, pixels
from rlrun.pictures.value_map import ValueMap
from rlrun.types import Float64Array, GridLayout

# A 2 x 2 grid: the end at the top right, a wall at the bottom left.
LAYOUT = GridLayout(np.array([[False, False], [True, False]]), np.array([[False, True], [False, False]]))
ROW = GridLayout(np.zeros((1, 5), bool), np.zeros((1, 5), bool))
LOW, HIGH = (68, 1, 84), (253, 231, 37)  # of viridis


def open_grid(height: int, width: int, **more: tuple[tuple[int, int], ...]) -> GridLayout:
    return GridLayout(np.zeros((height, width), bool), np.zeros((height, width), bool), **more)  # type: ignore[arg-type]


def drawn(
    layout: GridLayout,
    values: Float64Array,
    policy: Float64Array | None = None,
    limits: tuple[float, float] | None = None,
) -> Axes:
    """The axes of a grid on a figure of its own, which has been drawn."""
    place = grid_place(layout, cell_size(layout))
    figure = new_figure(place.paper)
    grid = ValueMap(figure, layout, place, "V", values, limits)
    grid.show(values, np.zeros((len(values), len(layout.moves))) if policy is None else policy)
    assert pixels(figure).ndim == 3
    return grid.axes


def colours(axes: Axes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """RGB [H, W, 3] of the cells."""
    (image,) = axes.images
    return np.asarray(image.get_array())[..., :3]


def numbers(axes: Axes) -> dict[tuple[float, float], str]:
    """What is written, by the (x, y) of its middle; a cell is one unit wide and high."""
    return {
        (round(float(x), 2), round(float(y), 2)): text
        for glyphs in axes.collections
        if isinstance(glyphs, Glyphs)
        for (x, y), text in zip(np.asarray(glyphs.get_offsets()), glyphs.texts, strict=True)
    }


def arrows(axes: Axes) -> dict[tuple[int, int], list[tuple[float, float]]]:
    """How far the arrows of each cell (x, y) go to the right and down."""
    (quiver,) = [each for each in axes.collections if isinstance(each, Quiver)]
    there = ~np.broadcast_to(np.asarray(quiver.Umask), np.shape(quiver.X))
    found: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for x, y, right, down in np.column_stack([quiver.X, quiver.Y, quiver.U, quiver.V])[there].tolist():
        found.setdefault((round(x), round(y)), []).append((right, down))
    return found


def rgb(colour: str) -> list[int]:
    return [round(255 * part) for part in to_rgba(colour)[:3]]


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def bar_ends(axes: Axes) -> list[str]:
    (bar,) = axes.child_axes
    return [label.get_text() for label in bar.get_xticklabels()]


def test_values_of_one_sign_grow_lighter() -> None:
    axes = drawn(ROW, np.array([-9.0, -1.0, -5.0, -7.0, -3.0]))
    light = colours(axes)[0, [0, 3, 2, 4, 1]] @ np.array([0.2126, 0.7152, 0.0722])
    assert all(lower + 5 < higher for lower, higher in pairwise(light))
    assert bar_ends(axes) == ["-9.00", "-1.00"]


def test_values_of_both_signs_go_over_white() -> None:
    axes = drawn(ROW, np.array([-4.0, -2.0, 0.0, 2.0, 4.0]))
    warmth = [red - blue for red, _, blue in colours(axes)[0].astype(int)]
    assert np.sign(np.round(warmth, -1)).tolist() == [-1, -1, 0, 1, 1]
    light = colours(axes)[0] @ np.array([0.2126, 0.7152, 0.0722])
    assert np.sign(np.diff(light)).tolist() == [1, 1, -1, -1]
    assert colours(axes)[0, 2].min() > 240


def test_zero_is_white_even_where_the_limits_are_lopsided() -> None:
    axes = drawn(ROW, np.array([-1.0, 0.0, 100.0, 50.0, 1.0]))
    assert colours(axes)[0, 1].min() > 240
    assert bar_ends(axes) == ["-1.00", "100.00"]


def test_given_limits_make_pictures_comparable() -> None:
    alone = drawn(ROW, np.full(5, 2.0), limits=(0.0, 4.0))
    among = drawn(ROW, np.array([0.0, 2.0, 4.0, 4.0, 4.0]))
    assert np.array_equal(colours(alone)[0, 1], colours(among)[0, 1])


@pytest.mark.parametrize("values", [[-1e308, 1e308, 0.0], [1e-320, 0.0, 2e-320], [0.0] * 3, [5.0] * 3])
def test_extreme_and_equal_values_have_a_colour(values: list[float]) -> None:
    axes = drawn(open_grid(1, 3), np.array(values), np.full((3, 4), 0.25))
    assert not (colours(axes) == rgb(UNKNOWN)).all(axis=-1).any()


def test_every_value_stands_in_the_middle_of_its_cell() -> None:
    axes = drawn(open_grid(2, 3), np.array([-1.5, 0.25, 3.0, -0.001, 10.0, -20.0]))
    written = ["-1.50", "0.25", "3.00", "0.00", "10.00", "-20.00"]
    assert numbers(axes) == {(float(at % 3), float(at // 3)): text for at, text in enumerate(written)}


@pytest.mark.parametrize("action", range(4))
def test_an_arrow_points_to_where_its_action_moves(action: int) -> None:
    layout, policy = open_grid(3, 3), np.zeros((9, 4))
    policy[4, action] = 1.0
    ((place, [(right, down)]),) = arrows(drawn(layout, np.linspace(1.0, 9.0, 9), policy)).items()
    assert place == (1, 1)
    assert (np.sign(down), np.sign(right)) == layout.moves[action]


def test_arrows_end_inside_their_cells_on_the_side_to_which_they_lead() -> None:
    axes = drawn(open_grid(1, 1), np.array([1.0]), np.full((1, 4), 0.25))
    (quiver,) = [each for each in axes.collections if isinstance(each, Quiver)]
    assert quiver.pivot == "tip"
    assert np.stack([quiver.Y, quiver.X], axis=1).tolist() == [[-0.47, 0.0], [0.0, 0.47], [0.47, 0.0], [0.0, -0.47]]


def test_moves_may_have_another_order_be_diagonal_or_stay() -> None:
    layout = open_grid(3, 3, moves=((1, 1), (0, 0)))
    policy = np.zeros((9, 2))
    policy[4] = (1.0, 0.0)
    policy[8] = (0.0, 1.0)
    found = arrows(drawn(layout, np.arange(9.0), policy))
    ((right, down),) = found[1, 1]
    assert right == down > 0
    assert found[2, 2] == [(0.0, 0.0)]  # drawn as a dot


def test_a_likelier_action_has_a_longer_arrow_and_ties_have_equal_ones() -> None:
    policy = np.zeros((5, 4))
    policy[2, 0], policy[2, 2] = 0.9, 0.1
    policy[3] = 0.25
    found = arrows(drawn(ROW, np.arange(1.0, 6.0), policy))
    (_, up), (_, down) = found[2, 0]
    assert -up > down > 0
    assert len({abs(right) + abs(down) for right, down in found[3, 0]}) == 1
    assert len(found[3, 0]) == 4


def test_walls_and_ends_have_no_arrows_and_walls_no_number() -> None:
    axes = drawn(LAYOUT, np.array([1.0, 0.0, 7.0, 3.0]), np.full((4, 4), 0.25))
    assert colours(axes)[1, 0].tolist() == rgb(WALL)
    assert colours(axes)[0, 1].tolist() == rgb(END)
    assert numbers(axes) == {(0.0, 0.0): "1.00", (1.0, 0.0): "0.00", (1.0, 1.0): "3.00"}
    assert sorted(arrows(axes)) == [(0, 0), (1, 1)]
    assert legend(axes) == ["wall", "end"]


def test_ends_are_framed() -> None:
    axes = drawn(LAYOUT, np.array([1.0, 0.0, 7.0, 3.0]))
    (frames,) = [each for each in axes.collections if np.array_equal(each.get_edgecolor(), to_rgba_array(END_EDGE))]
    (path,) = frames.get_paths()
    corners = np.asarray(path.vertices)
    assert ((corners.min(axis=0) + corners.max(axis=0)) / 2).tolist() == pytest.approx([1.0, 0.0])
    assert np.abs(corners - [1.0, 0.0]).max() < 0.5


def test_the_value_of_a_wall_or_an_end_does_not_stretch_the_colours() -> None:
    axes = drawn(LAYOUT, np.array([1.0, 1e9, -1e9, 3.0]))
    assert tuple(colours(axes)[0, 0]) == LOW
    assert tuple(colours(axes)[1, 1]) == HIGH
    assert bar_ends(axes) == ["1.00", "3.00"]


def test_what_is_not_finite_is_grey_and_written_and_the_rest_keeps_its_colours() -> None:
    axes = drawn(ROW, np.array([np.nan, np.inf, -np.inf, 1.0, 2.0]))
    assert (colours(axes)[0, :3] == rgb(UNKNOWN)).all()
    assert tuple(colours(axes)[0, 3]) == LOW
    assert tuple(colours(axes)[0, 4]) == HIGH
    assert list(numbers(axes).values()) == ["nan", "inf", "-inf", "1.00", "2.00"]
    assert legend(axes) == ["not finite"]


def test_a_picture_without_any_finite_value_is_drawn() -> None:
    assert (colours(drawn(ROW, np.full(5, np.nan), np.full((5, 4), 0.25))) == rgb(UNKNOWN)).all()


@pytest.mark.parametrize(
    ("shape", "says"), [((4, 4), "numbers"), ((20, 20), "numbers"), ((50, 100), "nothing"), ((1000, 1000), "nothing")]
)
def test_large_grids_say_less_and_no_side_is_too_long(shape: tuple[int, int], says: str) -> None:
    size, layout = shape[0] * shape[1], open_grid(*shape)
    layout.wall[2, 3] = layout.terminal[3, 2] = True
    place = grid_place(layout, cell_size(layout))
    assert max(place.paper) <= 14  # inches, of 100 pixels
    axes = drawn(layout, np.arange(size, dtype=np.float64), np.full((size, 4), 0.25))
    assert colours(axes).shape[:2] == shape
    assert bool(numbers(axes)) == (says == "numbers")
    assert colours(axes)[2, 3].tolist() == rgb(WALL)
    assert colours(axes)[3, 2].tolist() == rgb(END if says == "numbers" else END_EDGE)
    assert tuple(colours(axes)[-1, -1]) == HIGH


def test_cells_too_small_for_numbers_have_arrows_from_their_middles() -> None:
    axes = drawn(open_grid(40, 40), np.arange(1600.0) * 1000, np.full((1600, 4), 0.25))
    assert not numbers(axes)
    assert len(arrows(axes)) == 1600


@pytest.mark.parametrize("shape", [(3000, 2), (1, 5000)])
def test_long_and_thin_grids_are_drawn(shape: tuple[int, int]) -> None:
    size = shape[0] * shape[1]
    assert colours(drawn(open_grid(*shape), np.arange(size, dtype=np.float64))).shape[:2] == shape


def test_the_lecture_map_is_drawn_with_the_letters_of_its_ends() -> None:
    layout = tabular_model(load_map("lecture")).layout
    assert layout is not None
    values = np.array([0.0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0])
    axes = drawn(layout, values)
    assert {place: text for place, text in numbers(axes).items() if text == "T"} == {
        (-0.36, -0.36): "T",
        (2.64, 2.64): "T",
    }
    assert numbers(axes)[1, 0] == numbers(axes)[0, 1] == "-14.00"
    assert np.array_equal(colours(axes)[1, 0], colours(axes)[0, 1])


def test_numbers_and_arrows_stand_out_from_the_colours_of_their_cells() -> None:
    axes = drawn(ROW, np.array([-4.0, -1.0, 0.0, 1.0, 4.0]), np.eye(4)[[0] * 5])
    behind = colours(axes)[0] / 255
    (glyphs,) = [each for each in axes.collections if isinstance(each, Glyphs)]
    (quiver,) = [each for each in axes.collections if isinstance(each, Quiver)]
    of_arrows = np.asarray(quiver.get_facecolor())[~np.broadcast_to(np.asarray(quiver.Umask), np.shape(quiver.X))][
        :, :3
    ]

    def contrast(one: Float64Array, other: Float64Array) -> float:
        lights = [np.dot(colour**2.2, [0.2126, 0.7152, 0.0722]) + 0.05 for colour in (one, other)]
        return float(max(lights) / min(lights))

    for ink in (np.asarray(glyphs.get_facecolor())[:, :3], of_arrows):
        assert min(contrast(*pair) for pair in zip(behind, ink, strict=True)) > 4.5  # what WCAG 2 asks for text


def test_the_same_grid_shows_other_values_without_a_new_drawing() -> None:
    place = grid_place(ROW, cell_size(ROW))
    figure = new_figure(place.paper)
    tables, policy = np.array([[0.0, 1.0, 2.0, 3.0, 4.0], [4.0, 0.125, 0.0, 0.0, 0.0]]), np.eye(4)[[1] * 5]
    grid = ValueMap(figure, ROW, place, "V", tables)
    for values in tables:
        grid.show(values, policy)
    before = len(grid.axes.collections)
    assert list(numbers(grid.axes).values()) == ["4.00", "0.12", "0.00", "0.00", "0.00"]
    assert tuple(colours(grid.axes)[0, 0]) == HIGH
    grid.show(tables[0], policy[:, ::-1])
    assert list(numbers(grid.axes).values()) == ["0.00", "1.00", "2.00", "3.00", "4.00"]
    assert all(down > 0 for ((_, down),) in arrows(grid.axes).values())
    assert len(grid.axes.collections) == before
