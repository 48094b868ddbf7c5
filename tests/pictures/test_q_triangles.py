import numpy as np
import pytest
from numpy.typing import NDArray

from rlrun.pictures.colours import END, HATCH, WALL
from rlrun.pictures.q_triangles import draw_q
from rlrun.pictures.sheet import PAD
from rlrun.types import GridLayout

CELL = 96
LAYOUT = GridLayout(np.array([[False, True, False]]), np.array([[False, False, True]]))
LEGAL = np.array([[True] * 4, [False] * 4, [False] * 4])
# A place in the triangle of each side (north, east, south, west) that neither text nor outline covers.
PLACES = ((1, 48), (48, 95), (95, 48), (48, 1))
LOW, HIGH = (68, 1, 84), (253, 231, 37)


def at(picture: NDArray[np.uint8], place: tuple[int, int], column: int = 0) -> tuple[int, ...]:
    left = PAD + (picture.shape[1] - 2 * PAD - (3 * CELL + 1)) // 2 + column * CELL
    return tuple(int(part) for part in picture[PAD + place[0], left + place[1]])


def table(*values: float) -> NDArray[np.float64]:
    return np.array([values, (0.0,) * 4, (0.0,) * 4])


@pytest.mark.parametrize("side", range(4))
def test_the_triangle_of_an_action_lies_where_it_leads(side: int) -> None:
    q = np.ones((3, 4))
    q[0, side] = 3.0
    picture = draw_q(LAYOUT, q, LEGAL, "")
    assert [at(picture, place) for place in PLACES] == [HIGH if other == side else LOW for other in range(4)]


def test_the_order_of_the_moves_is_free() -> None:
    west_first = GridLayout(LAYOUT.wall, LAYOUT.terminal, moves=((0, -1), (1, 0), (0, 1), (-1, 0)))
    picture = draw_q(west_first, table(4.0, 3.0, 2.0, 1.0), LEGAL, "")
    np.testing.assert_array_equal(picture, draw_q(LAYOUT, table(1.0, 2.0, 3.0, 4.0), LEGAL, ""))


def test_the_best_actions_alone_are_outlined() -> None:
    labelled = (np.s_[40:57], np.s_[1:6])  # where the west triangle's bold line runs
    left = PAD + 0

    def dark(picture: NDArray[np.uint8]) -> int:
        row, column = labelled
        block = picture[PAD + row.start : PAD + row.stop, left + column.start : left + column.stop]
        return int((block == 0).all(axis=-1).sum())

    best = draw_q(LAYOUT, table(2.0, 2.0, 2.0, 3.0), LEGAL, "")
    tied = draw_q(LAYOUT, table(2.0, 3.0, 2.0, 3.0), LEGAL, "")
    worse = draw_q(LAYOUT, table(2.0, 4.0, 2.0, 3.0), LEGAL, "", limits=(2.0, 3.0))
    assert dark(best) >= 2 * 17
    assert dark(tied) == dark(best)
    assert dark(worse) < dark(best) - 17


def test_illegal_actions_walls_and_ends_have_no_value() -> None:
    legal = LEGAL.copy()
    legal[0, 1] = False
    picture = draw_q(LAYOUT, table(1.0, -np.inf, 2.0, 1.0), legal, "")
    assert at(picture, PLACES[1]) == END
    assert at(picture, PLACES[0]) == LOW
    assert at(picture, PLACES[2]) == HIGH
    assert all(at(picture, place, 1) == WALL for place in PLACES)
    assert at(picture, (48, 48), 2) == END


def test_an_unknown_value_is_hatched() -> None:
    picture = draw_q(LAYOUT, table(1.0, np.nan, 2.0, 1.0), LEGAL, "")
    assert int((picture == HATCH).all(axis=-1).sum()) > 200
    assert int((draw_q(LAYOUT, table(1.0, 1.0, 2.0, 1.0), LEGAL, "") == HATCH).all(axis=-1).sum()) < 20


@pytest.mark.parametrize(
    "moves", [((-1, 0), (1, 0)), ((-1, 0), (0, 1), (1, 0), (0, -2)), ((-1, 0), (0, 1), (1, 0), (0, -1), (0, 0))]
)
def test_other_moves_are_refused(moves: tuple[tuple[int, int], ...]) -> None:
    layout = GridLayout(LAYOUT.wall, LAYOUT.terminal, moves=moves)
    with pytest.raises(ValueError, match="north, east, south and west"):
        draw_q(layout, np.zeros((3, len(moves))), np.ones((3, len(moves)), bool), "")


def test_a_table_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        draw_q(LAYOUT, np.zeros((2, 4)), np.ones((2, 4), bool), "")


def test_a_million_cells_show_their_best_actions() -> None:
    layout = GridLayout(np.zeros((1000, 1000), bool), np.zeros((1000, 1000), bool))
    q = np.zeros((1_000_000, 4))
    q[7, 2] = 1.0
    picture = draw_q(layout, q, np.ones(q.shape, bool), "")
    assert tuple(picture[PAD, PAD + 7]) == HIGH
    assert tuple(picture[PAD, PAD + 8]) == LOW


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (70, 70), (200, 300)])
def test_every_size_is_drawn(shape: tuple[int, int]) -> None:
    layout = GridLayout(np.zeros(shape, bool), np.zeros(shape, bool))
    size = shape[0] * shape[1]
    picture = draw_q(layout, np.arange(size * 4.0).reshape(size, 4), np.ones((size, 4), bool), "any size")
    assert max(picture.shape) <= 1400
