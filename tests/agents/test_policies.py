"""Policies of other runs are found by the names of states and actions, and not by their numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlrun.agents.tables.policies import load_policy
from rlrun.envs.grid_map import parse_map, tabular_model
from rlrun.envs.mdp_file import MdpEnv, parse_mdp
from rlrun.errors import UserError
from rlrun.pictures.tables_file import Shown, save_tables
from rlrun.types import EnvSpec, Tables, TabularModel

CAR = """\
states: [cool, warm, overheated]
actions: [slow, fast]
transitions:
  - [cool, slow, cool, 1, 1]
  - [cool, fast, warm, 1, 2]
  - [warm, slow, cool, 1, 1]
  - [warm, fast, overheated, 1, -10]
"""


def car(text: str = CAR) -> TabularModel:
    return parse_mdp(text, "car").model


def grid(rows: str) -> TabularModel:
    return tabular_model(parse_map("T : terminal\n\n" + rows, "mine"))


def spec_of(model: TabularModel) -> EnvSpec:
    from gymnasium import spaces

    return EnvSpec("mine", spaces.Discrete(model.num_states), spaces.Discrete(model.num_actions), 1, model=model)


def saved(directory: Path, model: TabularModel, policy: Any) -> str:
    chosen = np.array(policy, float)
    save_tables(directory, Shown(Tables(np.zeros(len(chosen)), np.zeros_like(chosen), chosen), model))
    return str(directory)


def test_states_and_actions_in_another_order_are_found_by_name(tmp_path: Path) -> None:
    run = saved(tmp_path, car(), [[0.25, 0.75], [1, 0], [0, 0]])
    swapped = car(
        CAR.replace("[slow, fast]", "[fast, slow]").replace("[cool, warm, overheated]", "[warm, overheated, cool]")
    )
    policy = load_policy(run, "policy", spec_of(swapped), 3)
    np.testing.assert_array_equal(policy, [[0, 1], [0, 0], [0.75, 0.25]])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("slow", "slower", "policy=.*action slower .*slow"),
        ("cool", "cold", "policy=.*state cold .*cool"),
    ],
)
def test_names_that_the_run_does_not_know_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    run = saved(tmp_path, car(), [[1, 0], [1, 0], [0, 0]])
    with pytest.raises(UserError, match=message):
        load_policy(run, "policy", spec_of(car(CAR.replace(old, new))), 3)


EAST = [[0, 1, 0, 0]] * 5 + [[0] * 4]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("..\n..\n.T", "2 x 3 .* 3 x 2"),
        ("...\nT..", "ends: .* 1, .* 0"),
        (".#.\n..T", "walls: .* 0, .* 1"),
    ],
)
def test_another_map_of_as_many_cells_is_refused(tmp_path: Path, rows: str, message: str) -> None:
    run = saved(tmp_path, grid("...\n..T"), EAST)
    with pytest.raises(UserError, match=message):
        load_policy(run, "policy", spec_of(grid(rows)), 6)


def test_the_same_map_with_other_rewards_is_the_same_map(tmp_path: Path) -> None:
    run = saved(tmp_path, grid("...\n..T"), EAST)
    np.testing.assert_array_equal(load_policy(run, "policy", spec_of(grid("S..\n..T")), 6), EAST)


def test_cells_and_states_with_names_are_not_the_same(tmp_path: Path) -> None:
    named = car()
    run = saved(tmp_path, named, [[1, 0], [1, 0], [0, 0]])
    numbered = TabularModel(**{name: getattr(named, name) for name in named.__slots__} | {"state_names": ()})
    with pytest.raises(UserError, match="cool, warm, overheated"):
        load_policy(run, "policy", spec_of(numbered), 3)
    with pytest.raises(UserError, match="cool"):
        load_policy(saved(tmp_path, numbered, [[1, 0], [1, 0], [0, 0]]), "policy", spec_of(named), 3)
    lake = saved(tmp_path, grid("..T"), [[0, 1, 0, 0]] * 2 + [[0] * 4])
    fits = TabularModel(**{name: getattr(grid("..T"), name) for name in named.__slots__} | {"layout": None})
    with pytest.raises(UserError, match="grid"):
        load_policy(lake, "policy", spec_of(fits), 3)


def test_a_run_of_states_is_no_policy_for_what_they_look_like(tmp_path: Path) -> None:
    env = MdpEnv(mdp="short_corridor", observation="index", max_episode_steps=9, num_envs=1)
    two = car(CAR.split("  - [warm, slow")[0].replace(", overheated", ""))
    run = saved(tmp_path, two, [[1, 0], [0, 0]])
    with pytest.raises(UserError, match="short_corridor"):
        load_policy(run, "policy", env.spec, 2)


def test_actions_have_names_where_states_look_alike(tmp_path: Path) -> None:
    env = MdpEnv(mdp="short_corridor", observation="index", max_episode_steps=9, num_envs=1)
    (tmp_path / "right.yaml").write_text("0: right\n")
    policy = load_policy(str(tmp_path / "right.yaml"), "policy", env.spec, 2)
    assert env.spec.model is not None
    np.testing.assert_array_equal(policy[0], [name == "right" for name in env.spec.model.action_names])
