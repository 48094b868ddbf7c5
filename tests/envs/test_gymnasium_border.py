"""What crosses the border to Gymnasium: one line where it cannot be used, and the right value where it can."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium_env import gymnasium_env

from rlrun.cli.main import run_command
from rlrun.envs.gymnasium import GymnasiumEnv
from rlrun.envs.gymnasium_observations import check_of
from rlrun.errors import FaultyEnvironmentError, UserError

ID = "RlrunFaulty-v0"
OBSERVATION = np.zeros(2, np.float32)


class Odd(gymnasium.Env[Any, Any]):
    """Every method returns, or raises, what a test puts there; from step `since` of its life on."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)
    begins: Any = (OBSERVATION, {})
    step_returns: Any = (OBSERVATION, 1.0, False, False, {})
    since = 0
    stepped = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        if isinstance(self.begins, Exception):
            raise self.begins
        return self.begins

    def step(self, action: int) -> Any:
        self.stepped += 1
        if self.stepped <= self.since:
            return OBSERVATION, 1.0, False, False, {}
        if isinstance(self.step_returns, Exception):
            raise self.step_returns
        return self.step_returns


class NoSeed(Odd):
    def reset(self) -> Any:  # type: ignore[override]
        return self.begins


@pytest.fixture(autouse=True)
def unregistered() -> Iterator[None]:
    yield
    gymnasium.registry.pop(ID, None)


def register(kind: type[gymnasium.Env[Any, Any]] = Odd, **attributes: Any) -> None:
    entry_point: Any = type(kind.__name__, (kind,), attributes)  # a class of its own, so that nothing is known of it
    gymnasium.register(ID, entry_point=entry_point, max_episode_steps=50)


def make(kind: type[Odd] = Odd, num_envs: int = 1, **attributes: Any) -> GymnasiumEnv:
    register(kind, **attributes)
    return gymnasium_env(ID, num_envs)


def stepped(**parts: Any) -> tuple[Any, ...]:
    """What a step returns, but for some parts."""
    right = {"obs": OBSERVATION, "reward": 1.0, "terminated": False, "truncated": False, "info": {}}
    return tuple((right | parts).values())


def shown(obs: Any, space: spaces.Space[Any] = Odd.observation_space) -> dict[str, Any]:
    return {"observation_space": space, "begins": (obs, {}), "step_returns": stepped(obs=obs)}


FLOATS, BYTES = Odd.observation_space, spaces.Box(0, 255, (2,), np.uint8)


@pytest.mark.parametrize(
    ("attributes", "overrides"),
    [
        ({"begins": OBSERVATION}, ["reset(", "an array of float32 of shape (2,)", "two values"]),
        ({"begins": (OBSERVATION, OBSERVATION)}, ["reset(", "a tuple of 2", "a dict"]),
        ({"begins": (OBSERVATION, {}, {})}, ["reset(", "a tuple of 3", "two values"]),
        ({"begins": (OBSERVATION, None)}, ["reset(", "a tuple of 2", "None", "a dict"]),
        ({"begins": None}, ["reset(", "None", "two values"]),
        ({"begins": RuntimeError("no licence\nat all")}, ["reset(seed=", "RuntimeError: no licence,", "border.py"]),
        ({"step_returns": stepped()[:4]}, ["step()", "of Odd", "a tuple of 4", "five values"]),
        ({"step_returns": None}, ["step()", "of Odd", "None", "five values"]),
        ({"step_returns": KeyError("speed")}, ["step(action=", "KeyError: 'speed'", "border.py, line"]),
        ({"step_returns": stepped(reward=None)}, ["step(", "reward None", "a single number"]),
        ({"step_returns": stepped(reward="1.0")}, ["step(", "reward '1.0'", "a single number"]),
        ({"step_returns": stepped(reward=np.ones(2))}, ["reward an array of float64 of shape (2,)"]),
        ({"step_returns": stepped(reward=1j)}, ["reward", "a single number"]),
        ({"step_returns": stepped(reward=b"1")}, ["reward", "a single number"]),
        ({"step_returns": stepped(reward=np.complex64(1))}, ["reward", "a single number"]),
        ({"step_returns": stepped(reward=float("nan"))}, ["reward nan", "slot 0, step 1 of the episode"]),
        ({"step_returns": stepped(reward=np.float32("inf"))}, ["the reward inf", "finite"]),
        ({"step_returns": stepped(reward=-1e39)}, ["the reward -1e+39", "finite in float32"]),
        ({"step_returns": stepped(terminated=None)}, ["None for terminated", "True or False"]),
        ({"step_returns": stepped(terminated="False")}, ["'False' for terminated"]),
        ({"step_returns": stepped(truncated=0.5)}, ["0.5 for truncated"]),
        ({"step_returns": stepped(truncated={})}, ["for truncated"]),
        (shown(np.zeros(3, np.float32)), ["reset(", "shape (3,)", "observation_space has (2,)"]),
        (shown(np.zeros((1, 2), np.float32)), ["shape (1, 2)"]),
        (shown(None), ["is None, not an array of numbers"]),
        (shown([[1.0], [1.0, 2.0]]), ["a list of 2"]),
        (shown(np.array(["a", "b"])), ["is an array of <U1 of shape (2,), not an array of numbers"]),
        (shown(np.array([0, np.nan], np.float32)), ["holds nan at index (1,)", "at the beginning of an episode"]),
        (shown([0.0, float("-inf")]), ["holds -inf at index (1,)"]),
        (shown(np.array([1e39, 0.0])), ["holds 1e+39 at index (0,)", "float32"]),
        (shown(np.array([0.5, 1.0]), BYTES), ["holds 0.5", "integers (uint8)"]),
        (shown(np.array([3, 256]), BYTES), ["256", "uint8", "255"]),
        (shown([-1, 0], BYTES), ["holds -1", "0 to 255"]),
        (shown(np.array([np.nan, 0]), BYTES), ["holds nan"]),
        (shown(4, spaces.Discrete(4)), ["is 4", "4 indices from 0"]),
        (shown(np.nan, spaces.Discrete(4)), ["is nan", "4 indices from 0"]),
        ({"observation_space": None}, ["no observation_space", "gymnasium.spaces"]),
        ({"action_space": 2}, ["builtins.int", "action_space"]),
    ],
)
def test_what_cannot_be_used_is_one_line_that_says_what_it_was(
    attributes: dict[str, Any], overrides: list[str]
) -> None:
    with pytest.raises(FaultyEnvironmentError) as refused:
        make(**attributes)
    line = str(refused.value)
    assert line.startswith(f"env.id={ID}: ")
    assert "\n" not in line
    assert [word for word in overrides if word not in line] == []


def test_a_reset_without_seed_is_named_even_within_wrappers() -> None:
    with pytest.raises(FaultyEnvironmentError, match=r"reset\(\) .*NoSeed .*seed"):
        make(NoSeed)


def test_what_it_raises_itself_stays_at_hand() -> None:
    raised = KeyError("speed")
    with pytest.raises(FaultyEnvironmentError) as refused:
        make(step_returns=raised)
    assert refused.value.__cause__ is raised


def test_a_missing_space_is_named() -> None:
    register(gymnasium.Env)
    with pytest.raises(UserError, match="observation_space"):
        gymnasium_env(ID, max_episode_steps=9)


def test_a_space_that_raises_is_a_fault() -> None:
    raised = NotImplementedError("not yet")
    with pytest.raises(FaultyEnvironmentError, match=r"action_space .*NotImplementedError: not yet"):
        make(action_space=property(raising(raised)))


def raising(error: BaseException) -> Any:
    def method(self: Odd) -> Any:
        raise error

    return method


def test_closing_neither_ends_a_run_nor_hides_why_it_ended(caplog: pytest.LogCaptureFixture) -> None:
    env = make(num_envs=2, close=raising(RuntimeError("no close")))
    env.reset(0)
    env.close()
    told = [message for message in caplog.messages if "close() raised RuntimeError: no close" in message]
    assert len(told) == 1


def test_closing_does_not_hide_what_is_wrong() -> None:
    with pytest.raises(FaultyEnvironmentError, match=r"reward None"):
        make(close=raising(RuntimeError("no close")), step_returns=stepped(reward=None))


def test_pictures_that_cannot_be_drawn_are_a_fault() -> None:
    def init(self: Odd, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    raised = KeyError("no screen")
    env = make(__init__=init, metadata={"render_modes": ["rgb_array"]}, render=raising(raised))
    env.begin_streams(np.array([3]))
    with pytest.raises(FaultyEnvironmentError, match=r"render\(\) .*KeyError: 'no screen'") as refused:
        env.render_rgb(ended=False)
    assert refused.value.__cause__ is raised


def stumbling(self: Odd, action: int) -> Any:
    return np.stack([np.zeros(2), np.zeros(3)])


def test_the_line_that_is_told_is_one_of_who_wrote_the_environment() -> None:
    with pytest.raises(FaultyEnvironmentError, match=rf"test_gymnasium_border\.py, line {LINE}\b"):
        make(step=stumbling)


LINE = stumbling.__code__.co_firstlineno + 1


class Scrambles(gymnasium.Wrapper[Any, Any, Any, Any]):
    def reset(self, **options: Any) -> Any:
        return self.env.reset(**options)[0]


def test_wrappers_are_named_beside_the_id() -> None:
    register()
    with pytest.raises(FaultyEnvironmentError) as refused:
        gymnasium_env(ID, wrappers=[Scrambles])
    assert str(refused.value).startswith(f"env.id={ID} with env.wrappers=[{__name__}.Scrambles]: reset(")


@pytest.mark.parametrize(("reward", "overrides"), [(10**400, "float32"), (Decimal("NaN"), "reward nan")])
def test_numbers_that_no_agent_can_be_paid_are_faults(reward: Any, overrides: str) -> None:
    with pytest.raises(FaultyEnvironmentError, match=overrides):
        make(step_returns=stepped(reward=reward))


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        (2, 2.0),
        (True, 1.0),
        (np.bool_(True), 1.0),
        (np.int32(-3), -3.0),
        (np.float32(0.1), np.float32(0.1)),
        (np.float64(0.1), np.float32(0.1)),
        (np.array(0.5), 0.5),
        (np.array([[0.5]]), 0.5),
        (np.array([7], np.uint8), 7.0),
        (-3.4028234663852886e38, -3.4028234663852886e38),
        (Fraction(1, 2), 0.5),
        (Decimal("-0.25"), -0.25),
        (10**30, float(np.float32(1e30))),
    ],
)
def test_rewards_of_any_kind_of_number_pass(reward: Any, expected: float) -> None:
    env = make(step_returns=stepped(reward=reward))
    env.reset(0)
    assert env.step(np.array([0])).reward.tolist() == [expected]


@pytest.mark.parametrize("ends", [True, np.bool_(True), 1, np.int64(1), np.array(True), np.array([True])])
def test_truth_values_of_any_kind_pass(ends: Any) -> None:
    env = make(step_returns=stepped(terminated=ends))
    env.reset(0)
    step = env.step(np.array([0]))
    assert (step.discount.tolist(), step.last.tolist()) == ([0.0], [True])


@pytest.mark.parametrize(
    ("obs", "space", "expected"),
    [
        (np.array([0.1, 1 / 3]), FLOATS, np.array([0.1, 1 / 3], np.float32)),  # float64 rounds
        ([1, 0.5], FLOATS, np.array([1, 0.5], np.float32)),
        ((True, 2), FLOATS, np.array([1, 2], np.float32)),
        (np.array([1000, -1000]), FLOATS, np.array([1000, -1000], np.float32)),  # outside of its bounds
        (np.array([3e38, -3e38]), FLOATS, np.array([3e38, -3e38], np.float32)),
        (np.array([0.5, 0.25], ">f4"), FLOATS, np.array([0.5, 0.25], np.float32)),
        (np.array([0, 255]), BYTES, np.array([0, 255], np.uint8)),
        ([7.0, 255.0], BYTES, np.array([7, 255], np.uint8)),
        (np.array([1, 2], np.int8), spaces.Box(-9, 9, (2,), np.int64), np.array([1, 2], np.float32)),
        (np.int8(3), spaces.Discrete(4), np.int64(3)),
        (np.array(3), spaces.Discrete(4), np.int64(3)),
    ],
)
def test_observations_that_fit_pass(obs: Any, space: spaces.Space[Any], expected: Any) -> None:
    env = make(**shown(obs, space))
    seen = env.reset(0)
    assert seen.dtype == expected.dtype
    assert seen[0].tobytes() == expected.tobytes()
    assert env.step(np.array([0])).next_obs[0].tobytes() == expected.tobytes()


PARTS = spaces.Dict({"where": spaces.Discrete(3), "bits": spaces.MultiBinary(2), "camera": BYTES})
PAIR = spaces.Tuple((spaces.Discrete(3, start=1), spaces.MultiDiscrete([2, 5], start=[0, 10])))


@pytest.mark.parametrize(
    ("space", "obs", "trouble"),
    [
        (PARTS, {"where": 2, "bits": np.array([0, 1], np.int8), "camera": np.zeros(2, np.uint8)}, None),
        (PARTS, {"where": 3, "bits": [0, 1], "camera": [0, 0]}, "['where'] is 3"),
        (PARTS, {"where": 0, "bits": [0, 2], "camera": [0, 0]}, "['bits'] holds 2"),
        (PARTS, {"where": 0, "bits": [0, 1], "camera": [0, 0.5]}, "['camera'] holds 0.5"),
        (PARTS, {"where": 0, "bits": [0, 1]}, "is a dict of where, bits"),
        (PARTS, (0, [0, 1], [0, 0]), "is a tuple of 3"),
        (PAIR, (3, np.array([1, 14])), None),
        (PAIR, (0, np.array([1, 14])), "[0] is 0"),
        (PAIR, (3, np.array([1, 15])), "[1] holds 15, but its observation_space (int64) ranges from 10 to 14"),
        (PAIR, (3,), "is a dict of 0"),
    ],
)
def test_parts_are_checked_each_by_its_space(space: spaces.Space[Any], obs: Any, trouble: str | None) -> None:
    found = check_of(space)(obs)
    assert found is None if trouble is None else found is not None and found.startswith(trouble)


OVERRIDES = ["env=gym", f"env.id={ID}", "device=cpu", "logger=none", "name=run", "log_every_steps=100"]


def run(tmp_path: Path, *overrides: str, **attributes: Any) -> int:
    register(**attributes)
    return run_command(["rlrun", *OVERRIDES, f"runs_dir={tmp_path / 'runs'}", *overrides])


@pytest.mark.parametrize("attributes", [{"begins": OBSERVATION}, {"step_returns": stepped(reward=None)}])
def test_a_fault_at_once_leaves_no_directory(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], attributes: dict[str, Any]
) -> None:
    assert run(tmp_path, "algo=random", "total_steps=100", **attributes) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"rlrun: error: env.id={ID}: ")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ({"reward": float("nan")}, "reward nan"),
        ({"obs": np.array([np.nan, 0], np.float32)}, "an observation that holds nan"),
        ({"truncated": None}, "None for truncated"),
    ],
)
@pytest.mark.parametrize("algo", ["random", "actor_critic"])
def test_a_fault_in_the_middle_of_training_ends_it_with_all_that_was_written_right(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], parts: dict[str, Any], word: str, algo: str
) -> None:
    overrides = [f"algo={algo}", "total_steps=2000", "evaluation.every_steps=null", "env.num_envs=2"]
    assert run(tmp_path, *overrides, since=377, step_returns=stepped(**parts)) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert word in said
    assert "slot 0, step 28 of the episode" in said  # 377 = 7 * 50 + 27
    assert "learning rate" not in said
    (directory,) = (tmp_path / "runs").rglob("seed0")
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] >= 600  # of the 754 before it, in turns of up to 100
    assert all(np.isfinite(value) for row in rows for value in row.values())
    assert not (directory / "result.json").exists()


BROKEN = """
import gymnasium

class Broken(gymnasium.Env):
    observation_space = action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return self.first(), {}

    def first(self):
        return self.map["start"]

gymnasium.register("Broken-v0", entry_point=Broken, max_episode_steps=9)
"""


def test_the_traceback_is_shown_to_who_asks_for_it(tmp_path: Path) -> None:
    """Who does not ask gets one line: `test_gymnasium_options.py`."""
    (tmp_path / "broken.py").write_text(BROKEN)
    overrides = ["algo=random", "env=gym", "env.id=Broken-v0", "env.imports=[broken]", "total_steps=9"]
    ended = subprocess.run(
        [sys.executable, "-m", "rlrun", *overrides],
        cwd=tmp_path,
        env=os.environ | {"HYDRA_FULL_ERROR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    line = ended.stderr.splitlines()[-1]
    assert line.startswith("rlrun: error: env.id=Broken-v0: reset(seed=1) ")
    assert "AttributeError" in line
    assert "broken.py, line 11" in line
    assert "Traceback" in ended.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["broken.py"]


def test_check_names_it_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    register(since=150, step_returns=stepped(reward="1"))
    assert run_command(["rlrun", "check", "algo=random", "env=gym", f"env.id={ID}", "--steps", "200"]) == 2
    said = capfd.readouterr()
    assert said.err.count("\n") == 1
    assert "the reward '1'" in said.err
    assert "FAILED" not in said.out
