import re

import pytest
import torch
from torch import Tensor

from rlrun.numerics.returns import (
    cuts,
    discounted_returns,
    episode_time,
    gae,
    lambda_returns,
    n_step_returns,
    reward_to_go,
    td_errors,
    whole_returns,
)

F64 = torch.float64


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=F64)[:, None]


def flags(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.bool)[:, None]


# One slot, five steps: the episode terminates at step 1, the next hits its time limit at step 3, a third has begun.
REWARD = column(1, 2, 4, 8, 16)
DISCOUNT = column(1, 0, 1, 1, 1)
LAST = flags(0, 1, 0, 1, 0)
VALUE = column(10, 20, 30, 40, 50)
NEXT_VALUE = column(20, 99, 40, 60, 70)  # 99 belongs to a terminal state and must never be seen


def test_td_errors_by_hand() -> None:
    # 1 + .5*20 - 10, 2 + 0 - 20, 4 + .5*40 - 30, 8 + .5*60 - 40, 16 + .5*70 - 50
    expected = column(1, -18, -6, -2, 1)
    torch.testing.assert_close(td_errors(REWARD, DISCOUNT, VALUE, NEXT_VALUE, 0.5), expected)


def test_discounted_returns_stop_at_termination_and_bootstrap_at_limits() -> None:
    # G1 = 2; G0 = 1 + .5*2; G3 = 8 + .5*60; G2 = 4 + .5*38; G4 = 16 + .5*70
    expected = column(2, 2, 23, 38, 51)
    torch.testing.assert_close(discounted_returns(REWARD, DISCOUNT, LAST, NEXT_VALUE, 0.5), expected)


def test_gae_by_hand() -> None:
    # delta as above, gamma*lambda = .25: A1 = -18; A0 = 1 + .25*-18; A3 = -2; A2 = -6 + .25*-2; A4 = 1
    expected = column(-3.5, -18, -6.5, -2, 1)
    torch.testing.assert_close(gae(REWARD, DISCOUNT, LAST, VALUE, NEXT_VALUE, 0.5, 0.5), expected)


def test_n_step_returns_by_hand() -> None:
    # Two steps: G0 = 1 + .5*2 (terminates); G1 = 2; G2 = 4 + .5*8 + .25*60; G3 = 8 + .5*60; G4 = 16 + .5*70
    expected = column(2, 2, 23, 38, 51)
    torch.testing.assert_close(n_step_returns(REWARD, DISCOUNT, LAST, NEXT_VALUE, 0.5, 2), expected)


def test_n_step_returns_use_the_power_of_gamma_that_belongs_to_each_window() -> None:
    reward, ones, none = column(1, 2, 4, 8), column(1, 1, 1, 1), flags(0, 0, 0, 0)
    next_value = column(100, 200, 400, 800)
    # Three steps; the last two windows are cut by the end of the rollout.
    expected = column(1 + 1 + 1 + 50, 2 + 2 + 2 + 100, 4 + 4 + 200, 8 + 400)
    torch.testing.assert_close(n_step_returns(reward, ones, none, next_value, 0.5, 3), expected)


def test_a_lost_life_cuts_what_comes_before_it_from_what_comes_after() -> None:
    reward, discount, last = column(1, 2, 4), column(1, 0, 1), flags(0, 0, 1)
    next_value = column(99, 99, 10)
    torch.testing.assert_close(discounted_returns(reward, discount, last, next_value, 0.5), column(2, 2, 9))
    # The same without a bootstrap, whether the episode then terminates or meets its time limit (discount 1).
    torch.testing.assert_close(reward_to_go(reward, discount, last, flags(1, 1, 1), 0.5), column(2, 2, 4))
    torch.testing.assert_close(whole_returns(reward, discount, last, flags(1, 1, 1), 0.5), column(2, 2, 4))
    assert cuts(discount, last)[:, 0].tolist() == [False, True, True]
    assert episode_time(cuts(discount, last))[:, 0].tolist() == [0, 1, 0]


def test_lambda_returns_by_hand() -> None:
    # gamma = lambda = .5: G4 = 16 + .5*70; G3 = 8 + .5*60; G2 = 4 + .5*(.5*40 + .5*38); G1 = 2;
    # G0 = 1 + .5*(.5*20 + .5*2)
    expected = column(6.5, 2, 23.5, 38, 51)
    torch.testing.assert_close(lambda_returns(REWARD, DISCOUNT, LAST, NEXT_VALUE, 0.5, 0.5), expected)


def random_rollout(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Values that fit one another: V(s') is the next row's V unless the episode ended."""
    rng = torch.Generator().manual_seed(seed)
    reward = torch.randn(12, 3, generator=rng, dtype=F64)
    last = torch.rand(12, 3, generator=rng) < 0.25
    ends = (torch.rand(12, 3, generator=rng) < 0.5) & last
    discount = (~ends).to(F64)
    value = torch.randn(13, 3, generator=rng, dtype=F64)
    next_value = torch.where(last, torch.randn(12, 3, generator=rng, dtype=F64), value[1:])
    return reward, discount, last, value[:-1], next_value


@pytest.mark.parametrize("seed", range(5))
def test_identities_between_the_estimators(seed: int) -> None:
    reward, discount, last, value, next_value = random_rollout(seed)
    arguments = (reward, discount, last, next_value, 0.9)
    monte_carlo = discounted_returns(*arguments)
    errors = td_errors(reward, discount, value, next_value, 0.9)
    torch.testing.assert_close(gae(reward, discount, last, value, next_value, 0.9, 0.0), errors)
    torch.testing.assert_close(gae(reward, discount, last, value, next_value, 0.9, 1.0), monte_carlo - value)
    torch.testing.assert_close(n_step_returns(*arguments, 1), errors + value)
    torch.testing.assert_close(n_step_returns(*arguments, 12), monte_carlo)
    torch.testing.assert_close(n_step_returns(*arguments, 50), monte_carlo)
    torch.testing.assert_close(lambda_returns(*arguments, 0.0), errors + value)
    mixed = gae(reward, discount, last, value, next_value, 0.9, 0.7) + value
    torch.testing.assert_close(lambda_returns(*arguments, 0.7), mixed)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_n_step_returns_equal_a_walk_through_every_window(n: int) -> None:
    reward, discount, last, _, next_value = random_rollout(7)
    expected = torch.zeros_like(reward)
    for t in range(12):
        for slot in range(3):
            total, weight, k = 0.0, 1.0, t
            while True:
                total += weight * float(reward[k, slot])
                weight *= 0.9 * float(discount[k, slot])
                if last[k, slot] or k == min(t + n - 1, 11):
                    break
                k += 1
            expected[t, slot] = total + weight * float(next_value[k, slot])
    torch.testing.assert_close(n_step_returns(reward, discount, last, next_value, 0.9, n), expected)


def test_constant_reward_at_a_time_limit_is_worth_its_geometric_sum() -> None:
    # Reward 1 forever, limit 8, gamma .98: V = 50 if the limit bootstraps (stable-baselines3's test_gae).
    value = column(*[50.0] * 8)
    last = flags(*[0] * 7, 1)
    ones = column(*[1.0] * 8)
    torch.testing.assert_close(discounted_returns(ones, ones, last, value, 0.98), value)


def test_whole_episode_sums_by_hand() -> None:
    last, mask = flags(0, 0, 1, 0, 1, 0), flags(1, 1, 1, 1, 1, 0)
    reward = column(1, 2, 4, 8, 16, 32)
    for discount in (1.0 - last.to(F64), torch.ones_like(reward)):  # both ends terminate, or are time limits
        torch.testing.assert_close(reward_to_go(reward, discount, last, mask, 0.5), column(3, 4, 4, 16, 16, 0))
        torch.testing.assert_close(whole_returns(reward, discount, last, mask, 0.5), column(3, 3, 3, 16, 16, 0))
        assert episode_time(cuts(discount, last))[:, 0].tolist() == [0, 1, 2, 0, 1, 0]


@pytest.mark.parametrize("seed", range(3))
def test_rewards_to_go_are_monte_carlo_returns_that_bootstrap_nothing(seed: int) -> None:
    reward, discount, last, _, next_value = random_rollout(seed)
    last[-1] = True  # whole episodes
    discount = torch.where(torch.rand(discount.shape, generator=torch.Generator().manual_seed(seed)) < 0.2, 0, discount)
    expected = discounted_returns(reward, discount, last, torch.zeros_like(next_value), 0.9)
    everywhere = torch.ones_like(last)
    torch.testing.assert_close(reward_to_go(reward, discount, last, everywhere, 0.9), expected)


def test_slots_do_not_mix() -> None:
    reward, discount, last, value, next_value = random_rollout(3)
    together = gae(reward, discount, last, value, next_value, 0.9, 0.8)
    for slot in range(3):
        one = slice(slot, slot + 1)
        alone = gae(reward[:, one], discount[:, one], last[:, one], value[:, one], next_value[:, one], 0.9, 0.8)
        torch.testing.assert_close(together[:, one], alone)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[T, B\].*\(3,\)"):
        discounted_returns(torch.zeros(3), torch.zeros(3), torch.zeros(3), torch.zeros(3), 0.9)
    with pytest.raises(ValueError, match=re.escape(str(tuple(NEXT_VALUE[:-1].shape)))):
        td_errors(REWARD, DISCOUNT, VALUE, NEXT_VALUE[:-1], 0.9)
    with pytest.raises(ValueError, match=r"^n .*\b0$"):
        n_step_returns(REWARD, DISCOUNT, LAST, NEXT_VALUE, 0.9, 0)
