from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from rlrun.envs.cartpole import CartPole, initial_states
from rlrun.protocols import VecEnv
from rlrun.rng import stream_seeds
from rlrun.testing import VecEnvContract


class TestCartPoleContract(VecEnvContract):
    def make(self, num_envs: int) -> VecEnv:
        return CartPole(num_envs=num_envs, max_episode_steps=500)


class TestCartPoleWithAShortTimeLimitContract(VecEnvContract):
    def make(self, num_envs: int) -> VecEnv:
        return CartPole(num_envs=num_envs, max_episode_steps=7)


def balance(obs: np.ndarray) -> np.ndarray:
    """Keeps the pole up: the sign of a hand-made linear feedback on angle and angular velocity."""
    pushed_right: np.ndarray = obs @ np.array([0.1, 0.5, 3.0, 1.0]) > 0
    return pushed_right.astype(np.int64)


@pytest.mark.parametrize("skill", [0.0, 1.0])
def test_states_are_those_of_gymnasium_over_whole_episodes(skill: float) -> None:
    num_envs, seed = 8, 3
    rng = np.random.default_rng(0)
    env = CartPole(num_envs=num_envs, max_episode_steps=500)
    singles = [gymnasium.make("CartPole-v1") for _ in range(num_envs)]
    episode = np.zeros(num_envs, np.int64)

    def begin(slot: int) -> np.ndarray:
        singles[slot].reset(seed=0)
        single = singles[slot].unwrapped
        assert isinstance(single, CartPoleEnv)
        single.state = initial_states(stream_seeds(seed, np.array([slot]), episode[[slot]]))[:, 0]
        return np.array(single.state, np.float32)

    obs = env.reset(seed)
    np.testing.assert_array_equal(obs, [begin(slot) for slot in range(num_envs)])
    ends = {"fell": 0, "time limit": 0}
    for _ in range(1100):
        action = np.where(rng.random(num_envs) < skill, balance(obs), rng.integers(2, size=num_envs))
        step = env.step(action)
        for slot in range(num_envs):
            next_obs, reward, terminated, truncated, _ = singles[slot].step(int(action[slot]))
            np.testing.assert_array_equal(step.next_obs[slot], next_obs)
            assert step.reward[slot] == reward == 1.0
            assert step.discount[slot] == (0.0 if terminated else 1.0)
            assert step.last[slot] == (terminated or truncated)
            if step.last[slot]:
                ends["fell" if terminated else "time limit"] += 1
                episode[slot] += 1
                next_obs = begin(slot)
            np.testing.assert_array_equal(step.obs[slot], next_obs)
        obs = step.obs
    if skill == 0:
        assert ends["fell"] >= 160
    else:
        assert ends["time limit"] >= 16, "two whole episodes of 500 steps in every slot"


def test_a_time_limit_keeps_the_future_unless_the_pole_fell_on_that_very_step() -> None:
    pushed_right = np.ones(64, np.int64)

    def lengths(limit: int) -> tuple[np.ndarray, np.ndarray]:
        """Length and last discount of every slot's first episode when pushed right all the time."""
        env = CartPole(num_envs=64, max_episode_steps=limit)
        env.reset(0)
        length, discount = np.zeros(64, np.int64), np.full(64, -1.0)
        for time in range(1, limit + 1):
            step = env.step(pushed_right)
            first = step.last & (length == 0)
            length[first], discount[first] = time, step.discount[first]
        return length, discount

    falls_after, discount = lengths(500)
    assert (discount == 0).all()
    assert 8 <= falls_after.min() < 9 < falls_after.max() <= 11, "slots must fall at different times around step 9"
    length, discount = lengths(9)
    np.testing.assert_array_equal(length, np.minimum(falls_after, 9))
    np.testing.assert_array_equal(discount, np.where(falls_after <= 9, 0.0, 1.0))


def test_initial_states_fill_the_range_and_depend_on_their_own_seed_alone() -> None:
    seeds = stream_seeds(0, np.arange(20_000), np.zeros(20_000, np.int64))
    states = initial_states(seeds)
    assert states.shape == (4, 20_000)
    assert -0.05 <= states.min() < -0.0499
    assert 0.0499 < states.max() < 0.05
    # A uniform mean's standard deviation is 0.1 / sqrt(12 N) = 0.0002; correlations' is 1 / sqrt(N) = 0.007.
    assert np.abs(states.mean(axis=1)).max() < 0.001
    assert np.abs(np.corrcoef(states) - np.eye(4)).max() < 0.035
    np.testing.assert_array_equal(initial_states(seeds[70:71])[:, 0], states[:, 70])


def test_the_thousandth_episode_begins_as_its_own_stream_says() -> None:
    env = CartPole(num_envs=3, max_episode_steps=500)
    env.reset(8)
    middle = np.array([False, True, False])
    for number in range(1, 1001):
        obs = env.restart(middle)
        if number in (31, 32, 33, 1000):
            seeds = stream_seeds(8, np.arange(3), np.array([0, number, 0]))
            np.testing.assert_array_equal(obs, initial_states(seeds).T.astype(np.float32))
