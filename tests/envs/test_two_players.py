"""Two players without a special case: discount -1 where the other one moves next, rewards the mover's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlrun.agents.random import Random
from rlrun.agents.tables.td import TD
from rlrun.agents.tables.td_control import TDControl
from rlrun.loop.collect import Collector
from rlrun.numerics.returns import discounted_returns, gae, n_step_returns, td_errors, whole_returns
from rlrun.numerics.schedules import Constant
from rlrun.replay.uniform import UniformReplay
from rlrun.testing import VecEnvContract
from rlrun.types import (
    BoolArray,
    EnvSpec,
    Int64Array,
    ObsArray,
    Rollout,
    State,
    Steps,
    TimeStep,
    WholeEpisodes,
    mask_space,
)

CPU = torch.device("cpu")
STICKS = 5
# What each number of sticks is worth to who moves: lost where it is a multiple of 4, else won.
VALUE = torch.tensor([0.0, 1.0, 1.0, 1.0, -1.0, 1.0])


class Nim:
    """Of five sticks take one, two or three; who takes the last wins. The game ends with a reward of 1 to the mover."""

    def __init__(self, num_envs: int) -> None:
        parts: dict[str, spaces.Box | spaces.Discrete] = {
            "obs": spaces.Discrete(STICKS + 1),
            "action_mask": mask_space(3),
            "player": spaces.Discrete(2),
        }
        self.spec = EnvSpec("nim", parts, spaces.Discrete(3), num_envs, num_players=2)
        self._sticks = np.full(num_envs, STICKS)
        self._player = np.zeros(num_envs, np.int64)

    def _obs(self) -> ObsArray:
        mask = np.arange(1, 4) <= self._sticks[:, None]
        return {"obs": self._sticks.copy(), "action_mask": mask, "player": self._player.copy()}

    def reset(self, seed: int) -> ObsArray:
        del seed
        return self.restart(np.ones(self.spec.num_envs, bool))

    def restart(self, slots: BoolArray) -> ObsArray:
        self._sticks[slots] = STICKS
        self._player[slots] = 0
        return self._obs()

    def step(self, action: Int64Array) -> TimeStep:
        self._sticks -= action + 1
        assert (self._sticks >= 0).all()
        self._player = 1 - self._player
        won = self._sticks == 0
        next_obs = self._obs()
        discount = np.where(won, 0.0, -1.0).astype(np.float32)
        return TimeStep(next_obs, won.astype(np.float32), discount, won, self.restart(won), {})

    def close(self) -> None:
        pass

    def state_dict(self) -> State:
        return {"sticks": self._sticks.copy(), "player": self._player.copy()}

    def load_state_dict(self, state: State) -> ObsArray:
        self._sticks, self._player = state["sticks"].copy(), state["player"].copy()
        return self._obs()


class TestNim(VecEnvContract):
    stochastic_start = False

    def make(self, num_envs: int) -> Nim:
        return Nim(num_envs)


class ForOnePlayer(Nim):
    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs)
        spec = self.spec
        self.spec = EnvSpec(spec.name, spec.observation, spec.action, num_envs)


class Solitaire(VecEnvContract):
    def make(self, num_envs: int) -> ForOnePlayer:
        return ForOnePlayer(num_envs)


def test_the_contract_refuses_a_negative_discount_without_a_second_player() -> None:
    with pytest.raises(AssertionError, match="discount"):
        Solitaire().test_what_is_shown_is_finite_and_discounts_are_those_of_the_game()


def games() -> Rollout:
    env = Nim(50)
    agent = Random(rollout_steps=1, spec=env.spec)
    return Collector(env, WholeEpisodes(2), CPU, seed=0).collect(agent)


def winners_by_hand(rollout: Rollout) -> tuple[torch.Tensor, torch.Tensor]:
    """[T, B] who wins the game that each step belongs to, and in how many steps it ends."""
    winner, steps = torch.full_like(rollout.action, -1), torch.zeros_like(rollout.action)
    for slot in range(rollout.action.shape[1]):
        for time in reversed(range(len(rollout.action))):
            if rollout.last[time, slot]:
                winner[time, slot] = rollout.obs["player"][time, slot]
            elif time + 1 < len(rollout.action):
                winner[time, slot], steps[time, slot] = winner[time + 1, slot], steps[time + 1, slot] + 1
    return winner, steps


@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_discounted_returns_are_what_the_game_is_worth_to_who_moves(gamma: float) -> None:
    rollout = games()
    winner, steps = winners_by_hand(rollout)
    known, zeros = rollout.mask & (winner >= 0), torch.zeros_like(rollout.reward)
    sign = torch.where(winner == rollout.obs["player"], 1.0, -1.0)
    expected = sign * gamma**steps
    assert set(sign[known].tolist()) == {-1.0, 1.0}
    facts = (rollout.reward, rollout.discount, rollout.last)
    for returns in (
        discounted_returns(*facts, zeros, gamma),
        n_step_returns(*facts, zeros, gamma, n=STICKS),
        gae(*facts, zeros, zeros, gamma, 1.0),
    ):
        assert torch.equal(returns[known], expected[known])


def test_right_moves_have_no_error_under_the_right_values() -> None:
    rollout = games()
    value, next_value = VALUE[rollout.obs["obs"]], VALUE[rollout.next_obs["obs"]]
    error = td_errors(rollout.reward, rollout.discount, value, next_value, 1.0)
    assert set(error.flatten().tolist()) == {-2.0, 0.0}  # a mistake turns a won game into a lost one
    left = rollout.next_obs["obs"]
    assert torch.equal(error == 0, (left % 4 == 0) | (value < 0))


def test_q_learning_plays_both_sides_and_finds_the_minimax_values() -> None:
    env = Nim(8)
    agent = TDControl(
        bootstrap="max", gamma=1.0, alpha=1.0, alpha_power=0.0, epsilon=Constant(value=1.0),
        initial_q=0.0, rollout_steps=1, spec=env.spec, device=CPU,
    )  # fmt: skip
    collector = Collector(env, Steps(1), CPU, seed=0)
    for _ in range(200):
        agent.learn(collector.collect(agent))
    q = agent.tables().q
    for sticks in range(1, STICKS + 1):
        for taken in range(1, min(sticks, 3) + 1):
            expected = 1.0 if taken == sticks else -float(VALUE[sticks - taken])
            assert q[sticks, taken - 1] == expected


# By hand, of random play: V(n) is the mean of 1 for taking the last one and of -V(n - taken).
BY_CHANCE = [1.0, 0.0, 0.0, -1 / 3, 1 / 9]


@pytest.mark.parametrize("trace_lambda", [0.0, 0.9, 1.0])
def test_td_learns_what_random_play_is_worth_to_who_moves(trace_lambda: float) -> None:
    env = Nim(64)
    agent = TD(
        policy="uniform", gamma=1.0, alpha=1.0, alpha_power=0.7, trace_lambda=trace_lambda, iterate_average=False,
        sample_average=True, initial_value=0.0, spec=env.spec, device=CPU,
    )  # fmt: skip
    collector = Collector(env, agent.collection, CPU, seed=0)
    for _ in range(600):
        agent.learn(collector.collect(agent))
    tables = agent.tables()
    assert tables.sample_averages is not None
    np.testing.assert_allclose(tables.sample_averages[1:], BY_CHANCE, atol=0.04)  # a standard error is 0.01
    np.testing.assert_allclose(tables.values[1:], BY_CHANCE, atol=0.1)


def test_whole_returns_are_those_of_who_moves() -> None:
    rollout = games()
    winner, _ = winners_by_hand(rollout)
    returns = whole_returns(rollout.reward, rollout.discount, rollout.last, rollout.mask, 1.0)
    expected = torch.where(winner == rollout.obs["player"], 1.0, -1.0)
    assert torch.equal(returns[rollout.mask], expected[rollout.mask])


def test_episode_returns_are_those_of_who_moves_first() -> None:
    rollout = games()
    winner, _ = winners_by_hand(rollout)
    ends = rollout.last & rollout.mask
    expected = torch.where(winner[ends] == 0, 1.0, -1.0)
    assert rollout.episodes.returns.tolist() == expected.tolist()
    assert set(expected.tolist()) == {-1.0, 1.0}


def test_a_replay_sums_rewards_with_the_signs_of_the_movers() -> None:
    env = Nim(4)
    agent = Random(rollout_steps=10, spec=env.spec)
    replay = UniformReplay(capacity_steps=200, n_step=3, gamma=1.0, spec=env.spec, device=CPU)
    collector = Collector(env, agent.collection, CPU, seed=0)
    for _ in range(5):
        replay.extend(collector.collect(agent))
    batch = replay.sample(500, torch.Generator().manual_seed(0))
    over = batch.discount == 0
    assert bool((batch.reward[~over] == 0).all())
    assert bool((batch.discount[~over] == -1).all())  # three moves on it is the other one's turn
    same_mover = batch.next_obs["player"] != batch.obs["player"]  # who made the last move is not who would be next
    assert torch.equal(batch.reward[over], torch.where(same_mover, 1.0, -1.0)[over])
