"""What a planner claims of a state is what its policy gets there: exact values, by linear equations, everywhere."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from every_policy import chain_of, every_policy, long_run
from gymnasium import spaces
from gymnasium_env import gymnasium_env
from planners import CPU, NOTHING, planner, refusal_of, solve

from rlrun.agents.planning.convergence import NoLimitError
from rlrun.agents.planning.policy_iteration import PolicyIteration
from rlrun.agents.tables.policies import uniform_policy
from rlrun.envs.gridworld import GridWorld
from rlrun.envs.mdp_file import MdpEnv
from rlrun.protocols import VecEnv
from rlrun.types import BoolArray, EnvSpec, Float64Array, TabularModel, mask_space

OPTIMAL = ("value_iteration", "q_iteration", "policy_iteration", "modified_policy_iteration")
TOLERANCE = 1e-10


def worth(model: TabularModel, policy: Float64Array, gamma: float) -> tuple[Float64Array, Float64Array]:
    """The exact value of a policy, and its expected steps, [S] each.

    Without discount it may also come to stay where it earns nothing, which is worth 0; there its steps are 0.
    """
    matrix, earned = chain_of(model, policy)
    stays: BoolArray = (matrix.sum(axis=1) > 1.0 - 1e-9) & (np.abs(earned) < 1e-12) & (gamma == 1.0)
    for _ in range(model.num_states):
        stays &= ~(matrix[:, ~stays] > 0).any(axis=1)
    over = stays | (matrix.sum(axis=1) < 1.0 - 1e-9)
    for _ in range(model.num_states):
        over |= (matrix[:, over] > 0).any(axis=1)
    assert over.all() or gamma < 1.0, "it earns forever and never ends"
    counted: BoolArray = np.logical_not(stays)
    inner = np.eye(counted.sum()) - gamma * matrix[np.ix_(counted, counted)]
    values, steps = np.zeros(model.num_states), np.zeros(model.num_states)
    values[counted] = np.linalg.solve(inner, earned[counted])
    steps[counted] = np.linalg.solve(inner, np.any(model.legal[counted], axis=1).astype(float))
    return values, steps


def acting(agent: Any, model: TabularModel) -> Float64Array:
    """The probabilities [S, A] by which it chooses when it is evaluated, as often as it does in 64 draws."""
    (playable,) = np.nonzero(model.legal.any(axis=1))
    obs = torch.from_numpy(playable).repeat(64)
    action = agent.act(obs, (), torch.Generator().manual_seed(0), explore=False).action.numpy()
    counts = np.zeros(model.legal.shape)
    np.add.at(counts, (obs.numpy(), action), 1.0 / 64)
    return counts


def check_claim(agent: Any, model: TabularModel, gamma: float) -> None:
    """V is what the policy in the tables gets, within the bound of the docs; and that policy is the one that acts."""
    tables = agent.tables()
    np.testing.assert_allclose(tables.policy.sum(axis=1), model.legal.any(axis=1), atol=1e-12)
    played = acting(agent, model)
    assert (tables.policy[played > 0] > 0).all()
    certain = tables.policy == 1.0
    np.testing.assert_allclose(played[certain], 1.0, atol=1e-12)
    values, steps = worth(model, tables.policy, gamma)
    bound = (TOLERANCE + 1e-9 * np.maximum(np.abs(values), 1.0)) * np.maximum(steps, 1.0) + 1e-12
    assert (np.abs(tables.values - values) <= bound).all(), np.abs(tables.values - values).max()


GRIDS = [
    *[("gridworld", {"map": name}) for name in ("book", "cliff", "lecture", "karpathy_10x10", "sutton_5x5")],
    *[("gridworld", {"map": name, "slip": 0.0}) for name in ("book", "cliff")],
    *[("gridworld", {"map": name, "slip": 0.2, "step_reward": 0.0}) for name in ("book", "cliff", "lecture")],
    ("mdp", {"mdp": "racing_car"}),  # the other one's states look alike, so there is nothing to plan with
]
TOY_TEXT = [
    ("FrozenLake-v1", {}),
    ("FrozenLake-v1", {"is_slippery": False}),
    ("FrozenLake-v1", {"map_name": "8x8"}),
    ("FrozenLake-v1", {"map_name": "8x8", "is_slippery": False}),
    ("CliffWalking-v1", {}),
    ("CliffWalking-v1", {"is_slippery": True}),
    ("Taxi-v4", {}),
]
ENDLESS = {"racing_car", "karpathy_10x10", "sutton_5x5"}  # without discount their best policies earn forever


def world(kind: str, options: dict[str, Any]) -> VecEnv:
    usual: dict[str, Any] = {"observation": "index", "max_episode_steps": 100, "num_envs": 1}
    if kind == "gridworld":
        return GridWorld(**{"slip": None, "step_reward": None, "goal": "map"} | usual | options)
    if kind == "mdp":
        return MdpEnv(**usual | options)
    return gymnasium_env(kind, max_episode_steps=100, options=options)


def name_of(case: Any) -> str:
    return "-".join(f"{key}={value}" for key, value in case.items()) or "plain" if isinstance(case, dict) else str(case)


@pytest.mark.parametrize("gamma", [0.9, 1.0])
@pytest.mark.parametrize(("kind", "options"), [*GRIDS, *TOY_TEXT], ids=name_of)
def test_every_shipped_world_gives_what_is_claimed(kind: str, options: dict[str, Any], gamma: float) -> None:
    env = world(kind, options)
    model = env.spec.model
    assert model is not None
    for algo in (*OPTIMAL, "policy_evaluation"):
        agent = planner(algo, env.spec, gamma, TOLERANCE)
        at_random = algo == "policy_evaluation" and kind == "mdp"  # the car overheats in the end
        if gamma == 1.0 and ENDLESS & set(options.values()) and not at_random:
            with pytest.raises(NoLimitError):
                solve(agent)
            continue
        solve(agent)
        check_claim(agent, model, gamma)
    env.close()


def random_model(rng: np.random.Generator, rewards: tuple[float, ...]) -> TabularModel:
    """Four states and an end, 2 or 3 actions, one or two outcomes: loops, ties, states without way in or out."""
    num_states, num_actions = 5, int(rng.integers(2, 4))
    rows: list[tuple[Any, ...]] = []
    for start, played in itertools.product(range(num_states - 1), range(num_actions)):
        count = int(rng.integers(1, 3))
        reached = rng.choice(num_states, count, replace=False)
        rows += [(start, played, to, 1.0 / count, rng.choice(rewards), float(to != num_states - 1)) for to in reached]
    legal = rng.random((num_states, num_actions)) < 0.9
    legal[:, 0] = True
    legal[-1] = False
    rows = [row for row in rows if legal[row[0], row[1]]]
    state, action, successor = (np.array([row[i] for row in rows], np.int64) for i in range(3))
    probability, reward, discount = (np.array([row[i] for row in rows], np.float64) for i in range(3, 6))
    initial = np.eye(num_states)[0]
    return TabularModel(
        num_states, num_actions, state, action, successor, probability, reward, discount, initial, legal
    )


def as_spec(model: TabularModel) -> EnvSpec:
    shown: dict[str, spaces.Box | spaces.Discrete] = {"obs": spaces.Discrete(model.num_states)}
    if model.forbids_actions:
        shown["action_mask"] = mask_space(model.num_actions)
    return EnvSpec("random", shown, spaces.Discrete(model.num_actions), 1, model=model)


def may_be_refused(algo: str, model: TabularModel, cancelling: bool) -> bool:
    """Only where rewards may cancel forever, or the policy that is evaluated first earns or loses forever."""
    at_random = long_run(model, uniform_policy(model.legal)).total
    return cancelling or (algo == "policy_iteration" and not np.isfinite(at_random).all())


REWARDS = [(0.0, 1.0), (0.0, -1.0), (0.0, -1.0, 1.0), (0.0, 0.0, 0.0, 2.0, -3.0), (-1.0, -0.5), (0.0, -0.1, 1.0)]


def test_random_models_give_what_is_claimed_and_the_best_there_is() -> None:
    rng = np.random.default_rng(0)
    ends: Counter[str] = Counter()
    for rewards in REWARDS * 12:
        model = random_model(rng, rewards)
        every = long_run(model, every_policy(model.legal))
        best, cancelling = every.total.max(axis=0), bool(every.cancels.any())
        if not np.isfinite(best).all():  # refused: tests/agents/test_convergence.py
            continue
        for algo in OPTIMAL:
            agent = planner(algo, as_spec(model), 1.0, TOLERANCE)
            refusal = refusal_of(agent)
            if refusal is not None:
                assert may_be_refused(algo, model, cancelling), (algo, best, str(refusal))
                ends[f"{algo}, refused"] += 1
                continue
            ends[algo] += 1
            check_claim(agent, model, 1.0)
            np.testing.assert_allclose(agent.tables().values, best, atol=1e-6)
    assert min(ends[algo] for algo in OPTIMAL) >= 30, ends


def test_random_models_with_discount_give_what_is_claimed_and_the_best_there_is() -> None:
    rng = np.random.default_rng(1)
    for rewards in REWARDS * 12:
        model = random_model(rng, rewards)
        for algo in OPTIMAL:
            agent = planner(algo, as_spec(model), 0.5, TOLERANCE)
            solve(agent)
            check_claim(agent, model, 0.5)
            values = agent.tables().values
            q = np.zeros(model.legal.shape)
            ahead = model.reward + 0.5 * model.discount * values[model.next_state]
            np.add.at(q, (model.state, model.action), model.probability * ahead)
            best = np.where(model.legal, q, -np.inf).max(axis=1)  # the only solution of Bellman's equation
            np.testing.assert_allclose(values[:-1], best[:-1], atol=1e-8)


@pytest.mark.parametrize("gamma", [0.9, 0.99, 1.0])
@pytest.mark.parametrize("tolerance", [1e-10, 1e-4, 1e-2])
@pytest.mark.parametrize("name", ["cliff", "book", "lecture"])
def test_a_coarse_tolerance_leaves_policy_iteration_a_policy_within_its_bound(
    name: str, tolerance: float, gamma: float
) -> None:
    env = world("gridworld", {"map": name})
    model = env.spec.model
    assert model is not None
    best = planner("value_iteration", env.spec, gamma, 1e-12)
    solve(best)
    optimum, steps = worth(model, best.tables().policy, gamma)
    for sweeps in (None, 3):
        agent = PolicyIteration(
            initial_policy="uniform",
            gamma=gamma,
            tolerance=tolerance,
            evaluation_sweeps=sweeps,
            spec=env.spec,
            device=CPU,
        )
        solve(agent)
        values, _ = worth(model, agent.tables().policy, gamma)
        horizon = steps if gamma == 1.0 else 1.0 / (1.0 - gamma)
        margin = min(2.0 * tolerance / max(1.0 - gamma, 1e-3), 1e-5) + 1e-9 * np.maximum(np.abs(optimum), 1.0)
        assert (optimum - values <= 2.0 * margin * horizon + 1e-9).all(), (optimum - values).max()


def test_a_discount_of_almost_1_still_comes_to_the_goal() -> None:
    gamma = 1.0 - 1e-9
    env = world("gridworld", {"map": "book", "slip": 0.0, "step_reward": 0.0})
    model = env.spec.model
    assert model is not None
    for algo in OPTIMAL[:3]:
        agent = planner(algo, env.spec, gamma, TOLERANCE)
        solve(agent)
        values, _ = worth(model, agent.tables().policy, gamma)
        np.testing.assert_allclose(values, agent.tables().values, atol=1e-7)
        assert float(model.initial @ values) == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize("algo", ["value_iteration", "q_iteration", "modified_policy_iteration"])
def test_a_planner_that_resumes_finishes_in_the_same_sweep_with_the_same_policy(algo: str) -> None:
    rng = np.random.default_rng(5)
    models = [random_model(rng, (0.0, 0.0, 0.0, 2.0, -3.0)) for _ in range(20)]
    compared = 0
    for model in models:
        whole = planner(algo, as_spec(model), 1.0, 1e-3)
        if refusal_of(whole) is not None:
            continue
        first, second = (planner(algo, as_spec(model), 1.0, 1e-3) for _ in range(2))
        for _ in range(4):
            first.learn(NOTHING)
        second.load_state_dict(first.state_dict())
        solve(second)
        np.testing.assert_array_equal(second.tables().values, whole.tables().values)
        np.testing.assert_array_equal(second.tables().policy, whole.tables().policy)
        compared += 1
    assert compared >= 5
