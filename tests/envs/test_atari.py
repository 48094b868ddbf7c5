from functools import partial

import numpy as np
import pytest

from rlrun.envs.atari import Atari
from rlrun.envs.atari_games import UNLOADABLE, bundled_games, require_game
from rlrun.errors import UserError
from rlrun.protocols import VecEnv
from rlrun.testing.vec_env import VecEnvContract
from rlrun.types import Int64Array, TimeStep


def atari(
    game: str = "breakout",
    protocol: str = "nature2015",
    num_envs: int = 1,
    num_threads: int = 1,
    max_episode_frames: int = 400,
    reseed_every_steps: int = 150,
) -> Atari:
    return Atari(
        game=game,
        protocol="nature2015" if protocol == "nature2015" else "machado2018",
        num_envs=num_envs,
        num_threads=num_threads,
        max_episode_frames=max_episode_frames,
        reseed_every_steps=reseed_every_steps,
    )


brief = partial(atari, max_episode_frames=160, reseed_every_steps=60)  # episodes of 40 steps, streams of 80


def actions(env: Atari, num_steps: int, seed: int = 0) -> Int64Array:
    return np.random.default_rng(seed).integers(0, env.spec.num_actions, (num_steps, env.spec.num_envs))


def play(env: Atari, played: Int64Array) -> list[TimeStep]:
    return [env.step(action) for action in played]


def assert_equal_steps(left: TimeStep, right: TimeStep, slots: slice = slice(None)) -> None:
    for name in ("next_obs", "reward", "discount", "last", "obs"):
        np.testing.assert_array_equal(getattr(left, name)[slots], getattr(right, name)[slots], name)


class TestSticky(VecEnvContract):
    def make(self, num_envs: int) -> VecEnv:  # episodes of 25 steps, streams of 50
        return atari(protocol="machado2018", num_envs=num_envs, max_episode_frames=100, reseed_every_steps=40)

    num_steps = 90
    stochastic_start = False  # without no-ops every game begins alike; sticky actions make the difference


def test_observations_are_stacks_of_four_screens_with_nothing_before_the_first() -> None:
    env = atari(num_envs=2, max_episode_frames=200)
    obs = env.reset(0)
    assert obs.shape == (2, 4, 84, 84)
    assert not obs[:, :3].any()
    assert obs[:, 3].any()
    ends = 0
    for time_step in play(env, actions(env, 120)):
        np.testing.assert_array_equal(time_step.next_obs[:, :3], obs[:, 1:])
        obs = time_step.obs
        ends += int(time_step.last.sum())
        assert not obs[time_step.last][:, :3].any()
        np.testing.assert_array_equal(obs[~time_step.last], time_step.next_obs[~time_step.last])
    assert ends >= 4


def test_the_first_action_of_an_episode_is_played() -> None:
    # A wrapper that resets a step late would swallow it: then FIRE would not launch the ball.
    env = atari(max_episode_frames=40, protocol="machado2018")
    env.reset(3)
    screens = []
    for first in (1, 0):  # FIRE, or nothing, as the first action of the episode after a limit
        env.reset(3)
        for _ in range(10):
            time_step = env.step(np.array([0]))
        assert time_step.last[0]
        env.step(np.array([first]))
        for _ in range(5):
            time_step = env.step(np.array([0]))
        screens.append(time_step.next_obs[0, 3])
    assert not np.array_equal(*screens)


def test_a_lost_life_is_worth_nothing_in_nature2015_and_ends_no_episode() -> None:
    env = atari(max_episode_frames=100_000)
    env.reset(1)
    lives = 5
    lost = 0
    for time_step in play(env, actions(env, 250)):
        now = int(time_step.extras["lives"][0])
        if now < lives:
            lost += 1
            assert time_step.discount[0] == 0.0
            assert time_step.last[0] == (now == 0)
        else:
            assert time_step.discount[0] == 1.0
        lives = 5 if time_step.last[0] else now
    assert lost >= 5


def test_a_lost_life_is_no_signal_in_machado2018() -> None:
    env = atari(protocol="machado2018", max_episode_frames=100_000)
    env.reset(1)
    lost = 0
    lives = 5
    for time_step in play(env, actions(env, 250)):
        now = int(time_step.extras["lives"][0])
        if 0 < now < lives:
            lost += 1
            assert time_step.discount[0] == 1.0
        lives = 5 if time_step.last[0] else now
    assert lost >= 3
    assert env.spec.num_actions == 18
    assert atari().spec.num_actions == 4


def test_the_frame_limit_cuts_off_with_discount_1_and_the_true_successor() -> None:
    short, long = atari("pong", max_episode_frames=80), atari("pong", max_episode_frames=100_000)
    short.reset(5)
    long.reset(5)
    played = actions(short, 20)
    cut, whole = play(short, played)[-1], play(long, played)[-1]
    assert cut.last[0]
    assert cut.discount[0] == 1.0
    assert not whole.last[0]
    np.testing.assert_array_equal(cut.next_obs, whole.next_obs)
    assert not cut.obs[0, :3].any()


def test_rewards_are_raw() -> None:
    env = atari("space_invaders", num_envs=4, max_episode_frames=100_000)
    env.reset(0)
    rewards = np.concatenate([time_step.reward for time_step in play(env, actions(env, 150))])
    assert rewards.max() >= 5.0
    assert rewards.dtype == np.float32


def test_slots_and_threads_change_nothing() -> None:
    narrow, wide = brief(num_envs=2), brief(num_envs=4, num_threads=2)
    narrow.reset(7)
    wide.reset(7)
    played = actions(wide, 100)
    for action in played:
        assert_equal_steps(narrow.step(action[:2]), wide.step(action), slice(2))


@pytest.mark.parametrize("protocol", ["nature2015", "machado2018"])
def test_seeds_and_actions_lead_to_the_same_place_again(protocol: str) -> None:
    env = brief(protocol=protocol, num_envs=3)
    env.reset(5)
    played = actions(env, 140)
    for step, action in enumerate(played[:100]):
        if step in (17, 18, 85):
            env.restart(np.array([step != 85, False, True]))
        env.step(action)
    state = env.state_dict()
    again = brief(protocol=protocol, num_envs=3)
    again.reset(99)
    again.load_state_dict(state)
    for action in played[100:]:
        assert_equal_steps(env.step(action), again.step(action))


def test_streams_are_seeded_anew_at_the_first_end_after_their_length() -> None:
    env = atari(max_episode_frames=160, reseed_every_steps=100)
    env.reset(0)
    ended_at = [step for step, time_step in enumerate(play(env, actions(env, 200)), 1) if time_step.last[0]]
    assert ended_at == [40, 80, 120, 160, 200]
    # Streams end at 120; a resumed environment that only knows what came since must agree.
    assert len(env.state_dict()["log"]["rows"]) == 80


def test_every_bundled_game_but_four_is_accepted() -> None:
    games = bundled_games()
    assert len(games) == 104
    for game in games:
        require_game(game)


@pytest.mark.parametrize("game", sorted(UNLOADABLE))
def test_games_that_would_end_the_process_are_refused_before_they_are_loaded(game: str) -> None:
    with pytest.raises(UserError, match=game):
        atari(game)


def test_an_unknown_game_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UserError, match=r"env\.game=space_invader\b.*space_invaders"):
        atari("space_invader")
