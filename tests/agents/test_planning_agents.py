"""Planners against values that are known exactly."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from gymnasium_env import gymnasium_env
from PIL import Image
from planners import CPU, NOTHING, planner, solve

from rlrun.agents.planning.convergence import NoLimitError
from rlrun.agents.planning.policy_evaluation import PolicyEvaluation
from rlrun.agents.planning.policy_iteration import PolicyIteration
from rlrun.agents.tables.policies import draw_actions
from rlrun.api.running import warn_if_not_converged
from rlrun.cli.main import run_command
from rlrun.envs.cartpole import CartPole
from rlrun.envs.gridworld import GridWorld
from rlrun.envs.gymnasium import GymnasiumEnv
from rlrun.envs.mdp_file import MdpEnv
from rlrun.errors import DoesNotFitError, UserError
from rlrun.protocols import Agent, Tabular, VecEnv
from rlrun.testing.agent import AgentContract
from rlrun.types import EnvSpec, Float64Array, TabularModel

DATA = Path(__file__).parents[1] / "data"
KNOWN = yaml.safe_load((DATA / "known_values.yaml").read_text())
POLICIES = {case["name"]: case for case in yaml.safe_load((DATA / "known_policies.yaml").read_text())}
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


def toy_text(env_id: str, options: dict[str, Any] | None = None) -> GymnasiumEnv:
    return gymnasium_env(env_id, max_episode_steps=100, options=options)


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
    env: VecEnv = grid(**case["map"]) if "map" in case else toy_text(case["gymnasium"], case.get("options"))
    model = env.spec.model
    assert model is not None
    assert model.layout is not None
    shape = model.layout.shape
    algos = {"value_iteration": ["value_iteration", "q_iteration", "policy_iteration"]}
    for algo in algos.get(case["algo"], [case["algo"]]):
        agent = planner(algo, env.spec, case["gamma"])
        solve(agent)
        tables = agent.tables()
        assert check_rows(tables.values, case["values"], shape, case["atol"]) >= 1
        for known in case.get("q", []):
            found = tables.q.reshape(*shape, -1)[tuple(known["cell"])]
            np.testing.assert_allclose(found[: len(known["values"])], known["values"], atol=case["atol"])
        for state, action in enumerate(itertools.chain.from_iterable(case.get("greedy", []))):
            if action is not None:
                assert (tables.policy[state] > 0).argmax() == action, f"{algo}, state {state}"
    agent = planner(case["algo"], env.spec, case["gamma"])
    done = 0
    for sweeps, rows in case.get("after", {}).items():
        for _ in range(sweeps - done):
            agent.learn(NOTHING)
        done = sweeps
        check_rows(agent.tables().values, rows, shape, case["atol"])
    env.close()


def mdp(name: str) -> EnvSpec:
    return MdpEnv(mdp=name, observation="index", max_episode_steps=100, num_envs=1).spec


def racing_spec() -> EnvSpec:
    return mdp("racing_car")


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
    np.testing.assert_allclose(tables.values, optimum, atol=1e-6)
    np.testing.assert_allclose(tables.q[:2], [cool, warm], atol=1e-6)
    np.testing.assert_array_equal(tables.policy, [[0, 1], [1, 0], [0, 0]])


def test_racing_car_without_discount_begins_as_in_the_lecture_and_is_reported_as_endless() -> None:
    agent = planner("value_iteration", racing_spec(), 1.0)
    for expected in ((2, 1, 0), (3.5, 2.5, 0), (5, 4, 0)):
        agent.learn(NOTHING)
        np.testing.assert_allclose(agent.tables().values, expected, atol=1e-12)
    with pytest.raises(NoLimitError) as refused:
        solve(agent, limit=1_000)
    assert refused.value.because == "grow"
    assert agent.residual == 1.5


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
    with pytest.raises(NoLimitError) as refused:
        solve(agent)
    assert refused.value.because == "fall"


def test_a_tolerance_below_rounding_ends_at_rounding() -> None:
    agent = planner("value_iteration", grid(map="book").spec, 0.9, tolerance=0.0)
    assert solve(agent) < 200
    again = agent.tables().values.copy()
    agent.learn(NOTHING)
    np.testing.assert_allclose(agent.tables().values, again, rtol=1e-12)


def test_a_slow_evaluation_ends_by_solving_its_equations() -> None:
    spec = grid(map="cliff").spec
    agent = planner("policy_evaluation", spec, 1.0)  # sweeps alone take 150,000
    assert solve(agent) < 2_000
    values, q = agent.tables().values, agent.tables().q
    assert spec.model is not None
    np.testing.assert_allclose(np.where(spec.model.legal, q, 0.0).mean(axis=1), values, rtol=1e-12)
    assert spec.model.initial @ values == pytest.approx(-65_375, abs=1.0)


def test_policy_iteration_from_a_policy_that_hardly_ends_finds_the_optimum() -> None:
    spec = grid(map="cliff").spec
    agent = planner("policy_iteration", spec, 1.0)
    assert solve(agent) < 3_000
    assert spec.model is not None
    assert float(spec.model.initial @ agent.tables().values) == pytest.approx(-13.0, abs=1e-9)


@pytest.mark.parametrize("algo", ["value_iteration", "q_iteration"])
@pytest.mark.parametrize(("world", "gamma"), [("lecture", 1.0), ("book", 0.9), ("sutton_5x5", 0.9)])
def test_the_policy_is_known_to_settle_before_the_values(algo: str, world: str, gamma: float) -> None:
    agent = planner(algo, grid(map=world, max_episode_steps=100).spec, gamma)
    shown, changes = [agent.tables().best], [0.0]  # before the first sweep, as a film begins
    while not agent.finished:
        changes.append(float(agent.learn(NOTHING)["plan/policy_changes"]))
        shown.append(agent.tables().best)
    others = [np.any(a != b, axis=1).sum() for a, b in itertools.pairwise(shown)]
    assert changes == [0.0, *others]
    last_change = max(sweep for sweep, count in enumerate(changes) if count)
    assert last_change == agent.state_dict()["last_change"] < len(changes) - 1 == agent.state_dict()["sweeps"]


def test_the_lecture_settles_a_sweep_after_its_policy(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        solve(planner("value_iteration", grid().spec, 1.0))
    # The farthest cell is 3 steps from a corner: sweep 3 has all values, and the fourth changes none.
    (said,) = caplog.messages
    assert re.findall(r"\d+", said) == ["4", "0", "3"]


@pytest.mark.parametrize("algo", ["value_iteration", "q_iteration"])
def test_actions_that_are_equally_good_are_so_at_any_tolerance(algo: str) -> None:
    env = toy_text("FrozenLake8x8-v1")
    coarse, fine = (planner(algo, env.spec, 1.0, tolerance) for tolerance in (1e-8, 1e-13))
    solve(coarse)
    solve(fine)
    assert np.abs(coarse.tables().values - fine.tables().values).max() > 1e-8  # the values are still further off
    np.testing.assert_array_equal(coarse.tables().best, fine.tables().best)
    # Only real differences count: the smallest between two actions here is 5e-4.
    q = np.nan_to_num(fine.tables().q, neginf=-9.0)
    np.testing.assert_array_equal(fine.tables().best, (q > q.max(1, keepdims=True) - 1e-4) & (q > -9.0))
    env.close()


def policy_file(path: Path, policy: Float64Array) -> str:
    """Writes probabilities [S, A], by numbers."""
    rows = {state: dict(enumerate(row.tolist())) for state, row in enumerate(policy) if row.sum() > 0}
    path.write_text(yaml.safe_dump(rows))
    return str(path)


def test_acting_epsilon_greedily_beside_the_cliff(tmp_path: Path) -> None:
    known = POLICIES["cliff, epsilon-greedy about the optimal path"]
    spec = grid(map="cliff").spec
    assert spec.model is not None
    best = planner("value_iteration", spec, 1.0)
    solve(best)
    action = best.act(torch.arange(spec.model.num_states), (), torch.Generator(), explore=False).action.numpy()
    share = known["epsilon"] / 4
    policy = np.where(spec.model.legal, share + (1 - known["epsilon"]) * np.eye(4)[action], 0.0)
    file = policy_file(tmp_path / "policy.yaml", policy)
    agent = PolicyEvaluation(policy=file, gamma=1.0, tolerance=1e-8, spec=spec, device=CPU)
    solve(agent)
    assert float(spec.model.initial @ agent.tables().values) == pytest.approx(known["value"], abs=known["atol"])


def epsilon_soft(model: TabularModel, epsilon: float) -> TabularModel:
    """The MDP in which every action is exchanged for a random one with probability epsilon."""
    fields = ("state", "next_state", "reward", "discount")
    columns: dict[str, list[Any]] = {name: [] for name in (*fields, "action", "probability")}
    for meant, played in itertools.product(range(model.num_actions), repeat=2):
        rows = model.action == played
        chance = epsilon / model.num_actions + (1 - epsilon) * (meant == played)
        for name in fields:
            columns[name].append(getattr(model, name)[rows])
        columns["action"].append(np.full(rows.sum(), meant))
        columns["probability"].append(chance * model.probability[rows])
    whole: dict[str, Any] = {name: np.concatenate(parts) for name, parts in columns.items()}
    return replace(model, **whole)


def test_the_best_epsilon_soft_policy_keeps_away_from_the_cliff() -> None:
    known = POLICIES["cliff, the best epsilon-soft policy"]
    spec = grid(map="cliff").spec
    model = spec.model
    assert model is not None
    agent = planner("value_iteration", replace(spec, model=epsilon_soft(model, known["epsilon"])), 1.0)
    solve(agent)
    assert float(model.initial @ agent.tables().values) == pytest.approx(known["value"], abs=known["atol"])
    state, steps = int(model.initial.argmax()), 0
    while model.legal[state].any():
        played = (model.state == state) & (model.action == agent.tables().policy[state].argmax())
        state, steps = int(model.next_state[played][0]), steps + 1
    assert steps == known["greedy_steps"]


def test_the_greedy_policy_of_a_discount_within_the_time_limit(tmp_path: Path) -> None:
    known = POLICIES["FrozenLake 4x4, greedy for gamma 0.99, within the time limit of 100 steps"]
    env = toy_text("FrozenLake-v1")
    best = planner("value_iteration", env.spec, 0.99)
    solve(best)
    file = policy_file(tmp_path / "policy.yaml", best.tables().policy)
    agent = PolicyEvaluation(policy=file, gamma=1.0, tolerance=1e-8, spec=env.spec, device=CPU)
    for _ in range(100):
        agent.learn(NOTHING)
    assert agent.tables().values[0] == pytest.approx(known["value"], abs=known["atol"])
    env.close()


def test_a_planner_that_runs_out_of_sweeps_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["algo=value_iteration", "env=gridworld", "env.map=sutton_5x5", "algo.gamma=1", "total_steps=20"]
    quick = ["evaluation.episodes=1", "evaluation.num_envs=1", "logger=none", "device=cpu", "name=a"]
    assert run_command(["rlrun", *overrides, *quick, f"runs_dir={tmp_path / 'runs'}"]) == 0
    said = capsys.readouterr().out
    assert "NOT CONVERGED after 20 sweeps (residual 10)" in said
    (run,) = (tmp_path / "runs").glob("gridworld/value_iteration/a/seed0")
    assert (run / "result.json").is_file()
    with Image.open(run / "values.gif") as film:
        assert getattr(film, "n_frames", 1) == 21


def test_a_planner_that_settles_does_not_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    agent = planner("value_iteration", grid().spec, 1.0)
    warn_if_not_converged(agent, 0)
    assert "NOT CONVERGED after 0 sweeps (residual inf)" in capsys.readouterr().out
    warn_if_not_converged(agent, solve(agent))
    assert capsys.readouterr().out == ""


def test_probabilities_that_do_not_sum_to_1_are_refused() -> None:
    spec = racing_spec()
    assert spec.model is not None
    probability = spec.model.probability.copy()
    probability[(spec.model.state == 0) & (spec.model.action == 1) & (spec.model.next_state == 1)] = 0.4
    spec = replace(spec, model=replace(spec.model, probability=probability))
    with pytest.raises(UserError, match=r"action 1 .* state 0 .* 1, not 0\.9"):
        planner("value_iteration", spec, 0.9)


def test_planning_without_a_model_or_states_is_refused() -> None:
    with pytest.raises(DoesNotFitError, match=r"cartpole.*actor_critic"):
        planner("value_iteration", CartPole(num_envs=1, max_episode_steps=500).spec, 0.9)
    with pytest.raises(DoesNotFitError, match=r"gridworld.*state numbers"):
        planner("q_iteration", grid(observation="one_hot").spec, 0.9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("99: north\n", "state 99;"),
        ("1: nroth\n", "action nroth; .*north"),
        ("1: {north: 0.5, south: 0.4}\n", "state 1 .* 0.9"),
        ("1: {north: -1}\n", "north .* 1 .* -1"),
        ("- north\n", "policy.yaml"),
        ("1: [\n", "policy.yaml"),
    ],
)
def test_wrong_policy_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "policy.yaml"
    whole = "".join(f"{state}: north\n" for state in range(2, 15))
    file.write_text(text if text.startswith(("-", "99")) or "[" in text else text + whole)
    with pytest.raises(UserError, match=message):
        PolicyEvaluation(policy=str(file), gamma=0.9, tolerance=1e-8, spec=grid().spec, device=CPU)


def test_a_policy_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"policy=nowhere .*uniform"):
        PolicyEvaluation(policy="nowhere", gamma=0.9, tolerance=1e-8, spec=grid().spec, device=CPU)


def test_rows_are_sampled_with_their_probabilities() -> None:
    policy = torch.tensor([[0.0, 0.25, 0.75], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    draws = draw_actions(policy, torch.zeros(40_000, dtype=torch.int64), torch.Generator().manual_seed(0))
    share = torch.bincount(draws, minlength=3) / 40_000
    assert share[0] == 0.0
    assert float(share[1]) == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 40_000) ** 0.5)
    others = draw_actions(policy, torch.tensor([1, 2]), torch.Generator().manual_seed(0))
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
