"""Whether an environment replays is tried once, for a limited time; instances that learn across episodes are kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.wrappers import NormalizeObservation
from gymnasium_env import gymnasium_env

from rlrun.cli.main import run_command
from rlrun.envs.gymnasium import GymnasiumEnv
from rlrun.errors import UserError
from rlrun.rng import stream_seeds

ID = "RlrunReplay-v0"


class Clock:
    """Stands for `perf_counter`: time passes only where an environment takes it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Walk(gymnasium.Env[Any, Any]):
    """Shows the seed's first draw and the time; takes as long as `clock` is told."""

    observation_space = spaces.Box(-1, 99, (2,), np.float32)
    action_space = spaces.Discrete(2)
    clock = Clock()
    reset_seconds = step_seconds = 0.0
    resets = steps = made = 0  # of all instances of a class

    def __init__(self, render_mode: str | None = None) -> None:
        type(self).made += 1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        type(self).resets += 1
        self.clock.now += self.reset_seconds
        self.drawn, self.time = self.np_random.random(), 0
        return self.shown(), {}

    def step(self, action: int) -> Any:
        type(self).steps += 1
        self.clock.now += self.step_seconds
        self.time += 1
        return self.shown(), float(action), self.ends(), False, {}

    def shown(self) -> Any:
        return np.array([self.drawn, self.time], np.float32)

    def ends(self) -> bool:
        return False


class Curriculum(Walk):
    """Its episodes grow by a step each time: 5, 6, 7, ..."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.length = 4

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.length += 1
        return super().reset(seed=seed)

    def ends(self) -> bool:
        return self.time >= self.length


class Unseeded(Walk):
    """Every instance is another, whatever the seed."""

    instances = count()

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.number = next(self.instances)

    def shown(self) -> Any:
        return np.array([self.number % 50, self.time], np.float32)


@pytest.fixture(autouse=True)
def unregistered() -> Iterator[None]:
    yield
    gymnasium.registry.pop(ID, None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("rlrun.envs.gymnasium_replay.perf_counter", clock)
    return clock


def registered(kind: type[Walk], **attributes: Any) -> type[Walk]:
    """A class of its own, so that nothing is known of it."""
    gymnasium.registry.pop(ID, None)
    new: type[Walk] = type(kind.__name__, (kind,), attributes)
    gymnasium.register(ID, entry_point=new, max_episode_steps=60)  # type: ignore[arg-type]
    return new


def make(num_envs: int = 1, *, fresh_instances: bool = False, seconds: float = 2.0, **changed: Any) -> GymnasiumEnv:
    return gymnasium_env(ID, num_envs, fresh_instances=fresh_instances, replay_probe_seconds=seconds, **changed)


def lengths(env: GymnasiumEnv, steps: int) -> list[list[int]]:
    """Of the episodes of each slot that end within so many steps."""
    env.reset(0)
    ended: list[list[int]] = [[] for _ in range(env.spec.num_envs)]
    begins = np.zeros(env.spec.num_envs, int)
    for time in range(1, steps + 1):
        for slot in np.flatnonzero(env.step(np.zeros(env.spec.num_envs, np.int64)).last):
            ended[slot].append(time - begins[slot])
            begins[slot] = time
    return ended


def test_it_is_tried_once_for_training_and_evaluation_together() -> None:
    kind = registered(Walk)
    assert make().spec.resumable
    assert kind.steps > 0
    played, made = kind.steps, kind.made
    assert make(num_envs=3).spec.resumable
    assert make(fresh_instances=True).spec.resumable
    assert (kind.steps, kind.made) == (played, made + 4)
    make(max_episode_steps=30)
    assert kind.steps > played, "another time limit is another environment"


def test_another_class_of_the_same_id_is_tried_anew() -> None:
    registered(Walk)
    assert make().spec.resumable
    registered(Unseeded)
    assert not make().spec.resumable


@pytest.mark.parametrize("step_seconds", [0.01, 0.05, 0.25, 0.6])
def test_a_slow_one_is_tried_for_as_long_as_is_allowed(
    clock: Clock, caplog: pytest.LogCaptureFixture, step_seconds: float
) -> None:
    kind = registered(Walk, clock=clock, step_seconds=step_seconds)
    with caplog.at_level(logging.INFO, "rlrun"):
        assert make(seconds=2.0).spec.resumable
    assert 0 < clock.now <= 2.0 + step_seconds
    assert kind.steps * step_seconds >= 2.0 * 6 / 8 - step_seconds, "most of the time is used"
    assert len(caplog.messages) == 2
    assert all(f"env.id={ID}" in message for message in caplog.messages)


def test_a_quick_one_is_tried_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    kind = registered(Walk)
    with caplog.at_level(logging.INFO, "rlrun"):
        make(seconds=60)
    assert (kind.resets, kind.steps) == (7, 7 * 40)
    assert caplog.messages == []


def test_a_beginning_and_a_step_are_played_of_the_slowest(clock: Clock) -> None:
    kind = registered(Walk, clock=clock, reset_seconds=30.0)
    assert make().spec.resumable
    assert (kind.resets, kind.steps, kind.made) == (1, 1, 2)


@pytest.mark.parametrize("step_seconds", [0.0, 0.05, 0.1])
def test_a_difference_that_is_seen_in_time_counts(clock: Clock, step_seconds: float) -> None:
    registered(Unseeded, clock=clock, step_seconds=step_seconds)
    assert not make().spec.resumable


def test_what_learns_across_episodes_is_kept_and_cannot_be_resumed() -> None:
    registered(Curriculum)
    env = make(num_envs=2)
    assert lengths(env, 35) == [[5, 6, 7, 8, 9]] * 2  # as by itself: nobody has played it before
    assert not env.spec.resumable
    assert len(env.spec.remarks) == 1
    assert "env.fresh_instances=true" in env.spec.remarks[0]
    with pytest.raises(UserError, match=r"env\.fresh_instances=true"):
        env.state_dict()
    other = make(num_envs=2, fresh_instances=True)
    other.reset(0)
    with pytest.raises(UserError, match=r"env\.fresh_instances=true"):
        env.load_state_dict(other.state_dict())


class Late(Walk):
    """Shows something else after this many episodes of an instance."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.episodes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.episodes += 1
        return super().reset(seed=seed)

    def shown(self) -> Any:
        return super().shown() + (self.episodes > 20)

    def ends(self) -> bool:
        return self.time >= 3


def test_what_is_kept_and_shows_late_is_named_where_a_run_cannot_go_on() -> None:
    registered(Late)
    env = make()
    assert env.spec.resumable, "seven episodes do not show it"
    assert lengths(env, 80) == [[3] * 26]
    with pytest.raises(UserError, match=r"env\.fresh_instances=true"):
        make().load_state_dict(env.state_dict())


def test_fresh_instances_forget_and_can_be_resumed() -> None:
    registered(Curriculum)
    env = make(num_envs=2, fresh_instances=True)
    assert lengths(env, 35) == [[5] * 7] * 2
    assert env.spec.resumable
    assert env.spec.remarks == ()
    other = make(num_envs=2, fresh_instances=True)
    np.testing.assert_array_equal(other.load_state_dict(env.state_dict()), env.restart(np.zeros(2, bool)))


def test_fresh_instances_draw_pictures_when_they_are_asked_to() -> None:
    class Drawn(Curriculum):
        metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 as Gymnasium has it

        def __init__(self, render_mode: str | None = None) -> None:
            super().__init__()
            self.render_mode = render_mode

        def render(self) -> Any:
            return np.full((2, 2, 3), self.time, np.uint8) if self.render_mode == "rgb_array" else None

    registered(Drawn)
    env = make(fresh_instances=True)
    env.begin_streams(np.array([3]))
    for time in range(5):
        assert env.render_rgb(ended=False).tolist() == [[[time] * 3] * 2] * 2
        env.step(np.array([0]))
    assert env.render_rgb(ended=True).max() == 5
    assert env.render_rgb(ended=False).max() == 0


@pytest.mark.filterwarnings("ignore:builtin type")  # of Box2D's bindings; as an error it would end the process
@pytest.mark.parametrize(
    "env_id",
    [
        "Acrobot-v1",
        "CartPole-v1",
        "CliffWalking-v1",
        "FrozenLake-v1",
        "MountainCar-v0",
        "Taxi-v4",
        pytest.param(
            "LunarLander-v3", marks=pytest.mark.skipif(find_spec("Box2D") is None, reason="needs rlrun[box2d]")
        ),
    ],
)
def test_environments_with_files_of_their_own_need_no_fresh_instances(env_id: str) -> None:
    env = gymnasium_env(env_id, max_episode_steps=30)
    assert env.spec.resumable
    assert env.spec.remarks == ()
    env.close()


def test_a_wrapper_that_normalises_goes_on_as_gymnasiums_does() -> None:
    gymnasium.register(ID, lambda render_mode=None: NormalizeObservation(CartPoleEnv()), max_episode_steps=60)  # type: ignore[arg-type]
    env, single = make(), gymnasium.make(ID)
    assert not env.spec.resumable

    def begin(episode: int) -> Any:
        return single.reset(seed=int(stream_seeds(4, np.array([0]), np.array([episode]))[0]))[0]

    np.testing.assert_array_equal(env.reset(4)[0], begin(0))
    episode = 0
    for action in np.random.default_rng(0).integers(2, size=200).tolist():
        obs, _, terminated, truncated, _ = single.step(action)
        step = env.step(np.array([action]))
        np.testing.assert_array_equal(step.next_obs[0], obs)
        if terminated or truncated:
            episode += 1
            obs = begin(episode)
        np.testing.assert_array_equal(step.obs[0], obs)
    assert episode > 3


def test_a_run_says_once_that_it_cannot_be_resumed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    registered(Curriculum)
    overrides = ["algo=random", "env=gym", f"env.id={ID}", "device=cpu", "logger=none", "name=run", "total_steps=100"]
    assert run_command(["rlrun", *overrides, "evaluation.episodes=1", f"runs_dir={tmp_path}"]) == 0
    assert capfd.readouterr().out.count("env.fresh_instances=true") == 1
    assert list(tmp_path.rglob("checkpoints/*.state")) == []
    overrides[-2] = "name=new"
    assert run_command(["rlrun", *overrides, "env.fresh_instances=true", f"runs_dir={tmp_path}"]) == 0
    assert list(tmp_path.rglob("checkpoints/*.state")) != []
