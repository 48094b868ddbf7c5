import math

import pytest
import torch
from torch import Tensor

from rlrun.numerics.distributions import (
    categorical_entropy,
    categorical_log_prob,
    categorical_sample,
    epsilon_greedy,
    epsilon_greedy_among_ties,
    epsilon_greedy_among_ties_probs,
    epsilon_greedy_probs,
    greedy,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_drawn_from(action: Tensor, probability: Tensor) -> None:
    """Every frequency is within five standard deviations."""
    count = action.numel()
    frequency = torch.bincount(action, minlength=len(probability)).double() / count
    deviation = (probability.double() * (1 - probability.double()) / count).sqrt()
    assert bool((frequency - probability.double()).abs().le(5 * deviation + 1e-12).all()), (frequency, probability)


def test_greedy_takes_the_lowest_of_equals() -> None:
    assert greedy(torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 1.0], [0.0, 1.0, 9.0]])).tolist() == [1, 0, 2]


def test_epsilon_greedy_probabilities_by_hand() -> None:
    probability = epsilon_greedy_probs(torch.tensor([[0.0, 5.0, 1.0, 2.0]]), 0.2)
    torch.testing.assert_close(probability, torch.tensor([[0.05, 0.85, 0.05, 0.05]]))


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.6, 1.0])
def test_epsilon_greedy_draws_from_its_probabilities(epsilon: float) -> None:
    q = torch.tensor([0.0, 5.0, 1.0]).expand(50_000, 3)
    assert_drawn_from(epsilon_greedy(q, epsilon, rng()), epsilon_greedy_probs(q[:1], epsilon)[0])


INF = float("inf")


def test_ties_share_what_the_best_action_has() -> None:
    q = torch.tensor([[2.0, 2.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0], [0.0, -INF, 0.0, -INF], [0.0, 0.0, 0.0, 0.0]])
    legal = torch.tensor([[True] * 4, [True] * 4, [True, False, True, False], [False] * 4])
    expected = [[0.3, 0.3, 0.1, 0.3], [0.25] * 4, [0.5, 0.0, 0.5, 0.0], [0.0] * 4]
    torch.testing.assert_close(epsilon_greedy_among_ties_probs(q, 0.4, legal), torch.tensor(expected))
    torch.testing.assert_close(epsilon_greedy_among_ties_probs(q[:2], 0.4), torch.tensor(expected[:2]))


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("row", [[2.0, 2.0, 1.0], [0.0, 0.0, 0.0], [1.0, -INF, 0.5], [-INF, 3.0, 3.0]])
def test_epsilon_greedy_among_ties_draws_from_its_probabilities(row: list[float], epsilon: float) -> None:
    q = torch.tensor(row, dtype=torch.float64).expand(50_000, 3)
    legal = q > -INF
    probability = epsilon_greedy_among_ties_probs(q[:1], epsilon, legal[:1])[0]
    assert_drawn_from(epsilon_greedy_among_ties(q, epsilon, rng(), legal), probability)
    if legal.all():
        assert_drawn_from(epsilon_greedy_among_ties(q, epsilon, rng()), probability)


def test_categorical_draws_from_the_softmax() -> None:
    logits = torch.tensor([1.0, -2.0, 0.5, -float("inf")])
    assert_drawn_from(categorical_sample(logits.expand(50_000, 4), rng()), torch.softmax(logits, 0))


def test_slots_draw_independently_and_only_from_the_generator() -> None:
    logits = torch.zeros(20_000, 2)
    before = torch.random.get_rng_state()
    action = categorical_sample(logits, rng(1))
    assert torch.equal(action, categorical_sample(logits, rng(1)))
    assert not torch.equal(action, categorical_sample(logits, rng(2)))
    assert torch.equal(before, torch.random.get_rng_state())
    pairs = action[0::2] * 2 + action[1::2]
    assert_drawn_from(pairs, torch.full((4,), 0.25))


def test_log_prob_and_entropy_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, -float("inf")]])
    expected = torch.tensor([math.log(0.75), 0.0])
    torch.testing.assert_close(categorical_log_prob(logits, torch.tensor([1, 0])), expected)
    entropy = torch.tensor([-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)), 0.0])
    torch.testing.assert_close(categorical_entropy(logits), entropy)


def test_entropy_has_the_right_gradient() -> None:
    logits = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(categorical_entropy, (logits,))
