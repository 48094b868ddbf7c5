"""DQN whose updates and acting are recorded is the same agent, bit for bit."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from test_dqn import CPU, dqn, rollouts

from rlrun.compute.execution import Execution, Precision
from rlrun.loop.collect import Collector
from rlrun.numerics.schedules import Linear
from rlrun.protocols import Agent, VecEnv
from rlrun.testing.agent import AgentContract, same
from rlrun.testing.recorded_operations import RecordedOperations
from rlrun.testing.replay import Player
from rlrun.testing.scripted_env import ScriptedEnv
from rlrun.types import EnvSpec


def recorded(precision: Precision = "float32") -> Execution:
    return Execution(CPU, "graphs", precision, RecordedOperations())


class TestRecordedDQN(AgentContract):
    def make_env(self) -> VecEnv:
        return ScriptedEnv(2)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        return dqn(spec, seed, execution=recorded())


class TestRecordedDQNWithEveryOption(AgentContract):
    def make_env(self) -> VecEnv:
        return ScriptedEnv(2)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        return dqn(
            spec,
            seed,
            target_period_steps=None,
            double=True,
            dueling=True,
            n_step=3,
            reward_clip=1.0,
            execution=recorded("bfloat16"),
        )


@pytest.mark.parametrize("replay_ratio", [4.0, 2.5])
@pytest.mark.parametrize("double", [False, True])
def test_a_whole_training_has_the_bits_of_the_plain_one(double: bool, replay_ratio: float) -> None:
    states = []
    for execution in (None, recorded()):
        env = ScriptedEnv(3)
        agent = dqn(env.spec, double=double, n_step=2, replay_ratio=replay_ratio, execution=execution)
        collector = Collector(env, agent.collection, CPU, seed=0)
        metrics = [agent.learn(collector.collect(agent)) for _ in range(25)]
        states.append({"agent": agent.state_dict(), "collector": collector.state_dict(), "metrics": metrics})
    assert same(*states)


def test_a_recording_follows_the_schedule_of_the_learning_rate() -> None:
    falling = Linear(start=0.01, end=0.0, duration_steps=40, delay_steps=0)
    states = []
    for execution, rate in ((None, falling), (recorded(), falling), (None, 0.01)):
        env = ScriptedEnv(3)
        agent = dqn(env.spec, learning_rate=rate, execution=execution)
        collector = Collector(env, agent.collection, CPU, seed=0)
        steps, rates = 0, []
        for _ in range(12):
            rollout = collector.collect(agent)
            steps += rollout.num_steps
            said = agent.learn(rollout)
            rates.append((steps, said.get("optimizer/learning_rate")))
        states.append(agent.state_dict()["q"])
        if rate is falling:
            assert [rate for _, rate in rates] == pytest.approx([max(0.0, 0.01 - 0.01 * n / 40) for n, _ in rates])
            assert rates[-1][1] == 0.0
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


@pytest.mark.parametrize("n_step", [1, 3])
def test_so_has_one_on_stacked_frames(n_step: int) -> None:
    states = []
    for execution in (None, recorded()):
        player = Player(2, 4, seed=0)
        agent = dqn(player.spec, n_step=n_step, execution=execution)
        metrics = [agent.learn(player.play(4)) for _ in range(40)]
        states.append({"agent": agent.state_dict(), "metrics": metrics})
    assert same(*states)


def test_resuming_in_the_middle_of_recorded_training_has_the_bits_of_going_on() -> None:
    player = Player(2, 4, seed=1)
    played = [player.play(4) for _ in range(30)]
    whole, first, resumed = (dqn(player.spec, execution=recorded()) for _ in range(3))
    for rollout in played:
        whole.learn(rollout)
    for rollout in played[:15]:
        first.learn(rollout)
    resumed.learn(played[0])
    resumed.learn(played[1])
    resumed.learn(played[2])  # has recordings of its own already, and memory of another state
    resumed.load_state_dict(first.state_dict())
    for rollout in played[15:]:
        resumed.learn(rollout)
    assert same(whole.state_dict(), resumed.state_dict())


def test_metrics_are_not_overwritten_by_later_updates() -> None:
    env = ScriptedEnv(2)
    agent = dqn(env.spec, execution=recorded())
    losses = [agent.learn(rollout)["loss/td"] for rollout in rollouts(agent, env, turns=6)]
    assert len({float(loss) for loss in losses}) == len(losses)


def test_the_numbers_of_recorded_updates_do_not_stay_those_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python is out of the way: after the recordings were made, no line of `loss` is run any more."""
    env = ScriptedEnv(2)
    agent = dqn(env.spec, execution=recorded())
    played = rollouts(agent, env, turns=8)
    for rollout in played[:4]:
        agent.learn(rollout)
    monkeypatch.setattr("rlrun.agents.dqn.q_td_target", None)
    before = {name: weight.clone() for name, weight in agent.state_dict()["q"].items()}
    agent.learn(played[4])
    assert all(not torch.equal(before[name], weight) for name, weight in agent.state_dict()["q"].items())


def test_updates_from_a_replay_on_disk_can_be_recorded() -> None:
    env = ScriptedEnv(2)
    agents = [dqn(env.spec, replay_storage=storage, execution=recorded()) for storage in ("memory", "disk")]
    for rollout in rollouts(agents[0], env, turns=5):
        for agent in agents:
            agent.learn(rollout)
    assert same(*(agent.state_dict()["q"] for agent in agents))


def test_bfloat16_learns_nearly_the_same() -> None:
    weights = []
    for precision in ("float32", "bfloat16"):
        env = ScriptedEnv(2)
        agent = dqn(env.spec, execution=Execution(CPU, "none", precision, None))
        for rollout in rollouts(agent, env, turns=5):
            agent.learn(rollout)
        weights.append(agent.state_dict()["q"])
    assert not same(*weights)
    for name in weights[0]:
        assert weights[1][name].dtype == torch.float32
        torch.testing.assert_close(weights[0][name], weights[1][name], rtol=0.05, atol=0.02)


def assert_inductor_learns_the_same(*, dueling: bool) -> None:
    """But for rounding."""
    states = []
    for execution in (None, Execution(CPU, "inductor", "float32", None)):
        env = ScriptedEnv(2)
        agent = dqn(env.spec, double=True, dueling=dueling, execution=execution)
        collector = Collector(env, agent.collection, CPU, seed=0)
        for _ in range(6):
            agent.learn(collector.collect(agent))
        states.append(agent.state_dict()["q"])
    for name, weight in states[0].items():
        torch.testing.assert_close(weight, states[1][name], rtol=1e-4, atol=1e-6)


def test_loss_and_gradient_compile_as_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))  # no C++ compiler: quick
    assert_inductor_learns_the_same(dueling=False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when it imports its compiler
def test_inductor_learns_the_same_but_for_rounding() -> None:
    assert_inductor_learns_the_same(dueling=True)
