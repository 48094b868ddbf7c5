"""Linear TD(lambda): against the textbook's loops and the exact fixed point of the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from rlrun.agents.linear.features import Flat, OneHot
from rlrun.agents.linear.linear_v import LinearV
from rlrun.build import build
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.envs.cartpole import CartPole
from rlrun.envs.gridworld import GridWorld
from rlrun.envs.tabular import RandomWalk, random_walk_model
from rlrun.errors import UserError
from rlrun.loop.collect import Collector
from rlrun.protocols import Agent, VecEnv
from rlrun.testing.agent import AgentContract
from rlrun.testing.scripted_env import ScriptedEnv
from rlrun.types import EnvSpec, Episodes, Float64Array, Rollout, Space, mask_space

CPU = torch.device("cpu")


class Position:
    """How far to the right a state of the random walk lies, from 0 to 1."""

    num_features = 1

    def __init__(self, num_states: int) -> None:
        self._end = num_states + 1

    def __call__(self, obs: Tensor) -> Tensor:
        return obs[:, None].float() / self._end


class Places:
    """Four numbers of the scripted environment's (slot, episode, time), none of them an indicator of all three."""

    num_features = 4

    def __call__(self, obs: Tensor) -> Tensor:
        slot, episode, time = obs.double().unbind(dim=1)
        here = [time == 0, 0.75 * (time >= 1), 0.5 * (slot + 1.0) * (time % 2), 0.25 * (episode % 3)]
        return torch.stack([number.double() for number in here], dim=1)


def agent_of(spec: EnvSpec, features: Any, **changes: Any) -> LinearV:
    numbers: dict[str, Any] = {
        "policy": "uniform",
        "gamma": 0.9,
        "alpha": 0.1,
        "trace_lambda": 0.0,
        "bias": False,
    }
    return LinearV(features=features, spec=spec, device=CPU, **numbers | changes)


def play(agent: Agent, env: VecEnv, turns: int) -> list[Rollout]:
    collector = Collector(env, agent.collection, CPU, 0)
    rollouts = []
    for _ in range(turns):
        rollouts.append(collector.collect(agent))
        agent.learn(rollouts[-1])
    return rollouts


def weights(agent: LinearV) -> Tensor:
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


def walk(num_envs: int) -> RandomWalk:
    return RandomWalk(
        num_states=5,
        left_reward=-0.5,
        right_reward=2.0,
        observation="index",
        max_episode_steps=None,
        num_envs=num_envs,
    )


def test_with_one_hot_features_it_is_td_0_of_the_textbook_bit_for_bit() -> None:
    env = grid()
    agent = agent_of(env.spec, OneHot(spec=env.spec), alpha=0.5)
    plain = np.zeros(12)
    ends = [0, 0]
    for rollout in play(agent, env, 1200):
        s, n = int(rollout.obs[0, 0]), int(rollout.next_obs[0, 0])
        r, d = float(rollout.reward[0, 0]), float(rollout.discount[0, 0])
        plain[s] += 0.5 * (r + 0.9 * d * plain[n] - plain[s])
        ends[int(d)] += bool(rollout.last[0, 0])
    assert min(ends) >= 15, "both terminations and time limits must be met"
    assert agent.tables().values.tolist() == plain.tolist()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("trace_lambda", [0.0, 0.8, 1.0])
def test_traces_are_the_textbooks(trace_lambda: float, bias: bool) -> None:
    """Sutton and Barto (2018), section 12.2, in two slots whose steps are averaged, a number at a time."""
    env = ScriptedEnv(num_envs=2)
    agent = agent_of(env.spec, Places(), trace_lambda=trace_lambda, bias=bias, alpha=0.01)
    rollouts = play(agent, env, 40)
    limits = sum(int((rollout.last & (rollout.discount == 1.0)).sum()) for rollout in rollouts)
    terminations = sum(int((rollout.discount == 0.0).sum()) for rollout in rollouts)
    assert min(limits, terminations) >= 10

    def described(obs: Tensor) -> list[float]:
        numbers: list[float] = Places()(obs[None])[0].tolist()
        return numbers + [1.0] * bias

    w = [0.0] * (4 + bias)
    z = [[0.0] * len(w) for _ in range(2)]
    for rollout in rollouts:
        change = [0.0] * len(w)
        for b in range(2):
            x, following = described(rollout.obs[0, b]), described(rollout.next_obs[0, b])
            r, d, last = (float(each[0, b]) for each in (rollout.reward, rollout.discount, rollout.last))
            value, next_value = (sum(p * q for p, q in zip(w, f, strict=True)) for f in (x, following))
            z[b] = [old + new for old, new in zip(z[b], x, strict=True)]
            change = [c + 0.01 * (r + 0.9 * d * next_value - value) * e / 2 for c, e in zip(change, z[b], strict=True)]
            z[b] = [0.0 if last else 0.9 * trace_lambda * d * e for e in z[b]]
        w = [p + c for p, c in zip(w, change, strict=True)]
    assert max(map(abs, w)) > 1.0
    np.testing.assert_allclose(weights(agent), w, rtol=1e-10, atol=1e-12)


def test_a_lost_life_ends_the_trace_though_the_episode_goes_on() -> None:
    spec = EnvSpec("numbered", spaces.Discrete(3), spaces.Discrete(1), 1)
    agent = agent_of(spec, OneHot(spec=spec), alpha=1.0, gamma=1.0, trace_lambda=1.0)
    for state, reward, discount in ((0, 3.0, 0.0), (1, 5.0, 1.0)):
        agent.learn(
            Rollout(
                obs_sequence=torch.tensor([[state], [state + 1]]),
                final_obs=torch.zeros(0, dtype=torch.int64),
                action=torch.tensor([[0]]),
                reward=torch.tensor([[reward]]),
                discount=torch.tensor([[discount]]),
                last=torch.tensor([[False]]),
                mask=torch.tensor([[True]]),
                extras={},
                episodes=Episodes.none(),
                num_steps=1,
            )
        )
    assert weights(agent).tolist() == [3.0, 5.0, 0.0]


def fixed_point(model_env: RandomWalk, trace_lambda: float, gamma: float, *, bias: bool) -> Float64Array:
    """A^-1 b from the model (Sutton and Barto 2018, equations 9.11 and 9.12) for f = [position, 1] or [position].

    A = X' D (I - gamma lambda P)^-1 (I - gamma P) X and b = X' D (I - gamma lambda P)^-1 r over the five inner states,
    where D holds how often each is visited in an episode.
    """
    model = model_env.spec.model
    assert model is not None
    transition, reward = np.zeros((7, 7)), np.zeros(7)
    np.add.at(transition, (model.state, model.next_state), model.probability * model.discount)
    np.add.at(reward, model.state, model.probability * model.reward)
    inner = slice(1, 6)
    p, r = transition[inner, inner], reward[inner]
    visits = np.linalg.solve(np.eye(5) - p.T, model.initial[inner])
    np.testing.assert_allclose(visits, [1, 2, 3, 2, 1], atol=1e-12)
    x = np.stack([np.arange(1, 6) / 6, np.ones(5)], axis=1)[:, : 1 + bias]
    faded = x.T @ np.diag(visits) @ np.linalg.inv(np.eye(5) - gamma * trace_lambda * p)
    return np.asarray(np.linalg.solve(faded @ (np.eye(5) - gamma * p) @ x, faded @ r), np.float64)


def test_td_0_stands_still_at_the_fixed_point_of_the_model_and_goes_there() -> None:
    # Every transition at once, as often as it comes in 9 visits: 1, 2, 3, 2, 1 of the states, half of them either way.
    states = torch.tensor([1] + [2] * 2 + [3] * 3 + [4] * 2 + [5]).repeat(2)
    following = states + torch.tensor([-1] * 9 + [1] * 9)
    ends = (following == 0) | (following == 6)
    rollout = Rollout(
        obs_sequence=torch.stack([states, following]),
        final_obs=following[ends],
        action=torch.zeros(1, 18, dtype=torch.int64),
        reward=torch.where(following == 0, -0.5, torch.where(following == 6, 2.0, 0.0))[None],
        discount=(~ends).float()[None],
        last=ends[None],
        mask=torch.ones(1, 18, dtype=torch.bool),
        extras={},
        episodes=Episodes.none(),
        num_steps=18,
    )
    env = walk(18)
    agent = agent_of(env.spec, Position(5), bias=True, alpha=1.0)
    for _ in range(2500):
        agent.learn(rollout)
    expected = fixed_point(env, 0.0, 0.9, bias=True)
    np.testing.assert_allclose(weights(agent), expected, atol=1e-6)  # positions are float32 here
    best_fit = np.polyfit(np.arange(1, 6) / 6, _values_of_the_walk(env, 0.9), 1, w=np.sqrt([1, 2, 3, 2, 1]))
    assert np.abs(expected - best_fit).max() > 0.02, "the fixed point is not the best fit here"


def _values_of_the_walk(env: RandomWalk, gamma: float) -> Float64Array:
    model = env.spec.model
    assert model is not None
    matrix, reward = np.eye(7), np.zeros(7)
    np.add.at(matrix, (model.state, model.next_state), -gamma * model.probability * model.discount)
    np.add.at(reward, model.state, model.probability * model.reward)
    return np.asarray(np.linalg.solve(matrix, reward)[1:6], np.float64)


@pytest.mark.parametrize("trace_lambda", [0.0, 0.9])
def test_played_steps_lead_to_the_fixed_point_of_their_lambda(trace_lambda: float) -> None:
    env = walk(400)
    agent = agent_of(env.spec, Position(5), alpha=0.5, trace_lambda=trace_lambda)
    collector, seen = Collector(env, agent.collection, CPU, 0), []
    for _ in range(1000):
        agent.learn(collector.collect(agent))
        seen.append(float(weights(agent)))
    expected = float(fixed_point(env, trace_lambda, 0.9, bias=False)[0])
    other = float(fixed_point(env, 0.9 - trace_lambda, 0.9, bias=False)[0])
    assert sorted([expected, other]) == pytest.approx([1.105, 1.25], abs=1e-3)
    assert np.mean(seen[300:]) == pytest.approx(expected, abs=0.01)


def test_the_value_of_the_start_is_the_mean_over_first_states() -> None:
    env = grid(2, map="lecture")
    agent = agent_of(env.spec, OneHot(spec=env.spec), bias=True)
    rollout = Collector(env, agent.collection, CPU, 0).collect(agent)
    agent.load_state_dict(agent.state_dict() | {"weight": torch.arange(17.0, dtype=torch.float64).square()})
    metrics = agent.learn(rollout)
    model = env.spec.model
    assert model is not None
    assert np.count_nonzero(model.initial) > 1
    w = weights(agent).numpy()
    assert float(metrics["value/start"]) == pytest.approx(model.initial @ w[:16] + w[16], rel=1e-12)


def test_nothing_is_earned_where_the_episode_is_over() -> None:
    env = grid(map="lecture")
    agent = agent_of(env.spec, OneHot(spec=env.spec), bias=True)
    agent.load_state_dict(agent.state_dict() | {"weight": torch.ones(17, dtype=torch.float64)})
    tables = agent.tables()
    assert tables.values.tolist() == [0.0, *[2.0] * 14, 0.0]
    assert bool(np.isnan(tables.q).all())
    assert tables.policy[1:15].tolist() == [[0.25] * 4] * 14


def test_a_policy_from_a_file_is_acted_on_and_valued(tmp_path: Path) -> None:
    env = grid(8, map="lecture", step_reward=-1.0, max_episode_steps=100)
    (tmp_path / "policy.yaml").write_text(
        "".join(f"{state}: {'west' if state % 4 else 'north'}\n" for state in range(1, 15))
    )
    agent = agent_of(env.spec, OneHot(spec=env.spec), policy=str(tmp_path / "policy.yaml"), gamma=1.0, alpha=1.0)
    play(agent, env, 800)
    distance = [row + column for row in range(4) for column in range(4)]
    np.testing.assert_allclose(agent.tables().values[:15], -np.array(distance[:15], float), atol=1e-6)


def test_vectors_have_the_uniform_policy_alone(tmp_path: Path) -> None:
    spec = CartPole(num_envs=4000, max_episode_steps=500).spec
    agent = agent_of(spec, Flat(spec=spec))
    action = agent.act(torch.zeros(4000, 4), (), torch.Generator().manual_seed(0), explore=False).action
    assert float(action.double().mean()) == pytest.approx(0.5, abs=4 * 0.5 / 4000**0.5)
    (tmp_path / "policy.yaml").write_text("0: 0\n")
    with pytest.raises(UserError, match=r"policy=.*policy\.yaml.*cartpole.*Box.*uniform"):
        agent_of(spec, Flat(spec=spec), policy=str(tmp_path / "policy.yaml"))
    with pytest.raises(ValueError, match="numbered"):
        agent.tables()


def test_illegal_actions_are_not_drawn() -> None:
    model = random_walk_model(3, 0.0, 1.0)
    wide = np.zeros((5, 2), bool)
    wide[:, :1] = model.legal
    env_model = replace(model, num_actions=2, legal=wide, action_names=())
    shown: dict[str, Space] = {"obs": spaces.Discrete(5), "action_mask": mask_space(2)}
    spec = EnvSpec("walk", shown, spaces.Discrete(2), 1, model=env_model)
    agent = agent_of(spec, OneHot(spec=spec))
    obs = torch.tensor([1, 2, 3] * 100)
    seen = {"obs": obs, "action_mask": torch.from_numpy(wide)[obs]}
    action = agent.act(seen, (), torch.Generator().manual_seed(0), explore=True).action
    assert action.tolist() == [0] * 300


def test_features_of_pairs_are_refused(tmp_path: Path) -> None:
    overrides = [
        "algo=linear_v",
        "env=gridworld",
        f"runs_dir={tmp_path}",
        "algo.features._target_=rlrun.agents.linear.features.Paired",
    ]
    overrides += ["+algo.features.features._target_=rlrun.agents.linear.features.OneHot"]
    with pytest.raises(UserError, match=r"algo\.features.*Paired"):
        build(load_config(overrides, [config_directory()]))


class TestLinearVContract(AgentContract):
    def make_env(self) -> VecEnv:
        return grid(3)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        del seed
        return agent_of(spec, OneHot(spec=spec), trace_lambda=0.7, bias=True)


class TestLinearVOfVectorsContract(AgentContract):
    def make_env(self) -> VecEnv:
        return ScriptedEnv(num_envs=3)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        del seed
        return agent_of(spec, Flat(spec=spec), trace_lambda=0.7, alpha=0.001)
