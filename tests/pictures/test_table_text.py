import numpy as np
from numpy.typing import NDArray

from rlrun.pictures.table_text import table_as_text
from rlrun.types import TabularModel


def model_of(legal: NDArray[np.bool_], states: tuple[str, ...] = (), actions: tuple[str, ...] = ()) -> TabularModel:
    """Pictures read the names and the legal actions alone."""
    index, number = np.zeros(0, np.int64), np.zeros(0)
    return TabularModel(
        num_states=legal.shape[0],
        num_actions=legal.shape[1],
        state=index,
        action=index,
        next_state=index,
        probability=number,
        reward=number,
        discount=number,
        initial=np.full(len(legal), 1 / len(legal)),
        legal=legal,
        state_names=states,
        action_names=actions,
    )


RACING = model_of(
    np.array([[True, True], [True, True], [False, False]]), ("cool", "warm", "overheated"), ("slow", "fast")
)
VALUES = np.array([3.5, 2.5, 0.0])
Q = np.array([[2.75, 3.5], [2.5, -10.0], [-np.inf, -np.inf]])


def test_the_racing_car_as_text() -> None:
    assert table_as_text(RACING, VALUES, Q).splitlines() == [
        "state          V   slow     fast",
        "cool        3.50  2.75     3.50*",
        "warm        2.50  2.50*  -10.00",
        "overheated  0.00     -        -",
    ]


def test_nameless_states_are_numbers_and_ties_are_all_marked() -> None:
    model = model_of(np.array([[True, True], [True, False]]))
    assert table_as_text(model, np.array([1.0, 2.0]), np.array([[1.0, 1.0], [2.0, -np.inf]])).splitlines() == [
        "state     V      0      1",
        "0      1.00  1.00*  1.00*",
        "1      2.00  2.00*     -",
    ]


def test_long_tables_are_cut_and_say_so() -> None:
    model = model_of(np.ones((53, 1), bool))
    lines = table_as_text(model, np.arange(53.0), np.arange(53.0)[:, None]).splitlines()
    assert len(lines) == 52
    assert lines[50].startswith("49 ")
    assert lines[-1] == "... and 3 more states"


def test_unknown_values_are_written() -> None:
    q = np.array([[np.nan, np.inf], [1.0, -np.inf], [0.0, 0.0]])
    assert table_as_text(RACING, np.array([np.inf, 1.0, np.nan]), q).splitlines()[1].split() == [
        "cool",
        "inf",
        "nan",
        "inf*",
    ]


def test_without_q_there_are_values_mean_returns_and_visits() -> None:
    unknown = np.full_like(Q, np.nan)
    averages, visits = np.array([3.25, np.nan, np.nan]), np.array([12, 3, 0])
    text = table_as_text(RACING, VALUES, unknown, sample_averages=averages, visits=visits)
    assert text.splitlines() == [
        "state          V  average  visits",
        "cool        3.50     3.25      12",
        "warm        2.50        -       3",
        "overheated  0.00        -       0",
    ]
    assert table_as_text(RACING, VALUES, unknown).splitlines()[0].split() == ["state", "V"]
