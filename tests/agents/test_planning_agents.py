"""Planners against values that are known exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from rlrun.agents.planning import sample_rows
from rlrun.agents.policy_evaluation import PolicyEvaluation
from rlrun.agents.policy_iteration import PolicyIteration
from rlrun.agents.q_iteration import QIteration
from rlrun.agents.value_iteration import ValueIteration
from rlrun.collect import empty_rollout
from rlrun.envs.cartpole import CartPole
from rlrun.envs.gridworld import GridWorld
from rlrun.envs.gymnasium import GymnasiumEnv
from rlrun.errors import UserError
from rlrun.protocols import Agent, Tabular, VecEnv
from rlrun.testing.agent import AgentContract
from rlrun.types import EnvSpec, Float64Array, TabularModel

CPU = torch.device("cpu")
NOTHING = empty_rollout(CPU)
KNOWN = yaml.safe_load((Path(__file__).parents[1] / "data" / "known_values.yaml").read_text())
GRID = {
    "map": "lecture",
    "observation": "index",
    "slip": None,
    "step_reward": None,
    "goal": "map",
    "max_episode_steps": None,
    "num_envs": 2,
}


def grid(**changes: Any) -> GridWorld:
    return GridWorld(**GRID | changes)


def toy_text(env_id: str) -> GymnasiumEnv:
    return GymnasiumEnv(id=env_id, num_envs=1, max_episode_steps=100, imports=[], options=None)


def planner(algo: str, spec: EnvSpec, gamma: float, tolerance: float = 1e-11) -> Any:
    numbers: dict[str, Any] = {"gamma": gamma, "tolerance": tolerance, "spec": spec, "device": CPU}
    if algo == "value_iteration":
        return ValueIteration(**numbers)
    if algo == "q_iteration":
        return QIteration(**numbers)
    if algo == "policy_iteration":
        return PolicyIteration(**numbers, initial_policy="uniform", evaluation_sweeps=None)
    return PolicyEvaluation(**numbers, policy="uniform")


def solve(agent: Agent, limit: int = 200_000) -> int:
    for sweep in range(1, limit):
        agent.learn(NOTHING)
        if agent.finished:
            return sweep
    raise AssertionError(f"not finished after {limit} sweeps")


def check_rows(values: Float64Array, rows: list[list[float | None]], shape: tuple[int, int], atol: float) -> int:
    compared = 0
    for row, expected in enumerate(rows):
        for column, number in enumerate(expected):
            if number is not None:
                found = values.reshape(shape)[row, column]
                assert found == pytest.approx(number, abs=atol), f"row {row}, column {column}"
                compared += 1
    return compared


@pytest.mark.parametrize("case", KNOWN, ids=[case["name"] for case in KNOWN])
def test_known_values(case: dict[str, Any]) -> None:
    env: VecEnv = grid(**case["map"]) if "map" in case else toy_text(case["gymnasium"])
    model = env.spec.model
    assert model is not None
    assert model.layout is not None
    shape = model.layout.shape
    algos = {"value_iteration": ["value_iteration", "q_iteration", "policy_iteration"]}
    for algo in algos.get(case["algo"], [case["algo"]]):
        agent = planner(algo, env.spec, case["gamma"])
        solve(agent)
        assert check_rows(agent.tables().values, case["values"], shape, case["atol"]) >= 1
    agent = planner(case["algo"], env.spec, case["gamma"])
    done = 0
    for sweeps, rows in case.get("after", {}).items():
        for _ in range(sweeps - done):
            agent.learn(NOTHING)
        done = sweeps
        check_rows(agent.tables().values, rows, shape, case["atol"])
    env.close()


def racing_car() -> TabularModel:
    rows = [  # state, action, next state, probability, reward, discount
        (0, 0, 0, 1.0, 1.0, 1.0),
        (0, 1, 0, 0.5, 2.0, 1.0),
        (0, 1, 1, 0.5, 2.0, 1.0),
        (1, 0, 0, 0.5, 1.0, 1.0),
        (1, 0, 1, 0.5, 1.0, 1.0),
        (1, 1, 2, 1.0, -10.0, 0.0),
    ]
    state, action, successor = (np.array([row[i] for row in rows], np.int64) for i in range(3))
    probability, reward, discount = (np.array([row[i] for row in rows]) for i in range(3, 6))
    legal = np.array([[True, True], [True, True], [False, False]])
    initial = np.array([1.0, 0.0, 0.0])
    return TabularModel(3, 2, state, action, successor, probability, reward, discount, initial, legal)


def racing_spec() -> EnvSpec:
    from gymnasium import spaces

    return EnvSpec("racing_car", spaces.Discrete(3), spaces.Discrete(2), 1, model=racing_car())


@pytest.mark.parametrize(
    ("gamma", "sweeps", "optimum", "cool", "warm"),
    [
        (0.5, [(2, 1, 0), (2.75, 1.75, 0), (3.125, 2.125, 0)], (3.5, 2.5, 0), (2.75, 3.5), (2.5, -10)),
        (0.8, [(2, 1, 0), (3.2, 2.2, 0), (4.16, 3.16, 0)], (8, 7, 0), (7.4, 8), (7, -10)),
        (0.9, [(2, 1, 0), (3.35, 2.35, 0), (4.565, 3.565, 0)], (15.5, 14.5, 0), (14.95, 15.5), (14.5, -10)),
    ],
)
def test_racing_car(gamma: float, sweeps: list[Any], optimum: Any, cool: Any, warm: Any) -> None:
    agent = planner("value_iteration", racing_spec(), gamma)
    for expected in sweeps:
        agent.learn(NOTHING)
        np.testing.assert_allclose(agent.tables().values, expected, atol=1e-12)
    solve(agent)
    tables = agent.tables()
    np.testing.assert_allclose(tables.values, optimum, atol=1e-9)
    np.testing.assert_allclose(tables.q[:2], [cool, warm], atol=1e-9)
    np.testing.assert_array_equal(tables.policy, [[0, 1], [1, 0], [0, 0]])


def test_racing_car_without_discount_begins_as_in_the_lecture_and_is_reported_as_endless() -> None:
    agent = planner("value_iteration", racing_spec(), 1.0)
    for expected in ((2, 1, 0), (3.5, 2.5, 0), (5, 4, 0)):
        agent.learn(NOTHING)
        np.testing.assert_allclose(agent.tables().values, expected, atol=1e-12)
    with pytest.raises(UserError, match=r"values still change by 1\.5 a sweep.*give algo\.gamma below 1"):
        solve(agent)


@pytest.mark.parametrize(("gamma", "always_slow"), [(0.5, 2.0), (0.8, 5.0), (0.9, 10.0)])
def test_policy_iteration_from_always_slow_takes_one_improvement(
    tmp_path: Path, gamma: float, always_slow: float
) -> None:
    file = tmp_path / "slow.yaml"
    file.write_text("0: 0\n1: 0\n")
    spec = racing_spec()
    slow = PolicyEvaluation(policy=str(file), gamma=gamma, tolerance=1e-12, spec=spec, device=CPU)
    solve(slow)
    np.testing.assert_allclose(slow.tables().values, [always_slow, always_slow, 0], atol=1e-9)
    agent = PolicyIteration(
        initial_policy=str(file), gamma=gamma, tolerance=1e-12, evaluation_sweeps=None, spec=spec, device=CPU
    )
    solve(agent)
    assert float(agent.learn(NOTHING)["plan/improvements"]) == 1.0
    np.testing.assert_array_equal(agent.tables().policy, [[0, 1], [1, 0], [0, 0]])


def test_modified_policy_iteration_ends_at_the_same_values() -> None:
    spec = grid(map="book").spec
    few = PolicyIteration(
        initial_policy="uniform", gamma=0.9, tolerance=1e-11, evaluation_sweeps=3, spec=spec, device=CPU
    )
    solve(few)
    best = planner("value_iteration", spec, 0.9)
    solve(best)
    np.testing.assert_allclose(few.tables().values, best.tables().values, atol=1e-8)


def test_an_improper_policy_without_discount_is_reported(tmp_path: Path) -> None:
    north = tmp_path / "north.yaml"
    north.write_text("".join(f"{state}: north\n" for state in range(1, 15)))
    agent = PolicyEvaluation(policy=str(north), gamma=1.0, tolerance=1e-8, spec=grid().spec, device=CPU)
    with pytest.raises(UserError, match="no finite limit"):
        solve(agent)


def test_a_tolerance_below_rounding_ends_at_rounding() -> None:
    agent = planner("policy_evaluation", grid(map="cliff").spec, 1.0, tolerance=0.0)  # values down to -65,375
    solve(agent)
    again = agent.tables().values.copy()
    agent.learn(NOTHING)
    np.testing.assert_allclose(agent.tables().values, again, rtol=1e-12)


def test_the_policy_is_known_to_settle_before_the_values() -> None:
    agent = planner("value_iteration", grid(map="book").spec, 0.9)
    changes = []
    while not agent.finished:
        changes.append(float(agent.learn(NOTHING)["plan/policy_changes"]))
    last_change = max(index for index, count in enumerate(changes) if count)
    assert last_change + 1 == agent._watch.last_change < len(changes)


def test_outcomes_in_any_order_and_number_give_the_same_backup() -> None:
    model = grid(map="book").spec.model
    assert model is not None
    order = np.random.default_rng(0).permutation(len(model.state))
    fields = ("state", "action", "next_state", "probability", "reward", "discount")
    shuffled = replace(model, **{name: getattr(model, name)[order] for name in fields})
    from rlrun.bellman import Bellman

    values = torch.from_numpy(np.random.default_rng(1).normal(size=model.num_states))
    plain = np.full((model.num_states, model.num_actions), -np.inf)
    plain[model.legal] = 0.0
    for s, a, n, p, r, d in zip(*(getattr(model, name) for name in fields), strict=True):
        plain[s, a] += p * (r + 0.7 * d * float(values[n]))
    for variant in (model, shuffled):
        np.testing.assert_allclose(Bellman(variant, CPU).q_values(values, 0.7).T.numpy(), plain, atol=1e-12)


def test_probabilities_that_do_not_sum_to_1_are_refused() -> None:
    model = racing_car()
    model.probability[1] = 0.4
    spec = EnvSpec("broken", racing_spec().observation, racing_spec().action, 1, model=model)
    with pytest.raises(UserError, match=r"outcomes of action 1 in state 0 have probability 0\.9 together, not 1"):
        planner("value_iteration", spec, 0.9)


def test_planning_without_a_model_or_states_is_refused_in_words() -> None:
    with pytest.raises(UserError, match=r"planning needs a model.*which cartpole does not have"):
        planner("value_iteration", CartPole(num_envs=1, max_episode_steps=500).spec, 0.9)
    with pytest.raises(UserError, match=r"set env\.observation=index"):
        planner("q_iteration", grid(observation="one_hot").spec, 0.9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("99: north\n", "there is no state 99; nearest: "),
        ("1: nroth\n", "there is no action nroth; nearest: north"),
        ("1: {north: 0.5, south: 0.4}\n", "the probabilities in state 1 sum to 0.9, not to 1"),
        ("1: {north: -1}\n", "the probability of north in 1 must be from 0 to 1, not -1"),
        ("- north\n", "must map states to actions"),
        ("1: [\n", "cannot be read"),
    ],
)
def test_wrong_policy_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "policy.yaml"
    whole = "".join(f"{state}: north\n" for state in range(2, 15))
    file.write_text(text if text.startswith(("-", "99")) or "[" in text else text + whole)
    with pytest.raises(UserError, match=message):
        PolicyEvaluation(policy=str(file), gamma=0.9, tolerance=1e-8, spec=grid().spec, device=CPU)


def test_a_policy_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"algo\.policy=nowhere is neither `uniform`, nor a run's directory"):
        PolicyEvaluation(policy="nowhere", gamma=0.9, tolerance=1e-8, spec=grid().spec, device=CPU)


def test_rows_are_sampled_with_their_probabilities() -> None:
    policy = torch.tensor([[0.0, 0.25, 0.75], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    draws = sample_rows(policy, torch.zeros(40_000, dtype=torch.int64), torch.Generator().manual_seed(0))
    share = torch.bincount(draws, minlength=3) / 40_000
    assert share[0] == 0.0
    assert float(share[1]) == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 40_000) ** 0.5)
    others = sample_rows(policy, torch.tensor([1, 2]), torch.Generator().manual_seed(0))
    assert others.tolist() == [0, 0]


class PlannerContract(AgentContract):
    algo: str

    def make_env(self) -> VecEnv:
        return grid(map="book", max_episode_steps=20)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        del seed
        agent: Agent = planner(self.algo, spec, 0.9)
        assert isinstance(agent, Tabular)
        return agent


class TestValueIterationContract(PlannerContract):
    algo = "value_iteration"


class TestQIterationContract(PlannerContract):
    algo = "q_iteration"


class TestPolicyIterationContract(PlannerContract):
    algo = "policy_iteration"


class TestPolicyEvaluationContract(PlannerContract):
    algo = "policy_evaluation"
