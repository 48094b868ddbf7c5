import numpy as np
import pytest

from rlrun.envs.grid_map import load_map, tabular_model
from rlrun.pictures.grid_text import q_as_text, values_as_text
from rlrun.types import GridLayout


def open_grid(height: int, width: int) -> GridLayout:
    return GridLayout(np.zeros((height, width), bool), np.zeros((height, width), bool))


def test_a_grid_with_a_wall_an_end_and_ties() -> None:
    layout = GridLayout(np.array([[False, False], [True, False]]), np.array([[False, True], [False, False]]))
    policy = np.array([[0.0, 0.5, 0.0, 0.5], [0.25] * 4, [0.25] * 4, [1.0, 0.0, 0.0, 0.0]])
    text = values_as_text(layout, np.array([-14.0, 0.0, 3.0, -1.0]), policy)
    assert text.splitlines() == [
        "-14.00 →←       ·",
        "  ####      -1.00 ↑",
    ]


def test_without_a_policy_there_are_no_arrows() -> None:
    text = values_as_text(open_grid(2, 2), np.array([0.85, -0.5, np.nan, np.inf]), None)
    assert text.splitlines() == [" 0.85  -0.50", "  nan    inf"]


def test_the_lecture_grid_and_its_random_policy() -> None:
    model = tabular_model(load_map("lecture"))
    assert model.layout is not None
    values = np.array([0.0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0])
    uniform = model.legal / np.maximum(model.legal.sum(axis=1, keepdims=True), 1)
    assert values_as_text(model.layout, values, uniform).splitlines() == [
        "     ·       -14.00 ↑→↓←  -20.00 ↑→↓←  -22.00 ↑→↓←",
        "-14.00 ↑→↓←  -18.00 ↑→↓←  -20.00 ↑→↓←  -20.00 ↑→↓←",
        "-20.00 ↑→↓←  -20.00 ↑→↓←  -18.00 ↑→↓←  -14.00 ↑→↓←",
        "-22.00 ↑→↓←  -20.00 ↑→↓←  -14.00 ↑→↓←       ·",
    ]


def test_ten_columns_keep_values_and_arrows_in_a_hundred_characters() -> None:
    values = np.linspace(-22.0, 0.0, 100)
    lines = values_as_text(open_grid(10, 10), values, np.full((100, 4), 0.25)).splitlines()
    assert len(lines) == 10
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("-22.0↑→↓← -21.8↑→↓←")


def test_fewer_digits_come_before_no_values() -> None:
    values = np.linspace(-22.0, 0.0, 12)
    line = values_as_text(open_grid(1, 12), values, np.full((12, 4), 0.25))
    assert line.startswith("-22↑→↓← -20↑→↓←")
    assert len(line) <= 100


@pytest.mark.parametrize(("width", "begins"), [(20, "↑→↓← ↑→↓←"), (50, "+ + +"), (100, "+++"), (130, "+++")])
def test_wider_grids_show_the_policy_alone(width: int, begins: str) -> None:
    lines = values_as_text(open_grid(2, width), np.zeros(2 * width), np.full((2 * width, 4), 0.25)).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith(begins)
    assert (lines[-1] == "... and 30 more columns") == (width == 130)


def test_what_does_not_fit_is_counted() -> None:
    lines = values_as_text(open_grid(1000, 1000), np.full(1_000_000, -12.5), None).splitlines()
    assert len(lines) == 51
    assert lines[0].split() == ["-12"] * 25
    assert lines[-1] == "... and 950 more rows and 975 more columns"


def test_moves_name_the_arrows() -> None:
    layout = GridLayout(np.zeros((1, 1), bool), np.zeros((1, 1), bool), moves=((0, -1), (1, 1), (0, 0)))
    assert values_as_text(layout, np.array([1.0]), np.array([[0.5, 0.25, 0.25]])) == "1.00 ←↘o"


def test_two_decimals_where_they_fit() -> None:
    line = values_as_text(open_grid(1, 5), np.array([21.98, 24.42, 1234.567, 19.42, -0.004]), None)
    assert line.split() == ["21.98", "24.42", "1234.57", "19.42", "0.00"]
    assert values_as_text(open_grid(1, 2), np.array([3.0, 1200.0]), None, counts=True).split() == ["3", "1200"]


def test_action_values_are_four_lines_a_cell() -> None:
    layout = GridLayout(np.array([[False, True], [False, False]]), np.array([[False, False], [False, True]]))
    q = np.array([[-1.5, 2.25, 2.25, 0.0], [0.0] * 4, [1.0, 10.0, -np.inf, 3.0], [0.0] * 4])
    legal = np.array([[True] * 4, [False] * 4, [True, True, False, True], [False] * 4])
    text = q_as_text(layout, q, legal)
    assert text is not None
    assert text.splitlines() == [
        "↑ -1.50     ####",
        "→  2.25*",
        "↓  2.25*",
        "←  0.00",
        "",
        "↑  1.00      ·",
        "→ 10.00*",
        "",
        "←  3.00",
    ]


def test_action_values_lose_digits_before_they_are_left_out() -> None:
    def widest(width: int) -> str | None:
        return q_as_text(open_grid(1, width), np.full((width, 4), -13.25), np.ones((width, 4), bool))

    ten, twelve = widest(10), widest(12)
    assert ten is not None
    assert twelve is not None
    assert "↑ -13.25* ↑" in ten
    assert "↑-13.2*" in twelve
    assert max(map(len, [*ten.splitlines(), *twelve.splitlines()])) <= 100
    assert widest(30) is None
    assert q_as_text(open_grid(11, 1), np.zeros((11, 4)), np.ones((11, 4), bool)) is None
