"""REINFORCE's gradients against exact ones, on a small MDP of which every episode can be listed."""

import copy
import dataclasses
from collections.abc import Callable
from functools import cache
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest
import torch
from exact_policy_gradient import (
    Enumeration,
    batch_mean_gradient,
    enumerate_episodes,
    exact_gradient,
    expected_return,
    gradient_by_theorem,
)
from reinforce_estimators import cosine, expectation, markdown, read, variance_without_baseline, weights
from reinforce_on_trail import (
    ESTIMATORS,
    HORIZON,
    LOGITS,
    TRAIL,
    BaselineName,
    FrozenReinforce,
    as_parameters,
    frozen_reinforce,
    sample_rollouts,
)
from torch import Tensor

from rlrun.agents.reinforce import Estimator, estimate
from rlrun.types import Episodes, Rollout

ROOT = Path(__file__).resolve().parents[2]
NUM_BATCHES = 200  # so many and so large that a mean within 4 standard errors has a cosine of at least .99
EPISODES_PER_BATCH = 128
WARM_UP = 40  # batches more, from which baselines learn
SHORT = dataclasses.replace(TRAIL, initial=np.array([0.0, 0.5, 0.5, 0.0]))  # within 2 steps: 19 episodes of 1 or 2


@cache
def trail() -> Enumeration:
    return enumerate_episodes(TRAIL, HORIZON)


@cache
def sampled() -> list[Rollout]:
    return list(islice(sample_rollouts(5, EPISODES_PER_BATCH), WARM_UP + NUM_BATCHES))


def mean_gradient(episodes: Enumeration, weight: Tensor) -> Tensor:
    """[S, A] of the agent's formula, by the sum over all episodes."""
    return torch.einsum("m,msa->sa", episodes.probability(LOGITS), episodes.gradients(LOGITS, weight))


def disagreement(gradients: Tensor, expected: Tensor) -> float:
    """How far the mean of gradients [n, P] is from `expected` [P] where it is worst, in standard errors.

    A baseline that learns from earlier batches makes batches dependent, but not their deviations from the mean, so the
    standard error is that of independent ones.
    """
    error = (gradients.mean(dim=0) - expected).abs()
    standard_error = gradients.std(dim=0) / len(gradients) ** 0.5
    known = standard_error == 0  # places where nothing is ever decided
    assert bool((error[known] == 0).all())
    return float((error[~known] / standard_error[~known]).max())


def too_late(rollout: Rollout) -> Rollout:
    """A wrong rollout, in which every reward arrives one step late and an episode's last one never."""
    reward = torch.zeros_like(rollout.reward)
    reward[1:] = torch.where(rollout.last[:-1], 0.0, rollout.reward[:-1])
    return dataclasses.replace(rollout, reward=reward)


def too_early(rollout: Rollout) -> Rollout:
    """A wrong rollout, in which every step has the reward of the next one."""
    reward = torch.zeros_like(rollout.reward)
    reward[:-1] = torch.where(rollout.last[:-1], 0.0, rollout.reward[1:])
    return dataclasses.replace(rollout, reward=reward)


# The oracles themselves.


def test_all_episodes_together_are_certain_and_of_unequal_length() -> None:
    episodes = trail()
    assert float(episodes.probability(LOGITS).sum()) == pytest.approx(1.0, abs=1e-12)
    assert set(episodes.mask.sum(dim=0).tolist()) == {2, 3, 4, 5}
    assert bool((episodes.last.sum(dim=0) == 1).all())


def test_the_expected_return_of_one_and_of_two_steps_by_hand() -> None:
    # Valley: careful 3/4 * 1 - 1/4 = 1/2, bold 4, at 4 : 6. Ridge: careful 4/3, bold (3 - 8)/2, at 7 : 3. The pass:
    # careful 2, bold 9 * 3/4 + 1/4 = 7, at 1 : 1.
    valley, ridge, high = 0.4 * 0.5 + 0.6 * 4, 0.7 * 4 / 3 - 0.3 * 2.5, 4.5
    assert float(expected_return(TRAIL, LOGITS, 0.5, 1)) == pytest.approx(0.75 * valley + 0.25 * ridge)
    from_valley = valley + 0.5 * (0.4 * (0.75 * ridge + 0.25 * valley) + 0.6 * ridge)
    from_ridge = ridge + 0.5 * (0.7 * (2 / 3 * high + ridge / 3) + 0.3 * (high + valley) / 2)
    expected = 0.75 * from_valley + 0.25 * from_ridge
    assert float(expected_return(TRAIL, LOGITS, 0.5, 2)) == pytest.approx(expected)
    episodes = enumerate_episodes(TRAIL, 2)
    assert float(episodes.probability(LOGITS) @ episodes.returns(0.5)) == pytest.approx(expected)


@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_four_ways_to_the_exact_gradient_agree(gamma: float) -> None:
    by_induction = exact_gradient(TRAIL, LOGITS, gamma, HORIZON)
    by_theorem = gradient_by_theorem(TRAIL, LOGITS, gamma, HORIZON, discount_states=True)
    leaf = LOGITS.clone().requires_grad_()
    (by_enumeration,) = torch.autograd.grad(trail().probability(leaf) @ trail().returns(gamma), leaf)
    by_differences = torch.zeros_like(LOGITS)
    for state, action in product(*map(range, LOGITS.shape)):
        step = torch.zeros_like(LOGITS)
        step[state, action] = 1e-5
        above, below = (expected_return(TRAIL, LOGITS + sign * step, gamma, HORIZON) for sign in (1, -1))
        by_differences[state, action] = (above - below) / 2e-5
    torch.testing.assert_close(by_theorem, by_induction, rtol=0, atol=1e-12)
    torch.testing.assert_close(by_enumeration, by_induction, rtol=0, atol=1e-12)
    torch.testing.assert_close(by_differences, by_induction, rtol=0, atol=1e-8)
    assert by_induction[:3].abs().min() > 0.1  # every decision counts


def test_the_mean_of_a_batch_takes_an_nth_of_the_gradient_where_all_episodes_are_equally_long() -> None:
    # From the valley nobody is home in 2 steps. Then b = mean of G, and E[G ψ] - E[G ψ] / N is left.
    episodes = enumerate_episodes(dataclasses.replace(TRAIL, initial=np.array([1.0, 0.0, 0.0, 0.0])), 2)
    weight = weights(episodes, "whole_return", 0.5)
    for num_episodes in (2, 3, 16):
        expected = (1 - 1 / num_episodes) * mean_gradient(episodes, weight)
        found = batch_mean_gradient(episodes, LOGITS, weight, num_episodes)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


# What the estimators are on average, exactly.


@pytest.mark.parametrize(
    ("estimator", "gamma"),
    [
        ("whole_return", 1.0),
        ("whole_return", 0.5),
        ("reward_to_go", 1.0),
        ("reward_to_go", 0.5),
        ("discounted_reward_to_go", 1.0),
    ],
)
def test_the_expectation_of_an_unbiased_estimator_is_the_exact_gradient(estimator: Estimator, gamma: float) -> None:
    expected = exact_gradient(TRAIL, LOGITS, gamma, HORIZON)
    found = mean_gradient(trail(), weights(trail(), estimator, gamma))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("gamma", [0.9, 0.5])
def test_the_discounted_form_estimates_the_theorem_without_discounted_states(gamma: float) -> None:
    found = mean_gradient(trail(), weights(trail(), "discounted_reward_to_go", gamma))
    own = gradient_by_theorem(TRAIL, LOGITS, gamma, HORIZON, discount_states=False)
    torch.testing.assert_close(found, own, rtol=0, atol=1e-10)


def test_the_discounted_form_turns_away_and_is_too_long_unless_gamma_is_1() -> None:
    cosines, lengths = [], []
    for gamma in (1.0, 0.9, 0.7, 0.5):
        exact = exact_gradient(TRAIL, LOGITS, gamma, HORIZON).flatten()
        biased = mean_gradient(trail(), weights(trail(), "discounted_reward_to_go", gamma)).flatten()
        cosines.append(cosine(biased, exact))
        lengths.append(float(biased.norm() / exact.norm()))
    assert cosines[0] == pytest.approx(1.0, abs=1e-12)
    assert lengths[0] == pytest.approx(1.0, abs=1e-12)
    assert np.all(np.diff(cosines) < 0)
    assert np.all(np.diff(lengths) > 0)
    assert cosines[-1] < 0.95
    assert lengths[-1] > 2.0


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("wrong", [too_late, too_early])
def test_rewards_shifted_by_one_step_have_another_expectation(
    estimator: Estimator, wrong: Callable[[Rollout], Rollout]
) -> None:
    episodes = trail()
    reward = wrong(one_rollout(episodes)).reward
    weight = estimate(reward, 1.0 - episodes.last.to(reward.dtype), episodes.last, episodes.mask, 1.0, estimator)
    exact = exact_gradient(TRAIL, LOGITS, 1.0, HORIZON)
    assert (mean_gradient(episodes, weight) - exact).abs().max() > 0.1


# The real agent.


def one_rollout(episodes: Enumeration, chosen: list[int] | None = None, dtype: torch.dtype = torch.float64) -> Rollout:
    """All episodes, or those chosen, as the slots of one rollout; each plays one."""
    slots = torch.arange(len(episodes.chance)) if chosen is None else torch.tensor(chosen)
    steps = int(episodes.mask[:, slots].sum(dim=0).max())
    state, action, reward, last, mask = (
        array[:steps, slots]
        for array in (episodes.state, episodes.action, episodes.reward, episodes.last, episodes.mask)
    )
    return Rollout(
        obs_sequence=torch.cat([state, state[:1]]),
        final_obs=torch.zeros(len(slots), dtype=torch.int64),
        action=action,
        reward=reward.to(dtype),
        discount=(~last).to(dtype),
        last=last,
        mask=mask,
        extras={},
        episodes=Episodes.none(),
        num_steps=int(mask.sum()),
    )


def mean_of_the_agent(frozen: FrozenReinforce, episodes: Enumeration, num_episodes: int) -> Tensor:
    """E of the gradient that `learn` computes, over every batch there can be; what the baseline knew stays the same."""
    probability = episodes.probability(LOGITS)
    known = copy.deepcopy(frozen.agent.state_dict())
    total = torch.zeros(())
    for batch in product(range(len(probability)), repeat=num_episodes):
        frozen.agent.load_state_dict(copy.deepcopy(known))
        gradient = frozen.gradient(one_rollout(episodes, list(batch), torch.float32))
        total = total + probability[list(batch)].prod() * gradient
    return total


@pytest.mark.parametrize(
    ("estimator", "baseline"),
    [
        ("whole_return", "none"),
        ("whole_return", "moving_average"),
        ("reward_to_go", "value"),
        ("discounted_reward_to_go", "value"),
    ],
)
def test_over_all_episodes_the_agents_own_gradient_is_the_exact_one(
    estimator: Estimator, baseline: BaselineName
) -> None:
    frozen = frozen_reinforce(estimator, baseline, 0.5, episodes_per_batch=1)
    frozen.gradients(sampled()[:WARM_UP])  # the baseline knows something
    exact = gradient_by_theorem(TRAIL, LOGITS, 0.5, 3, discount_states=estimator != "discounted_reward_to_go")
    found = mean_of_the_agent(frozen, enumerate_episodes(TRAIL, 3), 1)
    torch.testing.assert_close(found, as_parameters(exact), rtol=0, atol=1e-5)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_over_all_pairs_of_episodes_the_batch_mean_is_as_biased_as_computed(estimator: Estimator) -> None:
    episodes = enumerate_episodes(SHORT, 2)
    assert set(episodes.mask.sum(dim=0).tolist()) == {1, 2}
    frozen = frozen_reinforce(estimator, "batch_mean", 0.5, episodes_per_batch=2)
    weight = weights(episodes, estimator, 0.5)
    expected = as_parameters(batch_mean_gradient(episodes, LOGITS, weight, 2))
    torch.testing.assert_close(mean_of_the_agent(frozen, episodes, 2), expected, rtol=0, atol=1e-5)
    assert (expected - as_parameters(mean_gradient(episodes, weight))).norm() > 0.1 * expected.norm()


CASES: list[tuple[Estimator, BaselineName, float]] = [
    ("whole_return", "none", 1.0),
    ("whole_return", "value", 1.0),
    ("reward_to_go", "none", 1.0),
    ("reward_to_go", "moving_average", 1.0),
    ("reward_to_go", "batch_mean", 1.0),
    ("reward_to_go", "value", 1.0),
    ("discounted_reward_to_go", "value", 1.0),
    ("reward_to_go", "value", 0.5),
    ("discounted_reward_to_go", "value", 0.5),
]


@cache
def gradients_of(estimator: Estimator, baseline: BaselineName, gamma: float) -> Tensor:
    return frozen_reinforce(estimator, baseline, gamma, EPISODES_PER_BATCH).gradients(sampled())[WARM_UP:]


@pytest.mark.parametrize(("estimator", "baseline", "gamma"), CASES)
def test_sampled_gradients_scatter_around_their_exact_expectation(
    estimator: Estimator, baseline: BaselineName, gamma: float
) -> None:
    gradients = gradients_of(estimator, baseline, gamma)
    own = expectation(trail(), estimator, baseline, gamma, EPISODES_PER_BATCH)
    assert disagreement(gradients, own) < 4.0
    assert cosine(gradients.mean(dim=0), own) > 0.99
    if gamma == 1.0:
        exact = as_parameters(exact_gradient(TRAIL, LOGITS, gamma, HORIZON))
        assert cosine(gradients.mean(dim=0), exact) > 0.99


def test_samples_show_the_bias_of_the_discounted_form() -> None:
    gradients = gradients_of("discounted_reward_to_go", "value", 0.5)
    exact = as_parameters(exact_gradient(TRAIL, LOGITS, 0.5, HORIZON))
    assert disagreement(gradients, exact) > 10.0
    assert cosine(gradients.mean(dim=0), exact) < 0.96


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("wrong", [too_late, too_early])
def test_the_same_check_fails_an_agent_whose_rewards_are_shifted_by_one_step(
    estimator: Estimator, wrong: Callable[[Rollout], Rollout]
) -> None:
    shifted = [wrong(rollout) for rollout in sampled()[WARM_UP:]]
    gradients = frozen_reinforce(estimator, "none", 1.0, EPISODES_PER_BATCH).gradients(shifted)
    assert disagreement(gradients, as_parameters(exact_gradient(TRAIL, LOGITS, 1.0, HORIZON))) > 4.0


# How much the estimators scatter.


def test_rewards_to_go_are_less_noisy_than_whole_returns_and_a_baseline_helps_them() -> None:
    whole = float(gradients_of("whole_return", "none", 1.0).var(dim=0).sum())
    to_go = float(gradients_of("reward_to_go", "none", 1.0).var(dim=0).sum())
    with_baseline = [
        float(gradients_of("reward_to_go", baseline, 1.0).var(dim=0).sum())
        for baseline in ("moving_average", "batch_mean", "value")
    ]
    assert whole > 1.2 * to_go
    assert to_go > 1.2 * max(with_baseline)


@pytest.mark.parametrize("estimator", ["whole_return", "reward_to_go"])
def test_sampled_variances_are_the_exact_ones(estimator: Estimator) -> None:
    gradients = gradients_of(estimator, "none", 1.0)
    spread = (gradients - gradients.mean(dim=0)).square().sum(dim=1)
    standard_error = float(spread.std()) / len(spread) ** 0.5
    assert (
        abs(float(spread.mean()) - variance_without_baseline(trail(), estimator, 1.0, EPISODES_PER_BATCH))
        < 4.0 * standard_error
    )


@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.5])
def test_exact_variances_are_ordered(gamma: float) -> None:
    probability = trail().probability(LOGITS)
    weight = weights(trail(), "reward_to_go", gamma)
    # The mean weight of each state: what a learned value comes to.
    visits = torch.where(trail().mask, probability, 0.0)
    here = torch.nn.functional.one_hot(trail().state, TRAIL.num_states).double()
    value = torch.einsum("tm,tms->s", visits * weight, here) / torch.einsum("tm,tms->s", visits, here).clamp(min=1e-12)
    variances = []
    for each in (weights(trail(), "whole_return", gamma), weight, weight - value[trail().state]):
        gradients = as_parameters(trail().gradients(LOGITS, each))
        variances.append(float(probability @ (gradients - probability @ gradients).square().sum(dim=1)))
    assert variances[0] > 1.2 * variances[1]
    assert variances[1] > 1.2 * variances[2]


def test_the_documented_table_is_the_one_that_was_measured() -> None:
    page = (ROOT / "docs" / "algorithms" / "reinforce.md").read_text(encoding="utf-8")
    assert markdown(read()) in page
