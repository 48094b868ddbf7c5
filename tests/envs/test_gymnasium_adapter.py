from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium_env import gymnasium_env

from rlrun.envs.gymnasium import GymnasiumEnv
from rlrun.envs.gymnasium_options import checked_options
from rlrun.errors import UserError
from rlrun.protocols import VecEnv
from rlrun.rng import stream_seeds
from rlrun.testing import VecEnvContract


def make(
    env_id: str,
    num_envs: int = 1,
    *,
    max_episode_steps: int | None = None,
    imports: tuple[str, ...] = (),
    fresh_instances: bool = False,
    **options: bool | int | float | str,
) -> GymnasiumEnv:
    return gymnasium_env(
        env_id,
        num_envs,
        max_episode_steps=max_episode_steps,
        imports=list(imports),
        options=dict(options),
        fresh_instances=fresh_instances,
    )


class Counting(gymnasium.Env[Any, Any]):
    """obs = (start + steps, start), float64; reward 2 * steps + action; action 5 ends it (of 3 to 5)."""

    observation_space = spaces.Box(0, 100, (2,), np.float64)
    action_space = spaces.Discrete(3, start=3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.start = int(self.np_random.integers(50))
        self.steps = 0
        return self.obs(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert action in (3, 4, 5)
        self.steps += 1
        return self.obs(), 2.0 * self.steps + action, action == 5, False, {}

    def obs(self) -> np.ndarray:
        return np.array([self.start + self.steps, self.start], np.float64)


class Worn(Counting):
    """An instance's episodes depend on how many it has played, as caches can make them."""

    episodes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.episodes += 1
        self.start = (self.start + self.episodes) % 50
        return self.obs(), {}


class Unseeded(Counting):
    """Every instance is different, whatever the seed."""

    instances = count()

    def __init__(self) -> None:
        self.instance = next(self.instances)

    def obs(self) -> np.ndarray:
        return np.array([self.steps, self.instance % 50], np.float64)


class Indexed(Counting):
    """obs = 5 + steps, one of 5 to 24."""

    observation_space = spaces.Discrete(20, start=5)  # type: ignore[assignment]

    def obs(self) -> Any:
        return np.int64(5 + self.steps)


class Outside(Indexed):
    """Indices of which some are not in the space: the second one is too large, or the first too small."""

    first: float = 24

    def obs(self) -> Any:
        return self.first + self.steps


class Below(Outside):
    """Its first index is -1, counted from 0."""

    first = 4


class Fraction(Outside):
    """What it shows lies between two indices."""

    first = 5.5


class Pair(Outside):
    """What it shows is no index at all."""

    def obs(self) -> Any:
        return 5, 6


OWN = {
    "Counting": Counting,
    "Worn": Worn,
    "Unseeded": Unseeded,
    "Indexed": Indexed,
    "Outside": Outside,
    "Below": Below,
    "Fraction": Fraction,
    "Pair": Pair,
}


def creator(made: Callable[[], gymnasium.Env[Any, Any]]) -> Callable[..., gymnasium.Env[Any, Any]]:
    return lambda **options: made(**options)


@pytest.fixture(autouse=True, scope="module")
def own_environments() -> Iterator[None]:
    for name, entry_point in OWN.items():
        gymnasium.register(f"rlrun_test/{name}-v0", entry_point=creator(entry_point), max_episode_steps=6)
    gymnasium.register("rlrun_test/Unlimited-v0", entry_point=creator(Counting))
    yield
    for name in (*OWN, "Unlimited"):
        del gymnasium.registry[f"rlrun_test/{name}-v0"]


class TestAcrobotContract(VecEnvContract):
    num_steps = 60

    def make(self, num_envs: int) -> VecEnv:
        return make("Acrobot-v1", num_envs, max_episode_steps=25)


class TestFrozenLakeContract(VecEnvContract):
    num_steps = 100
    stochastic_start = False

    def make(self, num_envs: int) -> VecEnv:
        return make("FrozenLake-v1", num_envs)


class TestMountainCarContract(VecEnvContract):
    num_steps = 210

    def make(self, num_envs: int) -> VecEnv:
        return make("MountainCar-v0", num_envs)


class TestCountingContract(VecEnvContract):
    num_steps = 60

    def make(self, num_envs: int) -> VecEnv:
        return make("rlrun_test/Counting-v0", num_envs)


class TestWornContract(VecEnvContract):
    """Fresh instances make even this one a pure function of seed and actions."""

    num_steps = 60

    def make(self, num_envs: int) -> VecEnv:
        return make("rlrun_test/Worn-v0", num_envs, fresh_instances=True)


@pytest.mark.filterwarnings("ignore:builtin type")  # of Box2D's bindings; as an error it would end the process
@pytest.mark.skipif(importlib.util.find_spec("Box2D") is None, reason="needs rlrun[box2d]")
class TestLunarLanderWithWindContract(VecEnvContract):
    num_steps = 150

    def make(self, num_envs: int) -> VecEnv:
        return make("LunarLander-v3", num_envs, enable_wind=True)


def test_a_time_limit_keeps_the_future_and_shows_the_true_successor() -> None:
    env = make("rlrun_test/Counting-v0", num_envs=2)
    start = env.reset(0)[:, 1]
    keep_on, second_ends = np.array([1, 0]), np.array([1, 2])
    for time in range(1, 7):
        step = env.step(second_ends if time in (3, 6) else keep_on)
        assert step.next_obs[0].tolist() == [start[0] + time, start[0]]
        assert step.reward[0] == 2 * time + 4
        assert step.last.tolist() == [time == 6, time in (3, 6)]
        assert step.discount.tolist() == [1.0, 0.0 if time in (3, 6) else 1.0]
        if time == 3:
            assert step.next_obs[1].tolist() == [start[1] + 3, start[1]]
            assert step.reward[1] == 2 * 3 + 5
            assert step.obs[1, 0] == step.obs[1, 1] != step.next_obs[1, 1]
    assert step.obs[0, 0] == step.obs[0, 1] != start[0], "a new episode with a start of its own"


def test_terminating_at_the_time_limit_is_terminating() -> None:
    env = make("rlrun_test/Counting-v0", max_episode_steps=2)
    env.reset(0)
    env.step(np.array([0]))
    step = env.step(np.array([2]))
    assert step.last.tolist() == [True]
    assert step.discount.tolist() == [0.0]


@pytest.mark.parametrize("env_id", ["Acrobot-v1", "Taxi-v4", "CliffWalking-v1"])
def test_episodes_are_those_of_gymnasium_with_the_stream_seeds(env_id: str) -> None:
    rng = np.random.default_rng(0)
    env = make(env_id, num_envs=3, max_episode_steps=30)
    singles = [gymnasium.make(env_id, max_episode_steps=30) for _ in range(3)]
    episode = np.zeros(3, np.int64)

    def begin(slot: int) -> Any:
        return singles[slot].reset(seed=int(stream_seeds(4, np.array([slot]), episode[[slot]])[0]))[0]

    np.testing.assert_array_equal(env.reset(4), np.array([begin(slot) for slot in range(3)], env.spec.obs_space.dtype))
    for _ in range(100):
        action = rng.integers(env.spec.num_actions, size=3)
        step = env.step(action)
        for slot in range(3):
            obs, reward, terminated, truncated, _ = singles[slot].step(int(action[slot]))
            np.testing.assert_array_equal(step.next_obs[slot], np.asarray(obs, step.next_obs.dtype))
            assert (step.reward[slot], step.discount[slot]) == (np.float32(reward), 0.0 if terminated else 1.0)
            if terminated or truncated:
                episode[slot] += 1
                obs = begin(slot)
            np.testing.assert_array_equal(step.obs[slot], np.asarray(obs, step.obs.dtype))
    assert (episode >= 3).all()


def test_indices_and_actions_count_from_0() -> None:
    env = make("rlrun_test/Indexed-v0")
    assert env.spec.observation == spaces.Discrete(20)
    assert env.spec.action == spaces.Discrete(3)
    assert env.spec.obs_shape == ()
    obs = env.reset(0)
    assert obs.tolist() == [0]
    assert obs.dtype == np.int64
    step = env.step(np.array([1]))
    assert step.next_obs.tolist() == [1]
    assert step.reward.tolist() == [2.0 + 4.0]
    other = make("rlrun_test/Indexed-v0")
    other.load_state_dict(env.state_dict())
    assert other.restart(np.array([False])).tolist() == [1]


def test_double_observations_become_single_and_bytes_stay() -> None:
    assert make("rlrun_test/Counting-v0").spec.obs_space.dtype == np.float32
    atari = make("ALE/Freeway-v5")
    assert atari.spec.observation == spaces.Box(0, 255, (3, 210, 160), np.uint8)
    assert atari.reset(0).dtype == np.uint8
    atari.close()


def test_without_a_time_limit_episodes_may_never_end() -> None:
    assert not make("rlrun_test/Unlimited-v0").spec.episodic
    assert make("rlrun_test/Unlimited-v0", max_episode_steps=9).spec.episodic
    assert make("rlrun_test/Counting-v0").spec.episodic


def test_options_reach_the_environment() -> None:
    slippery, dry = make("FrozenLake-v1", 8), make("FrozenLake-v1", 8, is_slippery=False)
    down = np.full(8, 1)
    slippery.reset(0)
    dry.reset(0)
    assert dry.step(down).next_obs.tolist() == [4] * 8
    assert slippery.step(down).next_obs.tolist() != [4] * 8


def test_options_are_what_the_constructor_or_its_defaults_say() -> None:
    def lunar(env_id: str, gravity: float, continuous: bool = False) -> None:
        """Annotations that are text, as with `from __future__ import annotations`."""

    lunar.__annotations__ = {"env_id": "NotImported", "gravity": "float", "continuous": "bool"}
    taken = checked_options({"gravity": -3, "continuous": True, "env_id": 1}, lunar, "Lunar-v0")
    assert taken == {"gravity": -3, "continuous": True, "env_id": 1}
    with pytest.raises(UserError, match=r"continuous='on' .*env\.id=Lunar-v0.*true or false"):
        checked_options({"continuous": "on"}, lunar, "Lunar-v0")

    def counting(steps: int, scale=0, name: str | None = None, wall=(1, 2)) -> None:  # type: ignore[no-untyped-def]
        """Annotations beside defaults that say it."""

    taken = checked_options({"steps": 1e6, "scale": 0.5, "name": "x", "wall": [3, "any"]}, counting, "C-v0")
    assert taken == {"steps": 1_000_000, "scale": 0.5, "name": "x", "wall": (3, "any")}
    assert type(taken["steps"]) is int
    for wrong in ({"steps": 1.5}, {"steps": True}, {"scale": "0"}, {"name": 3}, {"wall": "any"}):
        with pytest.raises(UserError, match=rf"\b{next(iter(wrong))}="):
            checked_options(wrong, counting, "C-v0")


@pytest.mark.parametrize("env_id", ["rlrun_test/Wide-v0", "rlrun_test/Wide", "gymnasium:rlrun_test/Wide-v0"])
@pytest.mark.filterwarnings("ignore:.*Using the latest versioned environment")
def test_a_whole_number_is_an_integer_whatever_the_id_looks_like(env_id: str) -> None:
    made: list[Any] = []

    def wide(size: int) -> gymnasium.Env[Any, Any]:
        made.append(size)
        return Counting()

    gymnasium.register("rlrun_test/Wide-v0", wide, max_episode_steps=6)  # type: ignore[arg-type] # it is not open
    try:
        make(env_id, 2, size=3.0)
        assert {type(size) for size in made[1 if env_id != "rlrun_test/Wide-v0" else 0 :]} == {int}
    finally:
        del gymnasium.registry["rlrun_test/Wide-v0"]


def test_randomness_that_no_seed_controls_is_refused_when_a_checkpoint_is_asked_for() -> None:
    env = make("rlrun_test/Unseeded-v0")
    assert not env.spec.resumable
    assert make("CartPole-v1").spec.resumable
    env.reset(0)
    env.step(np.array([0]))
    with pytest.raises(UserError, match="rlrun_test/Unseeded-v0"):
        env.state_dict()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env_id": "Acrobat-v1"}, "env.id=Acrobat-v1.*Acrobot-v1"),
        ({"env_id": "MountainCar-v7"}, "env.id=MountainCar-v7.*MountainCar-v0"),
        ({"env_id": "no good"}, "env.id=no good"),
        ({"env_id": "Pendulum-v1"}, "Discrete"),
        ({"env_id": "CartPole-v1", "imports": ("rlrun_nowhere",)}, "env.imports.*rlrun_nowhere"),
        (
            {"env_id": "FrozenLake-v1", "slippery": True},
            "env.id=FrozenLake-v1.* slippery.*env.options.is_slippery",
        ),
        ({"env_id": "FrozenLake-v1", "map_name": "9x9"}, "env.options.*env.id=FrozenLake-v1.*9x9"),
        ({"env_id": "FrozenLake-v1", "map_name": 4}, "env.options.map_name=4"),
        ({"env_id": "FrozenLake-v1", "is_slippery": "no"}, "env.options.is_slippery='no'.*true or false"),
        ({"env_id": "FrozenLake-v1", "is_slippery": 0}, "env.options.is_slippery=0 .*true or false"),
        (
            {"env_id": "gymnasium:FrozenLake-v1", "is_slippery": "off"},
            "env.options.is_slippery='off'.*true or false",
        ),
        *(
            ({"env_id": env_id, "render_mode": "human"}, "env.options.render_mode")
            for env_id in ("FrozenLake-v1", "gymnasium:FrozenLake-v1", "rlrun_test/Counting-v0")
        ),
        ({"env_id": "FrozenLake-v1", "success_rate": 2}, "probability 2"),
        ({"env_id": "FrozenLake-v1", "success_rate": math.nan}, "success_rate=nan .*number"),
        ({"env_id": "MountainCar-v0", "goal_velocity": "0.1"}, "goal_velocity='0.1' .*number"),
        ({"env_id": "rlrun_test/Counting-v0", "fast": "Yes"}, "env.options.fast='Yes'"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        make(**arguments)
    assert "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore:.*Taxi-v3 is out of date")
def test_an_outdated_id_is_refused_with_the_new_one() -> None:
    with pytest.raises(UserError, match=r"Taxi-v3.*Taxi-v4"):
        make("Taxi-v3")


@pytest.mark.skipif(importlib.util.find_spec("mujoco") is not None, reason="MuJoCo is installed")
def test_a_missing_extra_is_named() -> None:
    with pytest.raises(UserError, match=r'pip install "gymnasium\[mujoco\]"'):
        make("Ant-v5")


def test_an_index_that_is_not_in_the_space_is_refused() -> None:
    with pytest.raises(UserError, match=r"step.* 25\b.*20 .* 5\b"):
        make("rlrun_test/Outside-v0")


@pytest.mark.parametrize(("name", "shown"), [("Below", "4"), ("Fraction", r"5\.5"), ("Pair", "a tuple of 2")])
def test_what_is_no_index_of_the_space_is_refused_at_the_start(name: str, shown: str) -> None:
    with pytest.raises(UserError, match=rf"{name}-v0: reset.* {shown}\b"):
        make(f"rlrun_test/{name}-v0").reset(0)
