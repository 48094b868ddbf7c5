"""Actions that are illegal somewhere: who knows draws legal ones, and who does not is refused before anything runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rlrun.agents.legality import forbids_actions, legal_actions
from rlrun.agents.random import Random
from rlrun.build import build
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.envs.mdp_file import MdpEnv
from rlrun.envs.tabular import TabularEnv
from rlrun.errors import UserError
from rlrun.loop.collect import Collector
from rlrun.types import TabularModel

CPU = torch.device("cpu")
# Three doors in the hall, two in the cellar, which looks like the attic: there the same two are open.
HOUSE = """\
states: [hall, cellar, attic, out]
actions: [left, middle, right]
start: hall
LOOKS
transitions:
  - [hall, left, cellar, 1, 0]
  - [hall, middle, hall, 1, -1]
  - [hall, right, attic, 1, 0]
  - [cellar, left, hall, 1, 0]
  - [cellar, right, out, 1, 5]
  - [attic, left, out, 1, 5]
  - [attic, right, hall, 1, 0]
"""
TABLES = ("q_learning", "sarsa", "td", "linear_q", "linear_v", "random")
NETWORKS = ("reinforce", "actor_critic", "dqn")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    file = tmp_path / "house.yaml"
    file.write_text(HOUSE.replace("LOOKS", ""))
    return file


@pytest.fixture
def dim_house(tmp_path: Path) -> Path:
    file = tmp_path / "dim.yaml"
    file.write_text(HOUSE.replace("LOOKS", "looks: {cellar: dark, attic: dark}"))
    return file


def played(house: Path, num_envs: int = 1) -> MdpEnv:
    return MdpEnv(mdp=str(house), observation="index", max_episode_steps=20, num_envs=num_envs)


def words(algo: str, env: Path | str, tmp_path: Path) -> list[str]:
    where = [f"env={env}"] if isinstance(env, str) else ["env=mdp", f"env.mdp={env}"]
    return [f"algo={algo}", *where, f"runs_dir={tmp_path / 'runs'}", "logger=none", "device=cpu", "env.num_envs=4"]


@pytest.mark.parametrize("algo", TABLES)
@pytest.mark.parametrize("which", ["house", "dim_house"])
def test_who_knows_what_is_legal_plays_without_an_error(
    algo: str, which: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file: Path = request.getfixturevalue(which)
    made = build(load_config(words(algo, file, tmp_path), [config_directory()]))
    for _ in range(30):  # an illegal action would end in the environment's ValueError
        made.run.agent.learn(made.run.collector.collect(made.run.agent))
    made.close()


@pytest.mark.parametrize("algo", NETWORKS)
def test_networks_are_refused_where_some_actions_are_illegal(algo: str, house: Path, tmp_path: Path) -> None:
    for env in (house, "gridworld"):
        changed = ["env.map=karpathy_10x10"] if env == "gridworld" else []
        config = load_config([*words(algo, env, tmp_path), *changed], [config_directory()])
        with pytest.raises(UserError, match=r"(house|gridworld).*q_learning, sarsa or linear_q"):
            build(config)


@pytest.mark.parametrize("algo", ["random", "linear_q", "linear_v"])
def test_observations_that_do_not_say_what_is_legal_are_refused(algo: str, tmp_path: Path) -> None:
    changed = ["env.map=karpathy_10x10", "env.observation=one_hot"]
    changed += ["algo.features._target_=rlrun.agents.linear.features.Flat"] if algo.startswith("linear") else []
    config = load_config([*words(algo, "gridworld", tmp_path), *changed], [config_directory()])
    with pytest.raises(UserError, match=r"gridworld.*observation=index"):
        build(config)


def test_the_random_agent_draws_every_legal_action_equally_often(house: Path) -> None:
    env = played(house, 50)
    agent = Random(rollout_steps=400, spec=env.spec)
    rollout = Collector(env, agent.collection, CPU, seed=0).collect(agent)
    expected = np.array([[1 / 3] * 3, [1 / 2, 0, 1 / 2], [1 / 2, 0, 1 / 2]])
    for state in range(3):
        actions = rollout.action[rollout.obs == state].numpy()
        count = len(actions)
        share = np.bincount(actions, minlength=3) / count
        assert count > 1000
        np.testing.assert_array_equal(share[expected[state] == 0], 0)
        np.testing.assert_allclose(share, expected[state], atol=4 * (0.25 / count) ** 0.5)


def test_what_is_legal_goes_by_what_is_seen(house: Path, dim_house: Path) -> None:
    rows = [[True] * 3, [True, False, True], [True, False, True], [False] * 3]
    clear, dim = played(house).spec, played(dim_house).spec
    assert forbids_actions(clear)
    assert forbids_actions(dim)
    np.testing.assert_array_equal(legal_actions(clear), rows)
    np.testing.assert_array_equal(legal_actions(dim), [rows[0], rows[1], rows[3]])
    corridor = MdpEnv(mdp="short_corridor", observation="index", max_episode_steps=20, num_envs=1).spec
    assert not forbids_actions(corridor)
    np.testing.assert_array_equal(legal_actions(corridor), [[True, True], [False, False]])


def test_states_that_look_alike_with_other_legal_actions_tell_an_agent_nothing(house: Path) -> None:
    model = played(house).spec.model
    assert isinstance(model, TabularModel)
    env = TabularEnv(
        model=model, name="fog", looks=np.array([0, 0, 1, 2]), observation="index", max_episode_steps=9, num_envs=1
    )
    with pytest.raises(UserError, match="fog"):
        legal_actions(env.spec)
    with pytest.raises(UserError, match="fog"):
        Random(rollout_steps=1, spec=env.spec)
    assert legal_actions(replace(env.spec, model=None)) is None
