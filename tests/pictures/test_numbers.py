import numpy as np
import pytest

from rlrun.pictures.grid import fitting
from rlrun.pictures.numbers import SCIENTIFIC, best_actions, decimals_for, fewer_decimals, written


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-14.0, 1, "-14.0"), (-0.04, 1, "0.0"), (0.85, 2, "0.85"), (1.5e7, SCIENTIFIC, "1.5e7")],
)
def test_numbers_are_written(value: float, decimals: int, text: str) -> None:
    assert written(value, decimals) == text


@pytest.mark.parametrize(
    ("largest", "decimals"),
    [(0.0, 2), (0.85, 2), (22.0, 2), (1234.0, 2), (0.05, 4), (3e6, SCIENTIFIC), (1e-5, SCIENTIFIC)],
)
def test_decimals_follow_the_largest_value(largest: float, decimals: int) -> None:
    assert decimals_for(np.array([0.0, -largest, np.nan, np.inf])) == decimals


def test_decimals_are_given_up_one_after_another() -> None:
    assert fewer_decimals(2) == [2, 1, 0]
    assert fewer_decimals(SCIENTIFIC) == [SCIENTIFIC]


def test_smaller_type_comes_before_fewer_decimals_and_both_before_no_number() -> None:
    values = np.array([0.25, -0.78])
    sizes = [fitting(values, room, 15.0) for room in (100.0, 20.0, 12.0, 10.0, 3.0)]
    assert sizes[0] == (15.0, 2)
    assert sizes[1] is not None
    assert sizes[1][1] == 2
    assert 6.0 <= sizes[1][0] < 15.0
    assert [size and size[1] for size in sizes[2:]] == [1, 0, None]


def test_ties_are_all_best_and_illegal_or_unknown_actions_never() -> None:
    q = np.array([[1.0, 1.0 + 1e-12, 0.0], [np.nan, 2.0, 5.0], [np.inf, 1.0, np.inf], [-np.inf] * 3])
    legal = np.array([[True] * 3, [True, True, False], [True] * 3, [False] * 3])
    assert best_actions(q, legal).tolist() == [
        [True, True, False],
        [False, True, False],
        [True, False, True],
        [False, False, False],
    ]
