"""Videos of policies: what is played, what the bars show, and the files."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rlrun.build import build_player
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.envs.render.cartpole import render_cartpole
from rlrun.errors import UserError
from rlrun.pictures.action_scores import (
    PROBABILITY,
    Q,
    Scores,
    draw_scores,
    limits_of,
    names_of_actions,
    scores_of,
)
from rlrun.pictures.playing import play
from rlrun.pictures.policy_video import Actor, policy_video
from rlrun.pictures.video_file import require_writable, write_video
from rlrun.protocols import Renderable, Stochastic, ValuesActions

MANY = 10**9


def actor(*overrides: str) -> Actor:
    words = [*overrides, "device=cpu", "logger=none"]
    player = build_player(load_config(words, [config_directory()]), num_envs=1)
    assert isinstance(player.env, Renderable)
    return Actor(agent=player.agent, act=player.actions.act, env=player.env, title="title")


@pytest.fixture(scope="module")
def cartpole() -> Actor:
    return actor("algo=dqn", "env=cartpole")


def test_equal_seeds_play_equal_episodes_and_others_do_not(cartpole: Actor) -> None:
    def played(seed: int, episode: int) -> list[NDArray[np.uint8]]:
        return [shot.picture for shot in play(cartpole.agent, cartpole.act, cartpole.env, seed, episode)]

    first = played(3, 1)
    assert all(map(np.array_equal, first, played(3, 1)))
    assert not np.array_equal(first[0], played(4, 1)[0]) or len(played(4, 1)) != len(first)
    assert not np.array_equal(first[0], played(3, 2)[0]) or len(played(3, 2)) != len(first)


def test_a_shot_shows_the_state_that_its_scores_are_of(cartpole: Actor) -> None:
    """The picture, the values and the action belong together; the return is of the rewards before."""
    shots = list(play(cartpole.agent, cartpole.act, cartpole.env, 0, 1))
    assert isinstance(cartpole.agent, ValuesActions)
    assert [shot.step for shot in shots] == list(range(len(shots)))
    assert [shot.episode_return for shot in shots] == [float(step) for step in range(len(shots))]
    assert [shot.last for shot in shots] == [False] * (len(shots) - 1) + [True]
    assert shots[-1].action is None
    assert shots[-1].scores is None
    env, agent = cartpole.env, cartpole.agent
    again = play(agent, partial(agent.act, explore=False), env, 0, 1)
    for shot in again:
        if shot.last:
            break
        position, _, angle, _ = env.state_dict()["state"][:, 0]
        assert np.array_equal(shot.picture, render_cartpole(float(np.float32(position)), float(np.float32(angle)))) or (
            np.abs(shot.picture.astype(int) - render_cartpole(float(position), float(angle))).max() < 40
        )
        obs = torch.from_numpy(env.state_dict()["state"].T.astype(np.float32))
        assert shot.scores is not None
        assert torch.equal(torch.from_numpy(shot.scores.values), agent.q_values(obs)[0].double())


def test_probabilities_are_those_of_the_policy_and_sum_to_one() -> None:
    playing = actor("algo=actor_critic", "env=cartpole")
    obs = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    scores = scores_of(playing.agent, obs, (), 2)
    assert scores is not None
    assert scores.kind == PROBABILITY
    assert isinstance(playing.agent, Stochastic)
    policy, _ = playing.agent.policy(obs, ())
    drawn = torch.stack([policy.sample(torch.Generator().manual_seed(seed)) for seed in range(2000)]).double()
    assert scores.values.sum() == pytest.approx(1.0)
    assert scores.values[1] == pytest.approx(float(drawn.mean()), abs=0.05)
    playing.env.close()


def test_a_table_shows_its_row(tmp_path: Path) -> None:
    del tmp_path
    playing = actor("algo=value_iteration", "env=gridworld")
    scores = scores_of(playing.agent, torch.tensor([5]), (), 4)
    assert scores is not None
    assert scores.kind == Q
    assert np.array_equal(scores.values, playing.agent.tables().q[5])  # type: ignore[attr-defined]
    playing.env.close()


def test_an_agent_that_does_not_say_has_no_bars() -> None:
    playing = actor("algo=random", "env=cartpole")
    assert scores_of(playing.agent, torch.zeros(1, 4), (), 2) is None
    (shot,) = [shot for shot in play(playing.agent, playing.act, playing.env, 0, 1) if shot.last]
    video = policy_video([playing], 0, 1, 1, MANY, MANY)
    assert len(video.frames) == shot.step + 1
    assert video.frames[0].shape[1] == 400
    playing.env.close()


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        (("algo=random", "env=cartpole"), ("left", "right")),
        (("algo=random", "env=pong"), ("noop", "fire", "right", "left", "rightfire", "leftfire")),
        (("algo=random", "env=gridworld"), ("north", "east", "south", "west")),
        (("algo=random", "env=acrobot"), ("0", "1", "2")),
    ],
)
def test_actions_have_the_names_that_are_known(overrides: tuple[str, ...], names: tuple[str, ...]) -> None:
    playing = actor(*overrides)
    assert names_of_actions(playing.env) == names
    playing.env.close()


def dark_lengths(bars: NDArray[np.uint8]) -> list[int]:
    """The longest run of the chosen action's colour in each row of pixels."""
    return [int(count) for count in (bars == np.array([31, 90, 180])).all(axis=2).sum(axis=1)]


def test_bars_are_as_long_as_their_values_and_the_chosen_one_is_dark() -> None:
    names = ("a", "b", "c")
    values = np.array([0.0, 5.0, 10.0])

    def longest(chosen: int | None, values: NDArray[np.float64] = values) -> int:
        return max(dark_lengths(draw_scores(Scores(Q, values), chosen, names, (0.0, 10.0), Q, 200)))

    assert longest(None) == 0
    assert longest(1) == pytest.approx(longest(2) / 2, abs=1.5)
    assert longest(0) <= 2
    assert longest(2, np.array([0.0, 0.0, 99.0])) == longest(2)  # held inside
    assert longest(1, np.array([0.0, -np.inf, 1.0])) == 0
    assert draw_scores(None, None, names, (0.0, 1.0), Q, 10).shape[0] > 3 * 15  # taller than asked, if they need it


def test_limits_are_those_of_all_frames_and_of_probabilities_fixed() -> None:
    assert limits_of([Scores(Q, np.array([1.0, -np.inf])), Scores(Q, np.array([-2.0, 0.5]))]) == (-2.0, 1.0)
    assert limits_of([Scores(PROBABILITY, np.array([0.4, 0.6]))]) == (0.0, 1.0)


def test_side_by_side_the_shorter_waits_for_the_longer(cartpole: Actor) -> None:
    other = actor("algo=random", "env=cartpole")
    both = policy_video([cartpole, other], 1, 2, 1, MANY, MANY)
    lengths = [[end.step for end in ends] for ends in both.ends]
    assert all(end.last for ends in both.ends for end in ends)
    assert len(both.frames) == sum(max(pair) + 1 for pair in zip(*lengths, strict=True))
    assert len({frame.shape for frame in both.frames}) == 1
    alone = policy_video([cartpole], 1, 2, 1, MANY, MANY)
    assert [end.step for end in alone.ends[0]] == lengths[0]
    other.env.close()


def test_fewer_frames_and_a_video_that_is_cut(cartpole: Actor) -> None:
    whole = policy_video([cartpole], 1, 1, 1, MANY, MANY)
    steps = whole.ends[0][0].step
    assert whole.is_whole
    assert len(whole.frames) == steps + 1
    some = policy_video([cartpole], 1, 1, 4, MANY, MANY)
    assert len(some.frames) == len({*range(0, steps + 1, 4), steps})
    cut = policy_video([cartpole], 1, 1, 1, 3, MANY)
    assert not cut.is_whole
    assert len(cut.frames) == 3
    assert not cut.ends[0][0].last
    height, width, _ = whole.frames[0].shape
    assert len(policy_video([cartpole], 1, 1, 1, MANY, 5 * height * width).frames) == 5


def test_an_mp4_shows_its_frames_and_is_equal_when_written_again(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    rng = np.random.default_rng(0)
    frames = [np.full((31, 45, 3), shade, np.uint8) for shade in rng.integers(0, 256, 6)]
    for name in ("one.mp4", "two.mp4"):
        write_video(tmp_path / name, frames, 10.0)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    with av.open(tmp_path / "one.mp4") as container:
        assert float(container.streams.video[0].average_rate) == 10.0
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(shown) == 6 + 19  # the last one is held for two seconds
    assert shown[0].shape == (32, 46, 3)  # H.264 wants even sides
    for picture, frame in zip(shown, frames, strict=False):
        assert abs(int(picture[10, 10, 0]) - int(frame[10, 10, 0])) < 8


def test_without_the_extra_an_mp4_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    require_writable(tmp_path / "video.gif")
    with pytest.raises(UserError, match=r"pip install 'rlrun\[video\]'"):
        require_writable(tmp_path / "video.mp4")
