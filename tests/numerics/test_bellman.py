"""Backups against plain loops, and what a model can be asked about policies without end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from rlrun.envs.grid_map import load_map, tabular_model
from rlrun.numerics.bellman import Bellman, tie_margin, value_error
from rlrun.types import TabularModel

CPU = torch.device("cpu")


def book() -> TabularModel:
    return tabular_model(load_map("book"))


def test_outcomes_in_any_order_and_number_give_the_same_backup() -> None:
    model = book()
    order = np.random.default_rng(0).permutation(len(model.state))
    fields = ("state", "action", "next_state", "probability", "reward", "discount")
    shuffled = replace(model, **{name: getattr(model, name)[order] for name in fields})
    values = torch.from_numpy(np.random.default_rng(1).normal(size=model.num_states))
    plain = np.full((model.num_states, model.num_actions), -np.inf)
    plain[model.legal] = 0.0
    for s, a, n, p, r, d in zip(*(getattr(model, name) for name in fields), strict=True):
        plain[s, a] += p * (r + 0.7 * d * float(values[n]))
    for variant in (model, shuffled):
        np.testing.assert_allclose(Bellman(variant, CPU).q_values(values, 0.7).T.numpy(), plain, atol=1e-12)


def chain() -> TabularModel:
    """0 stays or goes to 1; 1 goes on to 2 or back to 0, by chance; 2 <-> 3; 4 ends or goes to 2; 5 is terminal."""
    rows = [  # state, action, next state, probability, reward, discount
        (0, 0, 0, 1.0, 1.0, 1.0),
        (0, 1, 1, 1.0, 1.0, 1.0),
        (1, 0, 0, 0.5, 1.0, 1.0),
        (1, 0, 2, 0.5, 1.0, 1.0),
        (2, 0, 3, 1.0, 1.0, 1.0),
        (3, 0, 2, 1.0, 1.0, 1.0),
        (4, 0, 2, 0.9, 1.0, 1.0),
        (4, 0, 5, 0.1, 1.0, 0.0),
    ]
    state, action, successor = (np.array([row[i] for row in rows], np.int64) for i in range(3))
    probability, reward, discount = (np.array([row[i] for row in rows]) for i in range(3, 6))
    legal = np.zeros((6, 2), bool)
    legal[state, action] = True
    return TabularModel(6, 2, state, action, successor, probability, reward, discount, np.eye(6)[0], legal)


def trapped(within: list[int], without: tuple[int, int] | None = None) -> list[int]:
    """The trapped ones of some states, when everything legal is played, `without` one (state, action)."""
    model = chain()
    pairs = torch.from_numpy(np.ascontiguousarray(model.legal.T))
    if without is not None:
        pairs[without[1], without[0]] = False
    mask = torch.zeros(6, dtype=torch.bool)
    mask[within] = True
    return Bellman(model, CPU).trapped(mask, pairs).nonzero().flatten().tolist()


def test_what_nothing_leaves_and_nothing_ends_is_trapped() -> None:
    assert trapped([0, 1, 2, 3, 4, 5]) == [0, 1, 2, 3]  # 4 may end, and 5 is the end
    assert trapped([0, 1]) == []  # 1 may go to 2, and then 0 may go to 1
    assert trapped([0, 1], without=(0, 1)) == [0]
    assert trapped([1, 2, 3]) == [2, 3]
    assert trapped([2, 4]) == []


def test_linear_equations_give_the_value_that_sweeps_come_to() -> None:
    model = book()
    bellman = Bellman(model, CPU)
    policy = torch.from_numpy(np.random.default_rng(0).uniform(size=(model.num_actions, model.num_states)))
    policy = policy.masked_fill(~bellman.legal, 0.0)
    policy /= policy.sum(dim=0).clamp(min=1e-300)
    for gamma in (0.5, 0.9, 1.0):
        values = torch.zeros(model.num_states, dtype=torch.float64)
        for _ in range(5_000):
            values = bellman.expected(bellman.q_values(values, gamma), policy)
        assert values.abs().max() > 0.5
        torch.testing.assert_close(bellman.solve(policy, gamma), values, rtol=1e-12, atol=1e-12)


def test_the_error_of_values_that_hardly_change() -> None:
    assert value_error(1e-8, 0.0) == 1e-8
    np.testing.assert_allclose(value_error(1e-8, 0.9), 1e-7)
    np.testing.assert_allclose(value_error(1e-8, 1.0), 1e-5)  # as if after 1,000 steps nothing counted
    np.testing.assert_allclose(tie_margin(1e-8, 0.9), 2e-7)
    assert tie_margin(0.1, 0.9) == 1e-5  # a coarse tolerance hides no real difference
