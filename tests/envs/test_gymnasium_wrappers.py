"""`env.wrappers`: checked like constructors, put around in order, and no model where they may change it."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import wrapped_work
from gymnasium import spaces
from gymnasium.envs.toy_text import FrozenLakeEnv
from gymnasium_env import gymnasium_env

from rlrun.build import instantiate
from rlrun.cli.main import run_command
from rlrun.config.schema import Component, check_component, check_value
from rlrun.envs.gymnasium import GymnasiumEnv
from rlrun.errors import UserError, WrongKeyError
from rlrun.protocols import VecEnv
from rlrun.runs.manifest import experiment_hash
from rlrun.testing import VecEnvContract

LINE = "wrapped_work/Line-v0"
QUICK = ["algo=random", "env=gym", f"env.id={LINE}", "env.imports=[wrapped_work]", "total_steps=40", "logger=none"]
QUICK += ["evaluation.every_steps=null", "evaluation.episodes=2", "device=cpu"]


def component(*wrappers: Any, env_id: str = LINE) -> Component:
    given = {"_target_": "rlrun.envs.gymnasium.GymnasiumEnv", "id": env_id, "num_envs": 1, "max_episode_steps": None}
    given |= {"imports": [], "options": None, "wrappers": list(wrappers), "channels": "auto"}
    return check_component(given | {"fresh_instances": False, "replay_probe_seconds": 60.0}, "env")


def made(*wrappers: Any, env_id: str = LINE, num_envs: int = 1) -> GymnasiumEnv:
    env: GymnasiumEnv = instantiate(component(*wrappers, env_id=env_id), {}, num_envs=num_envs)
    return env


class TestWrappedContract(VecEnvContract):
    num_steps = 60
    stochastic_start = False

    def make(self, num_envs: int) -> VecEnv:
        return made("wrapped_work.Plus", "wrapped_work.Twice", num_envs=num_envs)


def test_wrappers_are_put_around_in_order() -> None:
    plus, times = {"_target_": "wrapped_work.Plus", "amount": 3}, {"_target_": "wrapped_work.Times", "factor": 2}
    assert made(plus, times).reset(0).tolist() == [[(0 + 3) * 2]]
    assert made(times, plus).reset(0).tolist() == [[0 * 2 + 3]]
    env = made(plus, times)
    env.reset(0)
    assert env.step(np.array([1])).next_obs.tolist() == [[(1 + 3) * 2]]


def test_a_name_alone_is_the_class_with_its_defaults_and_the_experiment_is_the_same() -> None:
    name, mapping = component("wrapped_work.Plus"), component({"_target_": "wrapped_work.Plus", "amount": 1})
    assert name.as_plain() == mapping.as_plain()
    assert name.as_plain()["wrappers"] == [
        {"_target_": "wrapped_work.Plus", "amount": 1.0, "sizes": [1, 2], "note": None}
    ]
    different = [
        name,
        component(),
        component("wrapped_work.Twice"),
        component("wrapped_work.Twice", "wrapped_work.Plus"),
    ]
    assert experiment_hash(name.experiment()) == experiment_hash(mapping.experiment())
    assert len({experiment_hash(each.experiment()) for each in different}) == len(different)
    # What a run's config.yaml says is checked and built again: a tuple that went through YAML is a tuple.
    again = check_component(json.loads(json.dumps(name.as_plain())), "env")
    assert instantiate(again, {}).reset(0).tolist() == [[1.0]]


def test_functions_and_gymnasiums_own_are_wrappers_too() -> None:
    assert made("wrapped_work.hundred_more").reset(0).tolist() == [[100.0]]
    assert made({"_target_": "wrapped_work.hundred_more", "times": 2}).reset(0).tolist() == [[200.0]]
    aware = made("gymnasium.wrappers.TimeAwareObservation", "gymnasium.wrappers.FlattenObservation")
    aware.reset(0)
    assert aware.step(np.array([1])).next_obs.tolist() == [[1.0, 1.0]]
    reshaped = made({"_target_": "gymnasium.wrappers.ReshapeObservation", "shape": [1, 1]})
    assert reshaped.spec.obs_shape == (1, 1)


def test_objects_may_be_given_in_python() -> None:
    env = gymnasium_env(LINE, wrappers=[partial(wrapped_work.Times, factor=4), wrapped_work.Plus])
    env.reset(0)
    assert env.step(np.array([1])).next_obs.tolist() == [[5.0]]


def test_the_time_limit_counts_inside_the_wrappers() -> None:
    env = made("wrapped_work.Twice")
    env.reset(0)
    for time in range(1, 11):  # the limit is 20 steps of Line; 1 action left, 1 right never ends it
        step = env.step(np.array([0]))
        assert (step.last[0], step.discount[0], step.reward[0]) == (time == 10, 1.0, 2.0)
    assert env.spec.episodic


def test_a_model_is_not_that_of_a_wrapped_environment() -> None:
    def spec_of(*wrappers: Any) -> Any:
        return made(*wrappers, env_id="FrozenLake-v1").spec

    assert spec_of().model is not None
    limited = spec_of({"_target_": "gymnasium.wrappers.TimeLimit", "max_episode_steps": 7})
    assert limited.model is not None, "a time limit changes no transition"
    for changing in ("wrapped_work.Twice", {"_target_": "gymnasium.wrappers.ClipReward", "max_reward": 0.5}):
        wrapped = spec_of(changing)
        assert wrapped.model is None
        assert wrapped.observation == spaces.Discrete(16)


def test_wrappers_that_an_environment_registers_itself_hide_its_model_too() -> None:
    def doubled(**options: Any) -> gymnasium.Env[Any, Any]:
        return wrapped_work.Twice(FrozenLakeEnv(**options))

    gymnasium.register("rlrun_test/DoubledLake-v0", doubled, max_episode_steps=9)
    try:
        assert made(env_id="rlrun_test/DoubledLake-v0").spec.model is None
    finally:
        del gymnasium.registry["rlrun_test/DoubledLake-v0"]


LAZY = """
def __getattr__(name):
    if name == "Late":
        import rlrun_no_such_package
    if name == "Broken":
        raise RuntimeError("no licence")
    raise AttributeError(name)
"""


@pytest.mark.parametrize(
    ("wrappers", "message"),
    [
        ("[wrapped_work.Twise]", r"env\.wrappers\[0\]\._target_=wrapped_work\.Twise does not exist"),
        ("[nowhere.X]", r"env\.wrappers\[0\]\._target_=nowhere\.X does not exist"),
        ("[wrapped_work.Twice, wrapped_work.NoWrapper]", r"env\.wrappers\[1\].*must be the name of a Wrapper"),
        ("[gymnasium.envs.classic_control.CartPoleEnv]", r"env\.wrappers\[0\].*must be the name of a Wrapper"),
        ("[wrapped_work.open_ended]", r"open_ended cannot be checked: it takes the open argument anything"),
        ("[3]", r"env\.wrappers\[0\]=3 is not valid: it must be the name of a Wrapper"),
        ("wrapped_work.Twice", r"env\.wrappers=wrapped_work\.Twice is not valid: it must be a list"),
        (
            "[{_target_: wrapped_work.Plus, amout: 2}]",
            r"unknown key env\.wrappers\[0\]\.amout; nearest: env\.wrappers\[0\]\.amount",
        ),
        ("[{_target_: wrapped_work.Plus, amount: much}]", r"env\.wrappers\[0\]\.amount=much is not valid.*a number"),
        ("[{_target_: wrapped_work.Plus, env: 2}]", r"unknown key env\.wrappers\[0\]\.env"),
        ("[wrapped_work.Times]", r"env\.wrappers\[0\]\.factor is missing: an integer"),
        (
            "[{_target_: wrapped_work.Plus, amount: -1}]",
            r"env\.wrappers\[0\]=wrapped_work\.Plus does not fit env\.id=wrapped_work/Line-v0, which shows Box of "
            r"shape \[1\] \(float32\): it raises ValueError: amount must not be negative",
        ),
        ("[wrapped_work.Stumbles]", r"it raises ValueError: .*, at wrapped_work\.py, line \d+; HYDRA_FULL_ERROR=1"),
        ("[wrapped_work.leaves]", r"env\.wrappers\[0\]=wrapped_work\.leaves does not fit .*it raises SystemExit"),
        ("[lazy_work.Late]", r"_target_=lazy_work\.Late .*rlrun_no_such_package"),
        ("[lazy_work.Broken]", r"_target_=lazy_work\.Broken .*no licence"),
        ("[lazy_work.Nothing]", r"_target_=lazy_work\.Nothing does not exist"),
        ("[wrapped_work.three]", r"env\.wrappers\[0\]=wrapped_work\.three must make a gymnasium\.Wrapper.*int"),
    ],
)
def test_a_wrapper_that_does_not_fit_is_refused_in_one_line_and_leaves_nothing(
    wrappers: str,
    message: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "lazy_work.py").write_text(LAZY)
    monkeypatch.syspath_prepend(elsewhere)
    monkeypatch.chdir(tmp_path)
    assert run_command(["rlrun", *QUICK, f"env.wrappers={wrappers}"]) == 2
    said = capsys.readouterr().err
    (line,) = (line for line in said.splitlines() if line.startswith("rlrun: error: "))
    assert re.search(message, line), line
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_wrapped_run_trains_keeps_its_wrappers_and_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = [*QUICK, "env.wrappers=[{_target_: wrapped_work.Plus, amount: 2}, wrapped_work.Twice]"]
    assert run_command(["rlrun", *overrides]) == 0
    (config,) = tmp_path.glob("runs/*/random/*/seed0/config.yaml")
    assert "amount: 2.0" in config.read_text()
    capsys.readouterr()
    assert run_command(["rlrun", *overrides]) == 0
    assert "is finished" in capsys.readouterr().out
    assert run_command(["rlrun", "explain", "env.wrappers", *overrides]) == 0
    explained = capsys.readouterr().out
    for text in ("env.wrappers[0].amount\t2.0\ta number", "is added", "env.wrappers[1]\twrapped_work.Twice"):
        assert text in explained


def test_only_what_is_marked_partial_may_be_a_bare_name() -> None:
    with pytest.raises(WrongKeyError):
        check_value(list[VecEnv], ["wrapped_work.Twice"], "envs")
    with pytest.raises(UserError, match="Wrapper"):
        component("rlrun.envs.cartpole.CartPole")
