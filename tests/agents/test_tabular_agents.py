"""Q-learning, Sarsa and TD: against the textbook's loops, step by step, and against exact values."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium_env import gymnasium_env
from planners import CPU, planner, solve

from rlrun.agents.tables.td import TD
from rlrun.agents.tables.td_control import TDControl
from rlrun.envs.gridworld import GridWorld
from rlrun.envs.mdp_file import MdpEnv
from rlrun.errors import DoesNotFitError
from rlrun.loop.collect import Collector
from rlrun.numerics.schedules import Constant
from rlrun.protocols import Agent, VecEnv
from rlrun.testing.agent import AgentContract
from rlrun.types import EnvSpec, Episodes, Float64Array, Rollout

STEPS = 1000  # of comparisons step by step: about 150 episodes, a third of which meet the time limit


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


def q_learning(spec: EnvSpec, **changes: Any) -> TDControl:
    numbers: dict[str, Any] = {"bootstrap": "max", "gamma": 0.9, "alpha": 0.5, "alpha_power": 0.0, "initial_q": 0.0}
    numbers["rollout_steps"] = 1
    epsilon = Constant(value=changes.pop("epsilon", 0.3))
    return TDControl(epsilon=epsilon, spec=spec, device=CPU, **numbers | changes)


def sarsa(spec: EnvSpec, **changes: Any) -> TDControl:
    return q_learning(spec, bootstrap="next_action", **changes)


def expected_sarsa(spec: EnvSpec, **changes: Any) -> TDControl:
    return q_learning(spec, bootstrap="expected", **changes)


def td(spec: EnvSpec, **changes: Any) -> TD:
    numbers: dict[str, Any] = {
        "policy": "uniform",
        "gamma": 0.9,
        "alpha": 0.5,
        "alpha_power": 0.0,
        "trace_lambda": 0.0,
        "iterate_average": False,
        "sample_average": True,
        "initial_value": 0.0,
    }
    return TD(spec=spec, device=CPU, **numbers | changes)


def play(agent: Agent, env: VecEnv, turns: int, seed: int = 0) -> list[Rollout]:
    collector = Collector(env, agent.collection, CPU, seed)
    rollouts = []
    for _ in range(turns):
        rollouts.append(collector.collect(agent))
        agent.learn(rollouts[-1])
    return rollouts


def steps_of(rollouts: list[Rollout]) -> list[tuple[int, int, float, float, int, bool]]:
    """(s, a, r, discount, s', last) of the only slot."""
    return [
        (
            int(rollout.obs[t, 0]),
            int(rollout.action[t, 0]),
            float(rollout.reward[t, 0]),
            float(rollout.discount[t, 0]),
            int(rollout.next_obs[t, 0]),
            bool(rollout.last[t, 0]),
        )
        for rollout in rollouts
        for t in range(len(rollout.action))
    ]


def test_q_learning_in_one_environment_is_the_textbooks_loop_bit_for_bit() -> None:
    env = grid()
    agent = q_learning(env.spec)
    plain = np.zeros((12, 4))
    steps = steps_of(play(agent, env, STEPS))
    for s, a, r, d, n, _ in steps:
        plain[s, a] += 0.5 * (r + 0.9 * d * plain[n].max() - plain[s, a])
    legal = env.spec.model.legal if env.spec.model else None
    assert legal is not None
    assert sum(last for *_, last in steps) > 100
    assert any(last and d == 1.0 for _, _, _, d, _, last in steps), "no time limit was met"
    assert agent.tables().q[legal].tolist() == plain[legal].tolist()
    visits = agent.tables().visits
    assert visits is not None
    assert visits.sum() == STEPS


def epsilon_greedy(q: Float64Array) -> Float64Array:
    best = q == q.max()
    shares: Float64Array = 0.3 / 4 + 0.7 * best / best.sum()
    return shares


@pytest.mark.parametrize("rollout_steps", [1, 4])
def test_sarsa_in_one_environment_is_the_textbooks_loop(rollout_steps: int) -> None:
    env = grid()
    agent = sarsa(env.spec, rollout_steps=rollout_steps)
    plain = np.zeros((12, 4))
    steps = steps_of(play(agent, env, STEPS // rollout_steps))
    assert len(steps) == STEPS
    for (s, a, r, d, n, last), following in itertools.zip_longest(steps, steps[1:]):
        # At the time limit no choice is made: its expectation under epsilon-greedy stands in for it.
        if last:
            ahead = epsilon_greedy(plain[n]) @ plain[n]
        elif following is not None:
            ahead = plain[n, following[1]]
        else:
            continue  # its next action is not known yet
        plain[s, a] += 0.5 * (r + 0.9 * d * ahead - plain[s, a])
    model = env.spec.model
    assert model is not None
    np.testing.assert_allclose(agent.tables().q[model.legal], plain[model.legal], rtol=1e-12, atol=1e-12)


def test_expected_sarsa_in_one_environment_is_the_textbooks_loop() -> None:
    env = grid()
    agent = expected_sarsa(env.spec)
    plain = np.zeros((12, 4))
    for s, a, r, d, n, _ in steps_of(play(agent, env, STEPS)):
        plain[s, a] += 0.5 * (r + 0.9 * d * (epsilon_greedy(plain[n]) @ plain[n]) - plain[s, a])
    model = env.spec.model
    assert model is not None
    np.testing.assert_allclose(agent.tables().q[model.legal], plain[model.legal], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("trace_lambda", [0.0, 0.7])
def test_td_in_one_environment_is_the_textbooks_loop(trace_lambda: float) -> None:
    env = grid()
    agent = td(env.spec, trace_lambda=trace_lambda, alpha=0.1)
    plain, trace = np.zeros(12), np.zeros(12)
    for s, _, r, d, n, last in steps_of(play(agent, env, STEPS)):
        error = r + 0.9 * d * plain[n] - plain[s]
        trace = 0.9 * trace_lambda * trace
        trace[s] += 1.0
        plain += 0.1 * error * trace
        if last:
            trace[:] = 0.0
    np.testing.assert_allclose(agent.tables().values, plain, rtol=1e-10, atol=1e-12)


def test_the_iterate_average_weights_the_nth_estimate_by_n() -> None:
    env = grid()
    plain, agent = td(env.spec, alpha_power=0.6), td(env.spec, alpha_power=0.6, iterate_average=True)
    collector = Collector(env, plain.collection, CPU, 0)
    estimates: dict[int, list[float]] = {}
    for _ in range(STEPS):
        rollout = collector.collect(plain)
        plain.learn(rollout)
        agent.learn(rollout)
        state = int(rollout.obs[0, 0])
        estimates.setdefault(state, []).append(float(plain.tables().values[state]))
    assert sum(len(seen) >= 20 for seen in estimates.values()) >= 5, "too few visits to tell weights apart"
    for state, seen in estimates.items():
        expected = np.average(seen, weights=np.arange(1, len(seen) + 1))
        assert agent.tables().values[state] == pytest.approx(expected, rel=1e-9)


def test_the_sample_average_is_the_mean_of_the_returns_of_whole_episodes() -> None:
    env = grid()
    agent = td(env.spec)
    returns: dict[int, list[float]] = {}
    episode: list[tuple[int, float]] = []
    for s, _, r, d, _, last in steps_of(play(agent, env, STEPS)):
        episode.append((s, r))
        if last:
            total = 0.0
            for state, reward in reversed(episode):
                total = reward + 0.9 * total
                if d == 0.0:
                    returns.setdefault(state, []).append(total)
            episode = []
    averages = agent.sample_averages()
    assert len(returns) >= 10
    for state, seen in returns.items():
        assert float(averages[state]) == pytest.approx(np.mean(seen), rel=1e-9)


def test_the_mean_return_of_the_start_is_reported_once_every_start_has_one() -> None:
    env = MdpEnv(mdp="racing_car", observation="index", max_episode_steps=100, num_envs=1)
    agent = td(env.spec, gamma=0.9)
    collector = Collector(env, agent.collection, CPU, 0)
    returns: list[float] = []
    episode: list[tuple[int, float]] = []
    silent = 0
    for _ in range(300):
        rollout = collector.collect(agent)
        metrics = agent.learn(rollout)
        ((s, _, r, d, _, last),) = steps_of([rollout])
        episode.append((s, r))
        if last:
            total = 0.0
            for state, reward in reversed(episode):
                total = reward + 0.9 * total
                if d == 0.0 and state == 0:  # episodes begin in the first state
                    returns.append(total)
            episode = []
        if returns:
            assert float(metrics["value/start_sample_average"]) == pytest.approx(np.mean(returns), rel=1e-9)
        else:
            assert "value/start_sample_average" not in metrics
            silent += 1
    assert silent > 0
    assert len(returns) > 10
    again = td(env.spec, gamma=0.9)
    again.load_state_dict(agent.state_dict())
    assert "value/start_sample_average" in again.learn(collector.collect(again))


def test_a_continuing_task_has_no_mean_return() -> None:
    env = grid(4, map="sutton_5x5", step_reward=0.0, max_episode_steps=20)
    agent = td(env.spec)
    collector = Collector(env, agent.collection, CPU, 0)
    for _ in range(200):
        assert "value/start_sample_average" not in agent.learn(collector.collect(agent))
    averages = agent.tables().sample_averages
    assert averages is not None
    assert np.isnan(averages).all()


def test_traces_of_several_slots_add_up_their_changes() -> None:
    env = grid(2, map="lecture", step_reward=-1.0, max_episode_steps=50)
    plain, traced = td(env.spec, alpha=0.5), td(env.spec, alpha=0.5, trace_lambda=0.5)
    state = torch.tensor([[5, 5]])
    rollout = Rollout(
        obs_sequence=torch.cat([state, torch.tensor([[6, 9]])]),
        final_obs=torch.zeros(0, dtype=torch.int64),
        action=torch.zeros(1, 2, dtype=torch.int64),
        reward=torch.full((1, 2), -1.0),
        discount=torch.ones(1, 2),
        last=torch.zeros(1, 2, dtype=torch.bool),
        mask=torch.ones(1, 2, dtype=torch.bool),
        extras={},
        episodes=Episodes.none(),
        num_steps=2,
    )
    plain.learn(rollout)
    traced.learn(rollout)
    assert plain.tables().values[5] == -0.75  # half way to -1, twice
    assert traced.tables().values[5] == -1.0  # half of -1, twice


def test_many_environments_learn_what_one_learns() -> None:
    env = grid(64, map="lecture", step_reward=-1.0, max_episode_steps=100)
    agent = q_learning(env.spec, gamma=1.0, alpha=0.2, epsilon=0.3)
    play(agent, env, 600)
    best = planner("value_iteration", env.spec)
    solve(best)
    np.testing.assert_allclose(agent.tables().values, best.tables().values, atol=1e-6)


def test_td_finds_the_values_of_the_random_policy() -> None:
    env = grid(20, map="lecture", step_reward=-1.0, max_episode_steps=1000)
    exact = planner("policy_evaluation", env.spec, gamma=0.9)
    solve(exact)
    agent = td(env.spec, gamma=0.9, alpha=1.0, alpha_power=0.6)
    play(agent, env, 1500)
    np.testing.assert_allclose(agent.tables().values, exact.tables().values, atol=0.3)  # of up to -7.7


def test_a_decaying_step_size_finds_the_values_of_noisy_outcomes() -> None:
    env = MdpEnv(mdp="racing_car", observation="index", max_episode_steps=100, num_envs=400)
    agent = q_learning(env.spec, gamma=0.5, alpha=1.0, alpha_power=0.7, epsilon=0.5)
    play(agent, env, 500)
    np.testing.assert_allclose(agent.tables().values, [3.5, 2.5, 0.0], atol=0.05)
    np.testing.assert_array_equal(agent.tables().policy, [[0, 1], [1, 0], [0, 0]])


def test_illegal_actions_are_never_chosen() -> None:
    env = grid(32, map="karpathy_10x10", step_reward=0.0, max_episode_steps=50)
    model = env.spec.model
    assert model is not None
    assert not model.legal.all()
    for agent in (q_learning(env.spec, epsilon=1.0), sarsa(env.spec, epsilon=0.5)):
        for rollout in play(agent, env, 100):
            assert model.legal[rollout.obs["obs"].numpy(), rollout.action.numpy()].all()
        assert np.isfinite(agent.tables().q[model.legal]).all()


@pytest.mark.parametrize("algo", [q_learning, sarsa])
def test_the_tables_policy_is_the_one_that_is_evaluated(algo: Any) -> None:
    """Ties, states never seen, and illegal actions included."""
    env = grid(8, map="karpathy_10x10", max_episode_steps=50)
    model = env.spec.model
    assert model is not None
    agent = algo(env.spec)
    play(agent, env, 60)
    policy, q = agent.tables().policy, agent.tables().q
    (playable,) = np.nonzero(model.legal.any(axis=1))
    best = (q == q.max(axis=1, keepdims=True))[playable]
    assert {1, 4} <= set(best.sum(axis=1).tolist()), "there must be states with and without ties"
    draws = 4_000
    obs = torch.from_numpy(playable).repeat(draws)
    shown = {"obs": obs, "action_mask": torch.from_numpy(model.legal)[obs]}
    action = agent.act(shown, (), torch.Generator().manual_seed(0), explore=False).action.numpy()
    share = np.zeros(model.legal.shape)
    np.add.at(share, (obs.numpy(), action), 1.0 / draws)
    assert (share[~model.legal] == 0.0).all()
    np.testing.assert_allclose(share, policy, atol=5 * (0.25 / draws) ** 0.5)
    np.testing.assert_allclose(policy[playable].sum(axis=1), 1.0)
    np.testing.assert_allclose(policy[playable], best / best.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("algo", [q_learning, sarsa])
def test_where_only_the_goal_pays_ties_do_not_keep_it_from_the_goal(algo: Any, seed: int) -> None:
    """With the first of tied actions it saw no reward in 15,000 steps; with any of them it is found in 100 to 800."""
    env = gymnasium_env("FrozenLake-v1", max_episode_steps=100)
    agent = algo(env.spec, alpha=0.1, gamma=0.99, epsilon=0.1)
    collector = Collector(env, agent.collection, CPU, seed)
    earned, steps = 0.0, 0
    while earned == 0.0 and steps < 3_000:
        rollout = collector.collect(agent)
        agent.learn(rollout)
        earned, steps = float(rollout.reward.sum()), steps + 1
    assert earned == 1.0
    env.close()


def test_states_that_look_alike_share_a_row() -> None:
    env = MdpEnv(mdp="short_corridor", observation="index", max_episode_steps=200, num_envs=4)
    agent = q_learning(env.spec, gamma=1.0)
    play(agent, env, 50)
    assert agent.tables().q.shape == (2, 2)


def test_a_table_of_pictures_is_refused_in_words() -> None:
    spec = grid(observation="one_hot").spec
    for make in (q_learning, sarsa, td):
        with pytest.raises(DoesNotFitError, match="state numbers"):
            make(spec)


def test_another_runs_policy_can_be_evaluated(tmp_path: Path) -> None:
    env = grid(8, map="lecture", step_reward=-1.0, max_episode_steps=100)
    (tmp_path / "policy.yaml").write_text(
        "".join(f"{state}: {'west' if state % 4 else 'north'}\n" for state in range(1, 15))
    )
    agent = td(env.spec, policy=str(tmp_path / "policy.yaml"), gamma=1.0)
    play(agent, env, 400)
    distance = [row + column for row in range(4) for column in range(4)]
    np.testing.assert_allclose(agent.tables().values[:15], -np.array(distance[:15], float), atol=1e-6)


class TestQLearningContract(AgentContract):
    def make_env(self) -> VecEnv:
        return grid(3)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        del seed
        return q_learning(spec, rollout_steps=4)


class TestSarsaContract(TestQLearningContract):
    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        del seed
        return sarsa(spec, rollout_steps=2)


class TestExpectedSarsaContract(TestQLearningContract):
    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        del seed
        return expected_sarsa(spec)


class TestTDContract(TestQLearningContract):
    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        del seed
        return td(spec, trace_lambda=0.5, iterate_average=True)
