from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from rlrun.envs.grid_map import load_map, tabular_model
from rlrun.pictures.cells import Raster
from rlrun.pictures.colours import BLACK, END_BORDER, HATCH, PAPER, UNKNOWN, WALL, Scale, ink_on
from rlrun.pictures.digits import best_actions, decimals_for, written
from rlrun.pictures.heat_map import draw_values, fitting
from rlrun.pictures.sheet import PAD, on_paper, side_by_side, text_width
from rlrun.types import GridLayout

# A 2 x 2 grid: the end at the top right, a wall at the bottom left.
LAYOUT = GridLayout(np.array([[False, False], [True, False]]), np.array([[False, True], [False, False]]))
ROW = GridLayout(np.zeros((1, 5), bool), np.zeros((1, 5), bool))


def cell(picture: NDArray[np.uint8], layout: GridLayout, row: int, column: int, pixels: int = 64) -> NDArray[np.uint8]:
    """The pixels of a cell without its lines; the grid is centred and begins beneath an empty title."""
    left = PAD + (picture.shape[1] - 2 * PAD - (layout.shape[1] * pixels + 1)) // 2 + column * pixels
    top = PAD + row * pixels
    return picture[top + 1 : top + pixels, left + 1 : left + pixels]


def count(pixels: NDArray[np.uint8], colour: tuple[int, int, int]) -> int:
    return int((pixels == np.array(colour)).all(axis=-1).sum())


def background(pixels: NDArray[np.uint8]) -> tuple[int, ...]:
    """The commonest colour."""
    colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    return tuple(int(part) for part in colours[counts.argmax()])


def luminance(colour: tuple[int, ...]) -> float:
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def test_values_of_one_sign_grow_lighter() -> None:
    picture = draw_values(ROW, np.array([-9.0, -1.0, -5.0, -7.0, -3.0]), None, "")
    light = [luminance(background(cell(picture, ROW, 0, column))) for column in (0, 3, 2, 4, 1)]
    assert all(lower + 5 < higher for lower, higher in pairwise(light))


def test_values_of_both_signs_go_from_blue_over_white_to_orange() -> None:
    picture = draw_values(ROW, np.array([-4.0, -2.0, 0.0, 2.0, 4.0]), None, "")
    colours = [background(cell(picture, ROW, 0, column)) for column in range(5)]
    warmth = [red - blue for red, _, blue in colours]
    assert all(lower + 20 < higher for lower, higher in pairwise(warmth))
    assert colours[2] == (248, 248, 248)


def test_zero_is_white_even_where_the_limits_are_lopsided() -> None:
    scale = Scale.of(np.array([-1.0, 0.0, 100.0]))
    assert scale.colours(np.array([0.0])).tolist() == [[248, 248, 248]]


def test_given_limits_make_pictures_comparable() -> None:
    alone = draw_values(ROW, np.full(5, 2.0), None, "", limits=(0.0, 4.0))
    among = draw_values(ROW, np.array([0.0, 2.0, 4.0, 4.0, 4.0]), None, "")
    assert background(cell(alone, ROW, 0, 1)) == background(cell(among, ROW, 0, 1))


@pytest.mark.parametrize("values", [[-1e308, 1e308, 0.0], [1e-320, 0.0, 2e-320], [0.0, 0.0, 0.0], [5.0, 5.0, 5.0]])
def test_extreme_and_equal_values_have_a_colour(values: list[float]) -> None:
    colours = Scale.of(np.array(values)).colours(np.array(values))
    assert (colours != UNKNOWN).any(axis=-1).all()


def test_the_ink_stands_out_from_every_colour_of_both_scales() -> None:
    def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
        lights = [np.dot((np.array(colour) / 255) ** 2.2, [0.2126, 0.7152, 0.0722]) + 0.05 for colour in (one, other)]
        return float(max(lights) / min(lights))

    for low in (-1.0, 0.0):
        for colour in Scale(low, 1.0).colours(np.linspace(low, 1.0, 200)):
            assert contrast(ink_on(colour), tuple(colour)) > 4.5  # what WCAG 2 asks for text


@pytest.mark.parametrize("action", range(4))
def test_an_arrow_lies_on_the_side_to_which_its_action_moves(action: int) -> None:
    layout = GridLayout(np.zeros((3, 3), bool), np.zeros((3, 3), bool))
    policy = np.zeros((9, 4))
    policy[4, action] = 1.0
    values = np.linspace(1.0, 9.0, 9)
    changed = cell(draw_values(layout, values, policy, ""), layout, 1, 1) != cell(
        draw_values(layout, values, np.zeros((9, 4)), ""), layout, 1, 1
    )
    rows, columns, _ = np.nonzero(changed)
    offset = np.array([rows.mean() - 31.5, columns.mean() - 31.5])
    assert len(rows) > 30
    assert np.dot(offset, layout.moves[action]) > 15
    assert abs(np.dot(offset, layout.moves[(action + 1) % 4])) < 1


def test_moves_may_have_another_order_and_be_diagonal() -> None:
    layout = GridLayout(np.zeros((3, 3), bool), np.zeros((3, 3), bool), moves=((1, 1), (0, 0)))
    policy = np.zeros((9, 2))
    without = cell(draw_values(layout, np.arange(9.0), policy, ""), layout, 1, 1)
    policy[4, 0] = 1.0
    rows, columns, _ = np.nonzero(cell(draw_values(layout, np.arange(9.0), policy, ""), layout, 1, 1) != without)
    assert rows.mean() > 36
    assert columns.mean() > 36
    policy[4] = (0.0, 1.0)
    assert (cell(draw_values(layout, np.arange(9.0), policy, ""), layout, 1, 1) != without).any()


def test_a_likelier_action_has_a_longer_arrow() -> None:
    policy = np.zeros((5, 4))
    policy[2, 0], policy[2, 2] = 0.9, 0.1
    values = np.arange(1.0, 6.0)
    bare = cell(draw_values(ROW, values, np.zeros((5, 4)), ""), ROW, 0, 2)
    changed = (cell(draw_values(ROW, values, policy, ""), ROW, 0, 2) != bare).any(axis=-1)
    above, below = changed[:31].any(axis=1).sum(), changed[32:].any(axis=1).sum()
    assert above > below >= 3


def test_walls_and_ends_have_no_arrows_and_walls_no_number() -> None:
    values = np.array([1.0, 0.0, 7.0, 3.0])
    everywhere = np.full((4, 4), 0.25)
    picture = draw_values(LAYOUT, values, everywhere, "")
    wall, end = cell(picture, LAYOUT, 1, 0), cell(picture, LAYOUT, 0, 1)
    assert (wall == WALL).all()
    np.testing.assert_array_equal(end, cell(draw_values(LAYOUT, values, np.zeros((4, 4)), ""), LAYOUT, 0, 1))
    assert count(end, END_BORDER) > 4 * 60
    assert count(end, BLACK) > 10  # its value
    assert count(cell(picture, LAYOUT, 1, 1), END_BORDER) == 0


def test_the_value_of_a_wall_or_an_end_does_not_stretch_the_colours() -> None:
    picture = draw_values(LAYOUT, np.array([1.0, 1e9, -1e9, 3.0]), None, "")
    assert background(cell(picture, LAYOUT, 0, 0)) == (68, 1, 84)
    assert background(cell(picture, LAYOUT, 1, 1)) == (253, 231, 37)


def test_what_is_not_finite_is_hatched_and_the_rest_keeps_its_colours() -> None:
    picture = draw_values(ROW, np.array([np.nan, np.inf, -np.inf, 1.0, 2.0]), None, "")
    for column in range(3):
        assert count(cell(picture, ROW, 0, column), HATCH) > 500
        assert count(cell(picture, ROW, 0, column), UNKNOWN) > 500
    assert background(cell(picture, ROW, 0, 3)) == (68, 1, 84)
    assert background(cell(picture, ROW, 0, 4)) == (253, 231, 37)


def test_a_picture_without_any_finite_value_is_drawn() -> None:
    picture = draw_values(ROW, np.full(5, np.nan), np.full((5, 4), 0.25), "")
    assert count(picture, HATCH) > 5 * 500


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [((10, 10), 64), ((1, 7), 64), ((40, 40), 32), ((50, 100), 13), ((1000, 1000), 1), ((3000, 2), 0), ((1, 5000), 0)],
)
def test_cells_shrink_and_no_side_is_too_long(shape: tuple[int, int], pixels: int) -> None:
    size = shape[0] * shape[1]
    layout = GridLayout(np.zeros(shape, bool), np.zeros(shape, bool))
    assert Raster.of(shape, 64).cell == pixels
    picture = draw_values(layout, np.arange(size, dtype=np.float64), np.full((size, 4), 0.25), "large and small")
    assert picture.dtype == np.uint8
    assert max(picture.shape) <= 1400
    assert picture.shape[1] >= shape[1] * pixels


def test_a_million_cells_are_a_pixel_each() -> None:
    layout = GridLayout(np.zeros((1000, 1000), bool), np.zeros((1000, 1000), bool))
    layout.wall[20, 30] = layout.terminal[40, 50] = True
    picture = draw_values(layout, np.arange(1e6), None, "")
    assert tuple(picture[PAD + 20, PAD + 30]) == WALL
    assert tuple(picture[PAD + 40, PAD + 50]) == END_BORDER
    assert tuple(picture[PAD, PAD]) == (68, 1, 84)
    assert tuple(picture[PAD + 999, PAD + 999]) == (253, 231, 37)


def test_the_lecture_map_is_drawn_with_the_letters_of_its_ends() -> None:
    layout = tabular_model(load_map("lecture")).layout
    assert layout is not None
    bare = GridLayout(layout.wall, layout.terminal)
    values = np.array([0.0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0])
    with_letters, without = draw_values(layout, values, None, ""), draw_values(bare, values, None, "")
    assert (cell(with_letters, layout, 0, 0) != cell(without, layout, 0, 0)).any()
    np.testing.assert_array_equal(cell(with_letters, layout, 1, 1), cell(without, layout, 1, 1))
    assert background(cell(without, layout, 1, 0)) == background(cell(without, layout, 0, 1))  # both -14


def test_arrays_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="4 states"):
        draw_values(LAYOUT, np.zeros(5), None, "")
    with pytest.raises(ValueError, match="4 moves"):
        draw_values(LAYOUT, np.zeros(4), np.zeros((4, 3)), "")


def test_a_long_title_is_broken_and_not_clipped() -> None:
    picture = np.zeros((20, 300, 3), np.uint8)
    short = on_paper(picture, "V", None)
    long = on_paper(picture, "the value of the random policy after " + "very" * 40 + " many sweeps", None)
    assert long.shape[1] == short.shape[1] == 300 + 2 * PAD
    assert long.shape[0] >= short.shape[0] + 2 * 22
    assert (long[:, -PAD + 2 :] == PAPER).all()


def test_pictures_stand_side_by_side_on_white() -> None:
    sheet = side_by_side([np.full((4, 3, 3), 10, np.uint8), np.full((6, 5, 3), 20, np.uint8)])
    assert sheet.shape == (6, 3 + 20 + 5, 3)
    assert (sheet[:4, :3] == 10).all()
    assert (sheet[4:, :3] == 255).all()
    assert (sheet[:, 3:23] == 255).all()
    assert (sheet[:, 23:] == 20).all()
    with pytest.raises(ValueError, match="at least one"):
        side_by_side([])


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-14.0, 1, "-14.0"), (-0.04, 1, "0.0"), (0.85, 2, "0.85"), (1.5e7, -1, "1.5e7"), (2e-5, -1, "2.0e-5")],
)
def test_numbers_are_written(value: float, decimals: int, text: str) -> None:
    assert written(value, decimals) == text


@pytest.mark.parametrize(
    ("largest", "decimals"), [(0.0, 1), (0.85, 2), (9.0, 2), (22.0, 1), (1234.0, 0), (0.05, 4), (3e6, -1), (1e-5, -1)]
)
def test_decimals_follow_the_largest_value(largest: float, decimals: int) -> None:
    assert decimals_for(np.array([0.0, -largest, np.nan, np.inf])) == decimals


def test_smaller_type_comes_before_fewer_decimals() -> None:
    room = text_width("-0.78", 13)
    size, texts = fitting(np.array([0.25, -0.78]), room, 15) or (0, [])
    assert texts == ["0.25", "-0.78"]
    assert 13 <= size < 15
    assert text_width("-0.78", size) <= room < text_width("-0.78", 15)


def test_few_wide_numbers_lose_decimals_before_all_do() -> None:
    room = text_width("-107", 12)
    assert fitting(np.array([-7.2, -6.5, -106.7]), room, 12) == (10, ["-7.2", "-6.5", "-107"])
    assert fitting(np.array([-7.2, -106.5, -106.7]), room, 12) == (12, ["-7", "-106", "-107"])
    assert fitting(np.array([-7.2]), 3.0, 12) is None


def test_ties_are_all_best_and_illegal_or_unknown_actions_never() -> None:
    q = np.array([[1.0, 1.0 + 1e-12, 0.0], [np.nan, 2.0, 5.0], [np.inf, 1.0, np.inf], [-np.inf] * 3])
    legal = np.array([[True] * 3, [True, True, False], [True] * 3, [False] * 3])
    assert best_actions(q, legal).tolist() == [
        [True, True, False],
        [False, True, False],
        [True, False, True],
        [False, False, False],
    ]
