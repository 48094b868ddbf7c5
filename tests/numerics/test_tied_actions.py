"""Which of tied actions is taken without discount, and values that no policy gets, on small models worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rlrun.envs.mdp_file import MdpEnv
from rlrun.numerics.bellman import Bellman
from rlrun.numerics.tied_actions import choose, keeps_promises, lowered
from rlrun.types import TabularModel

CPU = torch.device("cpu")
TWO_WAYS = """
states: [a, b, pit, end]
actions: [wait, try, walk]
start: a
transitions:
  - [a, wait, a, 1, 0]
  - [a, try, end, 1/10, 1]
  - [a, try, a, 9/10, 0]
  - [a, walk, b, 1, 0]
  - [b, walk, end, 1, 1]
  - [b, try, pit, 1, 0]
  - [pit, wait, pit, 1, 0]
"""
ONLY_COSTS = """
states: [hall, room, end]
actions: [wait, leave]
start: hall
transitions:
  - [hall, wait, room, 1, 0]
  - [hall, leave, end, 1, -1]
  - [room, wait, hall, 1/2, 0]
  - [room, wait, room, 1/2, 0]
  - [room, leave, end, 1, -2]
"""
LOAN = """
states: [poor, rich, end]
actions: [wait, borrow]
start: poor
transitions:
  - [poor, wait, poor, 1, 0]
  - [poor, borrow, rich, 1, 1]
  - [rich, borrow, end, 1, -3]
"""


def model_of(text: str, folder: Path) -> TabularModel:
    file = folder / "mine.yaml"
    file.write_text(text)
    model = MdpEnv(mdp=str(file), observation="index", max_episode_steps=10, num_envs=1).spec.model
    assert model is not None
    return model


def with_q(model: TabularModel, values: list[float]) -> tuple[Bellman, torch.Tensor, torch.Tensor]:
    bellman, v = Bellman(model, CPU), torch.tensor(values, dtype=torch.float64)
    return bellman, v, bellman.q_values(v, 1.0)


def test_of_ways_that_get_the_same_the_one_of_fewest_expected_steps_is_taken(tmp_path: Path) -> None:
    """In a all three actions are worth 1: waiting never ends, trying takes 10 steps, walking 2."""
    bellman, values, q = with_q(model_of(TWO_WAYS, tmp_path), [1.0, 1.0, 0.0, 0.0])
    assert q[:, 0].tolist() == pytest.approx([1.0, 1.0, 1.0])
    action, kept = choose(bellman, values, q, 1.0)
    assert action.tolist() == [2, 2, 0, 0]
    assert kept.all()


def test_where_all_ends_cost_it_stays_for_nothing(tmp_path: Path) -> None:
    bellman, values, q = with_q(model_of(ONLY_COSTS, tmp_path), [0.0, 0.0, 0.0])
    action, kept = choose(bellman, values, q, 1.0)
    assert action.tolist() == [0, 0, 0]
    assert kept.all()
    waiting = torch.nn.functional.one_hot(action, 2).T.double()
    assert keeps_promises(bellman, values, waiting)
    assert not keeps_promises(bellman, torch.tensor([-1.0, -1.0, 0.0], dtype=torch.float64), waiting)


def test_a_cost_that_is_put_off_for_ever_is_nobodys_value_and_is_taken_back(tmp_path: Path) -> None:
    """Sweeps say 1: wait until the last step of all, then borrow. Whoever borrows pays 3 in the end."""
    bellman, values, q = with_q(model_of(LOAN, tmp_path), [1.0, -3.0, 0.0])
    assert bellman.best(q).tolist() == values.tolist()  # a fixed point
    action, kept = choose(bellman, values, q, 1.0)
    assert kept.tolist() == [False, True, True]
    lower = lowered(bellman, values, q, kept)
    assert lower is not None
    assert lower.tolist() == [0.0, -3.0, 0.0]
    q = bellman.q_values(lower, 1.0)
    action, kept = choose(bellman, lower, q, 1.0)
    assert action[:2].tolist() == [0, 1]
    assert kept.all()
    assert lowered(bellman, lower, q, kept) is None


@pytest.mark.parametrize("gamma", [0.5, 0.999999999])
def test_with_discount_a_tie_costs_less_than_what_it_is_all_worth(tmp_path: Path, gamma: float) -> None:
    """Waiting is worse by 1 - gamma a step, however little that is; ties are counted by as much less."""
    model = model_of(TWO_WAYS, tmp_path)
    bellman = Bellman(model, CPU)
    by_trying = 0.1 / (1 - 0.9 * gamma)
    values = torch.tensor([max(gamma, by_trying), 1.0, 0.0, 0.0], dtype=torch.float64)
    action, kept = choose(bellman, values, bellman.q_values(values, gamma), gamma)
    assert action[:2].tolist() == [2, 2]
    assert kept.all()
    np.testing.assert_allclose(float(values[0]), gamma)
