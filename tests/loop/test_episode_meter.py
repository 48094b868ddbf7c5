"""The meter counts episodes, and refuses what is not finite, of whatever environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rlrun.agents.random import Random
from rlrun.cli.main import run_command
from rlrun.errors import FaultyEnvironmentError
from rlrun.loop.collect import Collector
from rlrun.loop.evaluate import Evaluator
from rlrun.loop.meter import EpisodeMeter
from rlrun.testing.scripted_env import ScriptedEnv
from rlrun.types import Array, Int64Array, TimeStep, WholeEpisodes

CPU = torch.device("cpu")
EVERYWHERE = np.ones(3, bool)


def time_step(last: tuple[bool, ...] = (False, False, False)) -> TimeStep:
    obs = np.zeros((3, 2, 2), np.float32)
    return TimeStep(obs, np.ones(3, np.float32), np.ones(3, np.float32), np.array(last), obs.copy(), {})


def meter_after(steps: int) -> EpisodeMeter:
    meter = EpisodeMeter("theirs", 3)
    meter.begun(np.zeros((3, 2, 2), np.float32), EVERYWHERE)
    for _ in range(steps):
        meter.record(time_step(), EVERYWHERE)
    return meter


def test_episodes_are_counted_where_they_count() -> None:
    meter = meter_after(4)
    ended = meter.record(time_step(last=(True, False, True)), np.array([True, True, False]))
    assert [list(values) for values in ended] == [[5.0], [5], [0]]
    assert meter.running_length.tolist() == [0, 5, 0]
    assert meter.pop().returns.tolist() == [5.0]
    assert meter.pop().returns.tolist() == []


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("what", ["reward", "next_obs"])
def test_slot_and_step_are_named_where_it_is_not_finite(what: str, wrong: float) -> None:
    meter = meter_after(4)
    step = time_step()
    getattr(step, what)[1] = wrong
    name = {"reward": "reward", "next_obs": "observation"}[what]
    with pytest.raises(FaultyEnvironmentError, match=rf"^theirs: .*{name} .*{wrong:g} .*slot 1, step 5\b"):
        meter.record(step, EVERYWHERE)


def test_the_beginning_of_an_episode_is_named() -> None:
    meter = meter_after(4)
    step = time_step(last=(False, False, True))
    step.obs[2, 1, 0] = np.nan
    with pytest.raises(FaultyEnvironmentError, match=r"observation .*nan .*slot 2, .*beginning"):
        meter.record(step, EVERYWHERE)
    with pytest.raises(FaultyEnvironmentError, match=r"observation .*nan .*slot 2, .*beginning"):
        meter.begun(step.obs, EVERYWHERE)


class Broken(ScriptedEnv):
    """Pays NaN in the second step of slot 1."""

    def step(self, action: Int64Array) -> TimeStep:
        step = super().step(action)
        step.reward[step.reward == np.float32(111.0)] = np.nan
        return step


class BeginsBroken(ScriptedEnv):
    """Its first observations are infinite in slot 1."""

    def reset(self, seed: int, first_slot: int = 0) -> Array:
        obs = super().reset(seed, first_slot)
        obs[1, 0] = np.inf
        return obs


@pytest.mark.parametrize(("kind", "where"), [(Broken, "slot 1, step 2"), (BeginsBroken, "slot 1, .*beginning")])
def test_neither_training_nor_evaluation_goes_on(kind: type[ScriptedEnv], where: str) -> None:
    env = kind(2)
    agent = Random(rollout_steps=1, spec=env.spec)
    agent.act = lambda obs, carry, rng, *, explore: Random.act(agent, obs, carry, rng, explore=explore)._replace(  # type: ignore[method-assign]
        action=torch.zeros(2, dtype=torch.int64)
    )
    with pytest.raises(FaultyEnvironmentError, match=where):
        Collector(env, WholeEpisodes(1), CPU, 0).collect(agent)
    with pytest.raises(FaultyEnvironmentError, match=where):
        Evaluator(env, episodes=2, seed=0, device=CPU).evaluate(agent, 0)


MINE = """
import numpy as np
from rlrun.envs.cartpole import CartPole

class Poisoned(CartPole):
    stepped = 0

    def step(self, action):
        self.stepped += 1
        step = super().step(action)
        step.next_obs[-1, 2] = np.nan if self.stepped > 300 else step.next_obs[-1, 2]
        return step
"""


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "poisoned.py").write_text(MINE)
    (tmp_path / "conf" / "env").mkdir(parents=True)
    text = "defaults:\n  - cartpole\n  - _self_\n_target_: poisoned.Poisoned\n"
    (tmp_path / "conf" / "env" / "poisoned.yaml").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "poisoned", raising=False)
    return tmp_path / "conf"


def test_nothing_blames_the_learning_rate(conf: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["algo=actor_critic", "env=poisoned", "env.num_envs=2", "total_steps=2000", "log_every_steps=100"]
    words += ["device=cpu", "logger=none", "evaluation.every_steps=null", f"runs_dir={tmp_path / 'runs'}"]
    assert run_command(["rlrun", "--config-dir", str(conf), *words]) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "its observation is nan (slot 1, step " in said
    assert "learning rate" not in said
    (directory,) = (tmp_path / "runs").rglob("seed0")
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert 500 <= rows[-1]["step"] <= 600
    assert all(np.isfinite(value) for row in rows for value in row.values())
    assert not (directory / "result.json").exists()


def test_check_names_it_once(conf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["algo=random", "env=poisoned", "env.num_envs=2", "--steps", "400"]
    assert run_command(["rlrun", "check", "--config-dir", str(conf), *words]) == 2
    said = capfd.readouterr()
    assert said.err.count("\n") == 1
    assert "its observation is nan (slot 2, step " in said.err
    assert "FAILED" not in said.out
