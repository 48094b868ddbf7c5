"""Without discount: what never settles is refused, and what settles late is waited for."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every_policy import every_policy, long_run
from gymnasium import spaces
from planners import NOTHING, planner, refusal_of, solve

from rlrun.agents.planning.convergence import NoLimitError
from rlrun.envs.gridworld import GridWorld
from rlrun.envs.mdp_file import MdpEnv
from rlrun.types import EnvSpec, TabularModel

ALGOS = ("value_iteration", "q_iteration", "modified_policy_iteration")
DEAR_EXIT = """
states: [s, end]
actions: [wait, go]
start: s
transitions:
  - [s, wait, s, 1, -0.1]
  - [s, go, end, 1, -100]
"""
THERE_AND_BACK = """
states: [a, b, c]
actions: [move]
start: a
transitions:
  - [a, move, b, 1, 1]
  - [b, move, a, 1, -1]
  - [c, move, b, 1, 5]
"""
LOSING = """
states: [a, b, c, end]
actions: [stay, move]
start: a
transitions:
  - [a, stay, a, 1, -1]
  - [a, move, b, 1, -2]
  - [b, move, a, 1, 1/2]
  - [c, stay, c, 1, 0]
  - [c, move, end, 1, -50]
"""
IN_TURNS = """
states: [a, b, end]
actions: [on, out]
start: a
transitions:
  - [a, on, b, 1, 3]
  - [b, on, a, 1, -2]
  - [b, out, end, 1, 0]
"""


def spec_of(text: str, folder: Path) -> EnvSpec:
    file = folder / "mine.yaml"
    file.write_text(text)
    return MdpEnv(mdp=str(file), observation="index", max_episode_steps=10, num_envs=1).spec


@pytest.mark.parametrize("algo", [*ALGOS, "policy_iteration"])
def test_a_dear_exit_is_waited_for(tmp_path: Path, algo: str) -> None:
    agent = planner(algo, spec_of(DEAR_EXIT, tmp_path))
    sweeps = solve(agent)
    np.testing.assert_allclose(agent.tables().values, [-100.0, 0.0], atol=1e-9)
    if algo == "value_iteration":
        assert sweeps in {1_000, 1_001}  # 0.1 less in every sweep until the exit is as good; rounding has the last


@pytest.mark.parametrize("algo", [*ALGOS, "policy_iteration"])
def test_a_grid_with_nothing_but_a_dear_exit_is_waited_for(tmp_path: Path, algo: str) -> None:
    (tmp_path / "dear.txt").write_text("step_reward: -0.01\n- : exit -10\n\nS.-\n")
    env = GridWorld(
        map=str(tmp_path / "dear.txt"),
        observation="index",
        slip=None,
        step_reward=None,
        goal="map",
        max_episode_steps=9,
        num_envs=1,
    )
    agent = planner(algo, env.spec)
    solve(agent)
    np.testing.assert_allclose(agent.tables().values[:3], [-10.02, -10.01, -10.0], atol=1e-9)


@pytest.mark.parametrize("algo", [*ALGOS, "policy_iteration"])
def test_earning_for_ever_is_refused(algo: str) -> None:
    spec = MdpEnv(mdp="racing_car", observation="index", max_episode_steps=10, num_envs=1).spec
    with pytest.raises(NoLimitError) as refused:
        solve(planner(algo, spec))
    assert (refused.value.because, marked(refused.value)) == ("grow", [0, 1])


@pytest.mark.parametrize("algo", [*ALGOS, "policy_iteration"])
def test_earning_by_going_round_is_refused(tmp_path: Path, algo: str) -> None:
    """In turns a value rises by 3 and falls by 2."""
    agent = planner(algo, spec_of(IN_TURNS, tmp_path))
    with pytest.raises(NoLimitError) as refused:
        solve(agent)
    assert refused.value.because == "grow"


@pytest.mark.parametrize("algo", [*ALGOS, "policy_evaluation"])
def test_paying_for_ever_is_refused(tmp_path: Path, algo: str) -> None:
    with pytest.raises(NoLimitError) as refused:
        solve(planner(algo, spec_of(LOSING, tmp_path)))
    assert (refused.value.because, marked(refused.value)) == ("fall", [0, 1])


@pytest.mark.parametrize("algo", ["value_iteration", "q_iteration", "policy_iteration", "policy_evaluation"])
def test_going_to_and_fro_is_refused(tmp_path: Path, algo: str) -> None:
    with pytest.raises(NoLimitError) as refused:
        solve(planner(algo, spec_of(THERE_AND_BACK, tmp_path)))
    assert refused.value.because == "repeat"


def marked(refused: NoLimitError) -> list[int]:
    assert refused.states is not None
    return refused.states.nonzero().flatten().tolist()


def random_model(rng: np.random.Generator, most: int) -> TabularModel:
    """Four states and an end, two actions, few outcomes, rewards from -1 to `most`."""
    num_states, num_actions = 5, 2
    rows = []
    for start, played in itertools.product(range(num_states - 1), range(num_actions)):
        count = int(rng.integers(1, 3))
        reached = rng.choice(num_states, count, replace=False)
        reward = float(rng.integers(-1, most + 1))
        rows += [(start, played, int(to), 1.0 / count, reward, float(to != num_states - 1)) for to in reached]
    state, action, successor = (np.array([row[i] for row in rows], np.int64) for i in range(3))
    probability, reward_of, discount = (np.array([row[i] for row in rows]) for i in range(3, 6))
    legal = np.ones((num_states, num_actions), bool)
    legal[-1] = False
    initial = np.eye(num_states)[0]
    return TabularModel(
        num_states, num_actions, state, action, successor, probability, reward_of, discount, initial, legal
    )


def test_refused_are_those_models_whose_best_policy_gains_or_loses_for_ever() -> None:
    rng = np.random.default_rng(0)
    ends = {"converged": 0, "grow": 0, "fall": 0, "repeat": 0, "cancel": 0}
    for most in [-1, 0, 1] * 60:
        model = random_model(rng, most)
        gain = long_run(model, every_policy(model.legal)).gain.max(axis=0)  # Puterman 1994, theorem 9.1.8
        refused = refusal_of(planner("value_iteration", _as_spec(model)))
        end = "converged" if refused is None else refused.because
        ends[end] += 1
        still = bool(np.abs(gain).max() < 1e-9)
        assert {"grow": gain.max() > 1e-9, "fall": gain.min() < -1e-9}.get(end, still)
    assert min(ends["converged"], ends["grow"], ends["fall"]) >= 5, ends


def _as_spec(model: TabularModel) -> EnvSpec:
    return EnvSpec("random", spaces.Discrete(model.num_states), spaces.Discrete(model.num_actions), 1, model=model)


@pytest.mark.parametrize("algo", ["value_iteration", "policy_evaluation", "modified_policy_iteration"])
def test_a_planner_that_resumed_refuses_in_the_same_sweep(tmp_path: Path, algo: str) -> None:
    spec = spec_of(LOSING, tmp_path)

    def sweeps_until_refused(agent: Any) -> int:
        for sweep in range(1, 2_000):
            try:
                agent.learn(NOTHING)
            except NoLimitError:
                return sweep
        raise AssertionError("not refused")

    whole = sweeps_until_refused(planner(algo, spec))
    assert whole > 130
    for pause in (50, 120):  # before and within a window
        first, second = planner(algo, spec), planner(algo, spec)
        for _ in range(pause):
            first.learn(NOTHING)
        second.load_state_dict(first.state_dict())
        assert pause + sweeps_until_refused(second) == whole
