import copy
from pathlib import Path
from typing import Literal

import pytest
import torch

from rlrun.agents.dqn import DQN, TargetSettings
from rlrun.agents.exploration import ExplorationSettings
from rlrun.compute.execution import Execution
from rlrun.errors import ArgumentError, UserError
from rlrun.loop.collect import Collector
from rlrun.nn.optimizers import Adam, LearningRate
from rlrun.nn.trunks import MLP
from rlrun.numerics.schedules import Constant, Linear, Schedule
from rlrun.protocols import Agent, VecEnv
from rlrun.replay.settings import ReplaySettings
from rlrun.testing.agent import AgentContract
from rlrun.testing.scripted_env import ScriptedEnv
from rlrun.types import Batch, EnvSpec, Rollout

CPU = torch.device("cpu")


def dqn(
    spec: EnvSpec,
    seed: int = 0,
    *,
    target_period_steps: int | None = 20,
    double: bool = False,
    dueling: bool = False,
    n_step: int = 1,
    reward_clip: float | None = None,
    replay_ratio: float = 4.0,
    learning_starts_steps: int = 8,
    batch_size: int = 8,
    epsilon: Schedule | None = None,
    replay_storage: Literal["memory", "disk"] = "memory",
    execution: Execution | None = None,
    learning_rate: LearningRate = 1e-3,
) -> DQN:
    return DQN(
        optimizer=Adam(learning_rate=learning_rate, eps=1e-8),
        gamma=0.9,
        n_step=n_step,
        rollout_steps=4,
        dueling=dueling,
        loss="huber",
        huber_delta=1.0,
        reward_clip=reward_clip,
        max_grad_norm=10.0,
        replay=ReplaySettings(
            capacity_steps=64,
            batch_size=batch_size,
            ratio=replay_ratio,
            learning_starts_steps=learning_starts_steps,
            storage=replay_storage,
            folder=None,
        ),
        target=TargetSettings(period_steps=target_period_steps, double=double),
        exploration=ExplorationSettings(epsilon=epsilon or Constant(value=0.2)),
        spec=spec,
        device=CPU,
        seed=seed,
        directory=Path(),
        network=MLP(hidden=[16], activation="relu"),
        execution=execution,
    )


class TestDQN(AgentContract):
    def make_env(self) -> VecEnv:
        return ScriptedEnv(2)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        return dqn(spec, seed)


class TestDQNWithEveryOption(AgentContract):
    def make_env(self) -> VecEnv:
        return ScriptedEnv(2)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        return dqn(spec, seed, target_period_steps=None, double=True, dueling=True, n_step=3, reward_clip=1.0)


def rollouts(agent: DQN, env: VecEnv, turns: int) -> list[Rollout]:
    collector = Collector(env, agent.collection, CPU, seed=0)
    return [collector.collect(agent) for _ in range(turns)]


def seen_updates(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Batch, torch.Tensor]]:
    """What every update learns from, as they are made: the batch, and what the target network says of it."""
    seen: list[tuple[Batch, torch.Tensor]] = []
    loss = DQN.loss

    def watched(self: DQN, batch: Batch, next_q: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        seen.append((batch, next_q))
        return loss(self, batch, next_q)

    monkeypatch.setattr(DQN, "loss", watched)
    return seen


@pytest.mark.parametrize(("num_envs", "replay_ratio"), [(1, 8.0), (2, 8.0), (3, 2.0), (1, 0.5)])
def test_the_replay_ratio_is_kept_whatever_the_number_of_environments(
    num_envs: int, replay_ratio: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = ScriptedEnv(num_envs)
    batches = seen_updates(monkeypatch)
    agent = dqn(env.spec, replay_ratio=replay_ratio, learning_starts_steps=4 * num_envs)
    for rollout in rollouts(agent, env, turns=20):
        agent.learn(rollout)
    assert len(batches) == int(20 * 4 * num_envs * replay_ratio / 8)


def test_nothing_is_learned_before_learning_starts_and_no_burst_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    env = ScriptedEnv(1)
    batches = seen_updates(monkeypatch)
    agent = dqn(env.spec, learning_starts_steps=12, replay_ratio=8.0)
    counts = []
    for rollout in rollouts(agent, env, turns=4):
        agent.learn(rollout)
        counts.append(len(batches))
    assert counts == [0, 0, 4, 8]


def test_rewards_are_clipped_for_learning_only(monkeypatch: pytest.MonkeyPatch) -> None:
    env = ScriptedEnv(1)
    batches = seen_updates(monkeypatch)
    agent = dqn(env.spec, reward_clip=2.0)
    played = rollouts(agent, env, turns=3)
    for rollout in played:
        agent.learn(rollout)
    assert torch.cat([batch.reward for batch, _ in batches]).max() == 2.0
    assert max(rollout.reward.max() for rollout in played) > 10.0
    assert max(rollout.episodes.returns.max(initial=0.0) for rollout in played) > 10.0


def test_the_target_network_is_refreshed_when_its_period_in_steps_is_crossed() -> None:
    env = ScriptedEnv(1)
    agent = dqn(env.spec, target_period_steps=10)
    refreshed = []
    for rollout in rollouts(agent, env, turns=6):
        agent.learn(rollout)
        state = agent.state_dict()
        refreshed.append(all(torch.equal(state["q"][name], state["target"][name]) for name in state["q"]))
    # After 4 steps nothing was learned yet, so both are still the first network; 10 and 20 are crossed at 12 and 20.
    assert refreshed == [True, False, True, False, True, False]


def test_the_loss_is_the_distance_from_the_hand_worked_target() -> None:
    agent = dqn(ScriptedEnv(1).spec)
    obs = torch.tensor([[0.0, 0.0, 0.0]])
    next_obs = torch.tensor([[0.0, 0.0, 1.0]])
    ones = torch.ones(1)
    action = torch.tensor([1])
    next_q = agent.q_values(next_obs)
    expected = 3.0 + 0.9 * next_q.max()
    before = agent.q_values(obs)[0, 1]
    batch = Batch(obs, action, 3.0 * ones, 0.9 * ones, next_obs, ones, torch.zeros(1, dtype=torch.int64))
    loss, said = agent.loss(batch, next_q)
    error = expected - before
    assert said["value/target_mean"].item() == pytest.approx(expected.item(), rel=1e-6)
    assert loss.item() == pytest.approx((error.abs() - 0.5).item(), rel=1e-5)  # Huber beyond 1
    assert said["loss/td"].item() == loss.item()


def test_one_update_moves_q_towards_its_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    env = ScriptedEnv(2)
    seen = seen_updates(monkeypatch)
    agent = dqn(env.spec, replay_ratio=1.0)  # 8 steps, batch 8
    before = copy.deepcopy(agent.state_dict())
    agent.learn(rollouts(agent, env, turns=1)[0])
    ((batch, next_q),) = seen
    losses = []
    for state in (before, agent.state_dict()):
        judge = dqn(env.spec)
        judge.load_state_dict(state)
        losses.append(judge.loss(batch, next_q)[0].item())
    assert losses[1] < losses[0]


def test_double_q_learning_values_the_choice_of_the_online_network() -> None:
    spec = ScriptedEnv(1).spec
    agent = dqn(spec, double=True, target_period_steps=1000)
    next_obs = torch.tensor([[0.0, 1.0, 1.0]])
    state = agent.state_dict()
    # Online prefers action 0, the target network values it at -5 and the other at +7.
    state["q"]["1.1.bias"] = torch.tensor([100.0, -100.0])
    agent.load_state_dict(state)
    ones = torch.ones(1)
    batch = Batch(next_obs, torch.tensor([0]), ones, 0.5 * ones, next_obs, ones, torch.zeros(1, dtype=torch.int64))
    _, said = agent.loss(batch, torch.tensor([[-5.0, 7.0]]))
    assert said["value/target_mean"].item() == pytest.approx(1.0 - 2.5)


@pytest.mark.parametrize("target_period_steps", [1000, None])
def test_what_the_target_network_says_of_batches_drawn_together_is_what_it_says_of_each(
    monkeypatch: pytest.MonkeyPatch, target_period_steps: int | None
) -> None:
    env = ScriptedEnv(2)
    seen = seen_updates(monkeypatch)
    agent = dqn(env.spec, replay_ratio=100.0, target_period_steps=target_period_steps)  # 8 steps, batch 8
    target = dqn(env.spec, target_period_steps=target_period_steps)
    state = copy.deepcopy(agent.state_dict())
    target.load_state_dict(state | {"q": state["target"] or state["q"]})
    agent.learn(rollouts(agent, env, turns=1)[0])
    assert len(seen) == 100
    agree = [torch.allclose(next_q, target.q_values(batch.next_obs), rtol=1e-6, atol=1e-6) for batch, next_q in seen]
    assert all(agree) is (target_period_steps is not None)  # without one it is the network itself, of that moment
    assert agree[0]


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("updates", [1, 100])
def test_updates_drawn_together_are_those_drawn_one_by_one(
    monkeypatch: pytest.MonkeyPatch, updates: int, double: bool
) -> None:
    weights = []
    for together in (1 << 24, 1):
        monkeypatch.setattr("rlrun.compute.ahead._BYTES", together)
        env = ScriptedEnv(2)
        agent = dqn(env.spec, replay_ratio=float(updates), target_period_steps=1000, double=double)  # 8 steps, batch 8
        agent.learn(rollouts(agent, env, turns=1)[0])
        weights.append(agent.state_dict()["q"])
    for name, weight in weights[0].items():
        torch.testing.assert_close(weight, weights[1][name], rtol=1e-4, atol=1e-6)


def test_epsilon_follows_the_agent_steps_that_were_learned_from() -> None:
    env = ScriptedEnv(2)
    agent = dqn(env.spec, epsilon=Linear(start=1.0, end=0.0, duration_steps=32, delay_steps=0))
    epsilons = [float(agent.learn(rollout)["policy/epsilon"]) for rollout in rollouts(agent, env, turns=5)]
    assert epsilons == [0.75, 0.5, 0.25, 0.0, 0.0]


def test_evaluation_is_greedy_when_its_epsilon_is_zero() -> None:
    env = ScriptedEnv(2)
    agent = dqn(env.spec)
    obs = torch.rand(100, 3)
    action = agent.act(obs, (), torch.Generator(), explore=False).action
    assert torch.equal(action, agent.q_values(obs).argmax(dim=1))


def test_a_batch_larger_than_the_replay_is_refused() -> None:
    with pytest.raises(UserError, match=r"^batch_size=65 .*capacity_steps=64"):
        dqn(ScriptedEnv(1).spec, batch_size=65)


def test_learning_before_one_window_is_complete_is_refused() -> None:
    with pytest.raises(ArgumentError, match="=8 ") as raised:
        dqn(ScriptedEnv(4).spec, n_step=3, learning_starts_steps=8)
    assert raised.value.key == "replay.learning_starts_steps"
