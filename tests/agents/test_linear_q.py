"""Linear Q: against the textbook's loops, finite differences, and tabular Q-learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from rlrun.agents.linear.features import Flat, OneHot, Paired
from rlrun.agents.linear.linear_q import LinearQ
from rlrun.build import build
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.envs.gridworld import GridWorld
from rlrun.envs.tabular import TabularEnv
from rlrun.errors import UserError
from rlrun.loop.collect import Collector
from rlrun.numerics.schedules import Constant
from rlrun.protocols import Agent, VecEnv
from rlrun.testing.agent import AgentContract
from rlrun.testing.scripted_env import ScriptedEnv
from rlrun.types import EnvSpec, Episodes, Float64Array, Rollout, TabularModel

CPU = torch.device("cpu")
FEATURES = "algo.features._target_"


class Places:
    """Five numbers of the scripted environment's (slot, episode, time): some are 0, some are neither 0 nor 1."""

    num_features = 5

    def __call__(self, obs: Tensor) -> Tensor:
        slot, episode, time = obs.double().unbind(dim=1)
        here = [time == 0, time == 1, 0.75 * (time >= 2), 0.5 * (slot + 1.0) * (time % 2), 0.25 * (episode % 3)]
        return torch.stack([number.double() for number in here], dim=1)


class Waves:
    """f(s, a) that is no block of any f(s): every action shares features with the others."""

    num_features = 4

    def of_pairs(self, obs: Tensor) -> Tensor:
        slot, _, time = obs.double().unbind(dim=1)
        action = torch.arange(2.0, dtype=torch.float64)
        phase = slot[:, None] + 0.5 * time[:, None] + action  # [B, A]
        return torch.stack([phase.sin(), phase.cos(), (phase > 1.0).double(), 0.25 * action.expand_as(phase)], dim=2)


def agent_of(spec: EnvSpec, features: Any, **changes: Any) -> LinearQ:
    numbers: dict[str, Any] = {
        "bootstrap": "max",
        "gamma": 0.9,
        "alpha": 0.05,
        "trace_lambda": 0.0,
        "replacing": False,
        "bias": False,
    }
    epsilon = Constant(value=changes.pop("epsilon", 0.3))
    fixed: dict[str, Any] = {"epsilon": epsilon, "spec": spec, "device": CPU}
    return LinearQ(features=features, **fixed, **numbers | changes)


def play(agent: Agent, env: VecEnv, turns: int) -> list[Rollout]:
    collector = Collector(env, agent.collection, CPU, 0)
    rollouts = []
    for _ in range(turns):
        rollouts.append(collector.collect(agent))
        agent.learn(rollouts[-1])
    return rollouts


def one_step(
    obs: Tensor,
    action: list[int],
    reward: list[float],
    discount: list[float],
    next_obs: Tensor,
    last: list[bool] | None = None,
) -> Rollout:
    """A step of every slot; where it is the last one, the successor stands among the final observations."""
    ends = torch.tensor([last or [False] * len(action)])
    return Rollout(
        obs_sequence=torch.stack([obs, next_obs]),
        final_obs=next_obs[ends[0]],
        action=torch.tensor([action]),
        reward=torch.tensor([reward], dtype=torch.float32),
        discount=torch.tensor([discount], dtype=torch.float32),
        last=ends,
        mask=torch.ones(1, len(action), dtype=torch.bool),
        extras={},
        episodes=Episodes.none(),
        num_steps=len(action),
    )


def weights(agent: LinearQ) -> Tensor:
    weight: Tensor = agent.state_dict()["weight"]
    return weight.clone()


def grid(num_envs: int = 1, **changes: Any) -> GridWorld:
    numbers: dict[str, Any] = {
        "map": "book",
        "observation": "index",
        "slip": None,
        "step_reward": -0.25,  # a float32 number, so that the plain loop has the same bits
        "goal": "map",
        "max_episode_steps": 9,
    }
    return GridWorld(num_envs=num_envs, **numbers | changes)


def test_with_one_hot_features_it_is_tabular_q_learning_bit_for_bit() -> None:
    env = grid()
    agent = agent_of(env.spec, OneHot(spec=env.spec), alpha=0.5)
    plain = np.zeros((12, 4))
    ends = [0, 0]
    for rollout in play(agent, env, 1500):
        s, a, n = int(rollout.obs[0, 0]), int(rollout.action[0, 0]), int(rollout.next_obs[0, 0])
        r, d = float(rollout.reward[0, 0]), float(rollout.discount[0, 0])
        plain[s, a] += 0.5 * (r + 0.9 * d * plain[n].max() - plain[s, a])
        ends[int(d)] += bool(rollout.last[0, 0])
    assert min(ends) > 50, "both terminations and time limits must be met"
    assert weights(agent).T.tolist() == plain.tolist()
    tables, model = agent.tables(), env.spec.model
    assert model is not None
    assert tables.q[model.legal].tolist() == plain[model.legal].tolist()
    assert bool((tables.q[~model.legal] == -np.inf).all())
    playable = model.legal.any(axis=1)
    assert tables.values.tolist() == np.where(playable, plain.max(axis=1), 0.0).tolist()
    assert tables.policy.sum(axis=1).tolist() == playable.astype(float).tolist()


@pytest.mark.parametrize("replacing", [False, True])
@pytest.mark.parametrize("bootstrap", ["max", "expected"])
def test_a_weight_vector_for_each_action_or_one_for_pairs_are_the_same(bootstrap: str, replacing: bool) -> None:
    env = ScriptedEnv(num_envs=3)
    changes: dict[str, Any] = {"bootstrap": bootstrap, "replacing": replacing, "trace_lambda": 0.8, "alpha": 0.01}
    apart = agent_of(env.spec, Places(), **changes)
    pairs = agent_of(env.spec, Paired(features=Places(), spec=env.spec), **changes)
    for rollout in play(apart, env, 300):
        pairs.learn(rollout)
    assert float(weights(apart).abs().max()) > 0.1
    np.testing.assert_allclose(weights(pairs)[0], weights(apart).flatten(), rtol=1e-12, atol=1e-12)
    obs = torch.tensor([[0.0, 4.0, 1.0], [2.0, 1.0, 0.0]])
    np.testing.assert_allclose(pairs.q_values(obs), apart.q_values(obs), rtol=1e-12, atol=1e-12)


def textbook(
    rollouts: list[Rollout], kind: str, *, bootstrap: str, replacing: bool, bias: bool, epsilon: float = 0.3
) -> Float64Array:
    """Weights [rows, columns] after Watkins's Q(lambda), or Expected Sarsa(lambda), one number at a time.

    Sutton and Barto (2018), sections 12.7, 12.8 and 12.10, two actions; gamma 0.9, lambda 0.8, alpha 0.05. The slots'
    steps are averaged. Gradients are dictionaries from (row, column) to what Q(s, a) changes with that weight.
    """
    gamma, trace_lambda, alpha = 0.9, 0.8, 0.05
    pairs = kind == "pairs"
    w = np.zeros((1, 4) if pairs else (2, 5 + bias))

    def gradient(obs: Tensor, a: int) -> dict[tuple[int, int], float]:
        if pairs:
            return {(0, i): float(x) for i, x in enumerate(Waves().of_pairs(obs[None])[0, a])}
        entries = {(a, i): float(x) for i, x in enumerate(Places()(obs[None])[0])}
        return entries | ({(a, 5): 1.0} if bias else {})

    def q(obs: Tensor, a: int) -> float:
        return float(sum(w[at] * x for at, x in gradient(obs, a).items()))

    num_envs = rollouts[0].action.shape[1]
    traces: list[dict[tuple[int, int], float]] = [{} for _ in range(num_envs)]
    fading = [0.0] * num_envs  # gamma lambda, times the discount of the step before
    for rollout in rollouts:
        change = np.zeros_like(w)
        for b in range(num_envs):
            s, a, n = rollout.obs[0, b], int(rollout.action[0, b]), rollout.next_obs[0, b]
            r, d, last = (float(x[0, b]) for x in (rollout.reward, rollout.discount, rollout.last))
            trace = {at: fading[b] * x for at, x in traces[b].items()}
            if bootstrap == "max" and q(s, a) < max(q(s, 0), q(s, 1)):
                trace = {}
            if replacing:  # this action's and the other's
                active = {at for each in (0, 1) for at, x in gradient(s, each).items() if x != 0.0}
                trace = {at: x for at, x in trace.items() if at not in active}
            for at, x in gradient(s, a).items():
                trace[at] = trace.get(at, 0.0) + x
            best = 0 if q(n, 0) >= q(n, 1) else 1
            probability = [1.0 if bootstrap == "max" else 1.0 - epsilon + epsilon / 2] * 2
            probability[1 - best] = 0.0 if bootstrap == "max" else epsilon / 2
            target = r + gamma * d * sum(probability[each] * q(n, each) for each in (0, 1))
            for at, x in trace.items():
                change[at] += alpha * (target - q(s, a)) * x / num_envs
            traces[b] = {} if last else trace
            fading[b] = gamma * trace_lambda * d
        w += change
    return w


@pytest.mark.parametrize("kind", ["states", "states and bias", "pairs"])
@pytest.mark.parametrize("replacing", [False, True])
@pytest.mark.parametrize("bootstrap", ["max", "expected"])
def test_traces_are_the_textbooks(bootstrap: str, replacing: bool, kind: str) -> None:
    env = ScriptedEnv(num_envs=2)
    features = Waves() if kind == "pairs" else Places()
    bias = kind == "states and bias"
    changes: dict[str, Any] = {"bootstrap": bootstrap, "replacing": replacing, "bias": bias, "trace_lambda": 0.8}
    agent = agent_of(env.spec, features, **changes)
    rollouts = play(agent, env, 40)
    limits = sum(int((rollout.last & (rollout.discount == 1.0)).sum()) for rollout in rollouts)
    terminations = sum(int((rollout.discount == 0.0).sum()) for rollout in rollouts)
    assert min(limits, terminations) >= 10
    expected = textbook(rollouts, kind, bootstrap=bootstrap, replacing=replacing, bias=bias)
    assert np.abs(expected).max() > 1.0
    np.testing.assert_allclose(weights(agent), expected, rtol=1e-10, atol=1e-12)


def test_the_four_kinds_of_traces_differ() -> None:
    """Else the test above could not tell them from one another."""
    env = ScriptedEnv(num_envs=2)
    rollouts = play(agent_of(env.spec, Places(), trace_lambda=0.8), env, 40)
    found = [
        textbook(rollouts, "states", bootstrap=bootstrap, replacing=replacing, bias=False)
        for bootstrap in ("max", "expected")
        for replacing in (False, True)
    ]
    for index, one in enumerate(found):
        for other in found[index + 1 :]:
            assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("features", [Places(), Waves()], ids=["states", "pairs"])
def test_a_step_is_the_semi_gradient_of_half_the_squared_error(features: Any) -> None:
    env = ScriptedEnv(num_envs=1)
    agent = agent_of(env.spec, features, alpha=0.125, bias=True)
    start = agent.state_dict()
    rng = np.random.default_rng(0)
    weight = torch.from_numpy(rng.normal(size=tuple(start["weight"].shape)))
    obs, next_obs = torch.tensor([[1.0, 2.0, 1.0]]), torch.tensor([[1.0, 2.0, 2.0]])
    trace = torch.zeros_like(start["trace"])

    def with_weight(changed: Tensor) -> LinearQ:
        agent.load_state_dict({"weight": changed, "trace": trace, "steps": 0})
        return agent

    target = 2.5 + 0.9 * float(with_weight(weight).q_values(next_obs).max())  # held fast: a semi-gradient
    slope = torch.zeros_like(weight)
    for at in np.ndindex(*weight.shape):
        half = []
        for change in (1e-4, -1e-4):
            moved = weight.clone()
            moved[at] += change
            half.append(0.5 * (target - float(with_weight(moved).q_values(obs)[0, 1])) ** 2)
        slope[at] = (half[0] - half[1]) / 2e-4
    assert float(slope.abs().max()) > 0.1
    with_weight(weight).learn(one_step(obs, [1], [2.5], [1.0], next_obs))
    np.testing.assert_allclose(weights(agent), weight - 0.125 * slope, rtol=0, atol=1e-9)


def numbered(num_states: int, num_envs: int) -> EnvSpec:
    return EnvSpec("numbered", spaces.Discrete(num_states), spaces.Discrete(2), num_envs)


def test_slots_are_averaged() -> None:
    spec = numbered(3, 3)
    agent = agent_of(spec, OneHot(spec=spec), alpha=0.5)
    obs, following = torch.tensor([0, 0, 1]), torch.tensor([2, 2, 2])
    agent.learn(one_step(obs, [1, 1, 0], [6.0, -3.0, 12.0], [1.0, 1.0, 0.0], following))
    assert weights(agent).tolist() == [[0.0, 0.5 * 12 / 3, 0.0], [0.5 * (6 - 3) / 3, 0.0, 0.0]]


def test_slots_that_see_the_same_learn_what_one_learns() -> None:
    one, five = (agent_of(numbered(4, num_envs), OneHot(spec=numbered(4, num_envs)), trace_lambda=0.5, bias=True)
                 for num_envs in (1, 5))  # fmt: skip
    rng = np.random.default_rng(1)
    for _ in range(50):
        s, a, r, d, n = rng.integers(4), rng.integers(2), rng.normal(), float(rng.random() < 0.8), rng.integers(4)
        for agent, copies in ((one, 1), (five, 5)):
            obs, following = torch.tensor([int(s)] * copies), torch.tensor([int(n)] * copies)
            agent.learn(one_step(obs, [int(a)] * copies, [r] * copies, [d] * copies, following, [d == 0.0] * copies))
    np.testing.assert_allclose(weights(five), weights(one), rtol=1e-12, atol=1e-14)


def test_watkins_trace_lives_through_ties_and_dies_of_worse_actions() -> None:
    spec = numbered(3, 1)
    first, second, third = (torch.tensor([state]) for state in range(3))
    tied = agent_of(spec, OneHot(spec=spec), alpha=0.5, gamma=1.0, trace_lambda=1.0)
    tied.learn(one_step(first, [1], [0.0], [1.0], second))
    tied.learn(one_step(second, [1], [8.0], [1.0], third))  # as good as action 0, though not the one it would take
    assert weights(tied)[1].tolist() == [4.0, 4.0, 0.0]

    worse = agent_of(spec, OneHot(spec=spec), alpha=0.5, gamma=1.0, trace_lambda=1.0)
    weight = torch.zeros(2, 3, dtype=torch.float64)
    weight[0, 1] = 1.0  # in the second state action 0 is better
    worse.load_state_dict(worse.state_dict() | {"weight": weight})
    worse.learn(one_step(first, [1], [-1.0], [1.0], second))  # to 1 from 0, so there is nothing to learn
    worse.learn(one_step(second, [1], [8.0], [1.0], third))
    assert weights(worse)[1].tolist() == [0.0, 4.0, 0.0]


def test_a_trace_ends_with_its_episode_at_a_time_limit_too() -> None:
    spec = numbered(3, 2)
    agent = agent_of(spec, OneHot(spec=spec), alpha=1.0, gamma=1.0, trace_lambda=1.0)
    agent.learn(one_step(torch.tensor([0, 0]), [0, 1], [0.0, 0.0], [1.0, 1.0], torch.tensor([1, 1]), [True, False]))
    agent.learn(one_step(torch.tensor([1, 1]), [0, 1], [2.0, 4.0], [1.0, 1.0], torch.tensor([2, 2])))
    assert weights(agent).tolist() == [[0.0, 1.0, 0.0], [2.0, 2.0, 0.0]]


def test_a_lost_life_ends_the_trace_though_the_episode_goes_on() -> None:
    spec = numbered(3, 1)
    agent = agent_of(spec, OneHot(spec=spec), alpha=1.0, gamma=1.0, trace_lambda=1.0)
    agent.learn(one_step(torch.tensor([0]), [1], [3.0], [0.0], torch.tensor([1])))
    agent.learn(one_step(torch.tensor([1]), [1], [5.0], [1.0], torch.tensor([2])))
    assert weights(agent)[1].tolist() == [3.0, 5.0, 0.0]


def rooms() -> TabularModel:
    """In room 0 both actions lead to room 1, paying 1 and 2; in room 1 only action 0 is legal, pays -3 and ends."""
    return TabularModel(
        num_states=3,
        num_actions=2,
        state=np.array([0, 0, 1]),
        action=np.array([0, 1, 0]),
        next_state=np.array([1, 1, 2]),
        probability=np.ones(3),
        reward=np.array([1.0, 2.0, -3.0]),
        discount=np.array([1.0, 1.0, 0.0]),
        initial=np.array([1.0, 0.0, 0.0]),
        legal=np.array([[True, True], [True, False], [False, False]]),
    )


@pytest.mark.parametrize("kind", ["states", "pairs"])
@pytest.mark.parametrize("bootstrap", ["max", "expected"])
def test_illegal_actions_are_neither_taken_nor_bootstrapped_from(bootstrap: str, kind: str) -> None:
    env = TabularEnv(
        model=rooms(), name="rooms", looks=None, observation="index", max_episode_steps=None, num_envs=4
    )  # raises where an action is illegal
    features: Any = OneHot(spec=env.spec)
    features = Paired(features=features, spec=env.spec) if kind == "pairs" else features
    agent = agent_of(env.spec, features, bootstrap=bootstrap, epsilon=1.0, alpha=0.5)
    play(agent, env, 600)
    # Of room 1 the legal action alone counts, -3; the other one's 0 would make both numbers of room 0 larger.
    expected = [[1 - 0.9 * 3, 2 - 0.9 * 3], [-3, -np.inf], [-np.inf, -np.inf]]
    np.testing.assert_allclose(agent.tables().q, expected, atol=1e-9)
    np.testing.assert_allclose(agent.tables().values, [2 - 0.9 * 3, -3, 0], atol=1e-9)
    np.testing.assert_array_equal(agent.tables().policy, [[0, 1], [1, 0], [0, 0]])


def test_there_are_no_tables_of_vectors() -> None:
    spec = ScriptedEnv(num_envs=1).spec
    with pytest.raises(ValueError, match="Box"):
        agent_of(spec, Places()).tables()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["env=gridworld", f"{FEATURES}=rlrun.agents.linear.features.Flat"], "gridworld.*OneHot"),
        (["env=cartpole"], "cartpole.*Box.*Flat, TileCoding"),
        (
            ["env=gridworld", f"{FEATURES}=rlrun.numerics.schedules.Constant", "+algo.features.value=1"],
            r"algo\.features.*Features",
        ),
    ],
)
def test_features_that_do_not_fit_the_observations_are_refused(
    overrides: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        build(load_config(["algo=linear_q", *overrides, f"runs_dir={tmp_path}"], [config_directory()]))


def test_features_of_features_can_be_configured(tmp_path: Path) -> None:
    overrides = ["algo=linear_q", "env=gridworld", "logger=none", f"runs_dir={tmp_path}"]
    overrides += [
        "algo.features._target_=rlrun.agents.linear.features.Paired",
        "+algo.features.features._target_=rlrun.agents.linear.features.OneHot",
    ]
    built = build(load_config(overrides, [config_directory()]))
    assert tuple(built.run.agent.state_dict()["weight"].shape) == (1, 16 * 4)
    built.close()


class TestLinearQContract(AgentContract):
    def make_env(self) -> VecEnv:
        return ScriptedEnv(num_envs=3)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        del seed
        return agent_of(spec, Flat(spec=spec), trace_lambda=0.7, bias=True, alpha=0.001)


class TestLinearQOfPairsContract(AgentContract):
    def make_env(self) -> VecEnv:
        return grid(3)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        del seed
        features = Paired(features=OneHot(spec=spec), spec=spec)
        return agent_of(spec, features, bootstrap="expected", replacing=True, trace_lambda=0.7)
