import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rlrun.numerics.distributions import (
    Categorical,
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


LOGITS = torch.tensor([[1.0, -2.0, 0.5, 3.0], [0.0, 0.0, math.log(2.0), 9.0]], dtype=torch.float64)
MASK = torch.tensor([[True, True, False, True], [True, False, True, False]])


def test_categorical_draws_from_the_softmax() -> None:
    logits = torch.tensor([1.0, -2.0, 0.5, -INF])
    assert_drawn_from(Categorical(logits.expand(50_000, 4)).sample(rng()), torch.softmax(logits, 0))


@pytest.mark.parametrize("row", [0, 1])
def test_categorical_draws_from_what_the_mask_leaves(row: int) -> None:
    policy = Categorical(LOGITS[row].expand(50_000, 4), MASK[row].expand(50_000, 4))
    kept = LOGITS[row].exp() * MASK[row]
    assert_drawn_from(policy.sample(rng()), kept / kept.sum())


def test_what_is_masked_has_probability_exactly_0_and_is_never_drawn() -> None:
    policy = Categorical(LOGITS.float(), MASK)
    assert bool((policy.log_probs.exp()[~MASK] == 0).all())
    torch.testing.assert_close(policy.log_probs.exp().sum(1), torch.ones(2))
    assert policy.log_probs[1].exp().tolist() == pytest.approx([1 / 3, 0, 2 / 3, 0])
    assert policy.log_prob(torch.tensor([2, 3])).tolist() == [-INF, -INF]
    assert policy.mode().tolist() == [3, 2]
    # A clock that shows 0 rings before all others, and its logarithm is the same infinity as a mask's.
    draws = Categorical(torch.full((2, 4), -1e30), MASK).sample(rng())
    assert bool(MASK.gather(1, draws[:, None]).all())


def test_slots_draw_independently_and_only_from_the_generator() -> None:
    policy = Categorical(torch.zeros(20_000, 2))
    before = torch.random.get_rng_state()
    action = policy.sample(rng(1))
    assert torch.equal(action, policy.sample(rng(1)))
    assert not torch.equal(action, policy.sample(rng(2)))
    assert torch.equal(before, torch.random.get_rng_state())
    pairs = action[0::2] * 2 + action[1::2]
    assert_drawn_from(pairs, torch.full((4,), 0.25))


def test_log_prob_entropy_and_mode_by_hand() -> None:
    policy = Categorical(torch.tensor([[0.0, math.log(3.0)], [0.0, -INF]]))
    torch.testing.assert_close(policy.log_prob(torch.tensor([1, 0])), torch.tensor([math.log(0.75), 0.0]))
    entropy = torch.tensor([-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)), 0.0])
    torch.testing.assert_close(policy.entropy(), entropy)
    assert policy.mode().tolist() == [1, 0]
    assert policy.log_prob(torch.tensor([1, 0])).shape == (2,)


def test_leading_axes_are_kept() -> None:
    policy = Categorical(torch.zeros(5, 2, 3), torch.tensor([True, True, False]).expand(5, 2, 3))
    draw = policy.sample(rng())
    assert draw.shape == policy.mode().shape == policy.log_prob(draw).shape == policy.entropy().shape == (5, 2)
    torch.testing.assert_close(policy.entropy(), torch.full((5, 2), math.log(2.0)))


def test_kl_by_hand() -> None:
    one, other = Categorical(torch.tensor([[0.0, math.log(3.0)]])), Categorical(torch.tensor([[0.0, 0.0]]))
    torch.testing.assert_close(one.kl(other), torch.tensor([0.25 * math.log(0.5) + 0.75 * math.log(1.5)]))
    torch.testing.assert_close(other.kl(one), torch.tensor([0.5 * math.log(2.0) + 0.5 * math.log(2 / 3)]))


def test_kl_is_positive_and_0_for_the_same() -> None:
    logits = 3 * torch.randn(500, 2, 5, generator=rng(), dtype=torch.float64)
    one, other = Categorical(logits[:, 0]), Categorical(logits[:, 1])
    assert bool((one.kl(other) > 0).all())
    assert torch.equal(one.kl(Categorical(logits[:, 0])), torch.zeros(500, dtype=torch.float64))


def test_kl_of_masked_policies_counts_what_may_be_drawn() -> None:
    narrow, wide = Categorical(LOGITS, MASK), Categorical(LOGITS)
    assert bool(narrow.kl(wide).isfinite().all())
    assert wide.kl(narrow).tolist() == [INF, INF]
    assert narrow.kl(Categorical(LOGITS, MASK)).tolist() == [0, 0]


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize(
    "function",
    [
        lambda policy: policy.log_prob(torch.tensor([3, 2])),
        lambda policy: policy.entropy(),
        lambda policy: policy.kl(Categorical(LOGITS.flip(1), policy.mask)),
        lambda policy: Categorical(LOGITS.flip(1), policy.mask).kl(policy),
    ],
)
def test_gradients_agree_with_finite_differences(
    function: Callable[[Categorical], Tensor], mask: Tensor | None
) -> None:
    logits = torch.tensor([[0.3, -1.0, 2.0, 0.1], [0.5, 0.2, -0.4, 1.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: function(Categorical(x, mask)), (logits,))


def test_the_gradient_of_log_prob_is_the_indicator_less_the_probability() -> None:
    logits = LOGITS.clone().requires_grad_()
    policy = Categorical(logits, MASK)
    policy.log_prob(torch.tensor([0, 2])).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    indicator = torch.nn.functional.one_hot(torch.tensor([0, 2]), 4)
    torch.testing.assert_close(logits.grad, indicator - policy.log_probs.detach().exp())
