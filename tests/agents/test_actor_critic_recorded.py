"""An actor-critic whose updates and acting are recorded is the same agent, bit for bit; in bfloat16 nearly the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch
from test_actor_critic import CPU, actor_critic

from rlrun.agents.advantages import Estimator
from rlrun.compute.execution import Execution, Precision
from rlrun.errors import UserError
from rlrun.loop.collect import Collector
from rlrun.nn.optimizers import Adam, OptimizerFactory, RMSProp
from rlrun.numerics.schedules import Linear
from rlrun.protocols import Agent, VecEnv
from rlrun.testing.agent import AgentContract, same
from rlrun.testing.recorded_operations import RecordedOperations
from rlrun.testing.scripted_env import ScriptedEnv
from rlrun.types import EnvSpec, State

ADAM = Adam(learning_rate=0.1, eps=1e-5)
RMSPROP = RMSProp(learning_rate=0.1, decay=0.9, eps=1e-5, initial_square=1.0)


FALLING = Linear(start=0.1, end=0.0, duration_steps=80, delay_steps=0)  # of the 108 steps that are played
SCHEDULED = RMSProp(learning_rate=FALLING, decay=0.9, eps=1e-5, initial_square=1.0)


SCHEDULES = ("optimizer/learning_rate", "policy/entropy_bonus")


def recorded(precision: Precision = "float32") -> Execution:
    return Execution(CPU, "graphs", precision, RecordedOperations())


class TestRecordedActorCritic(AgentContract):
    def make_env(self) -> VecEnv:
        return ScriptedEnv(2)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        return actor_critic(spec, seed, hidden=[8], advantage="gae", optimizer=RMSPROP, execution=recorded("bfloat16"))


def trained(
    execution: Execution | None,
    *,
    value_updates: int = 2,
    advantage: Estimator = "td",
    optimizer: OptimizerFactory = RMSPROP,
    entropy_bonus: float | Linear = 0.0,
) -> State:
    env = ScriptedEnv(3)
    agent = actor_critic(
        env.spec,
        hidden=[8],
        max_grad_norm=0.01,
        value_updates=value_updates,
        advantage=advantage,
        optimizer=optimizer,
        entropy_bonus=entropy_bonus,
        normalize=True,
        execution=execution,
    )
    collector = Collector(env, agent.collection, CPU, seed=0)
    rollouts, metrics = [], []
    for _ in range(12):
        rollouts.append(collector.collect(agent))
        metrics.append(agent.learn(rollouts[-1]))
    assert len({len(rollout.final_obs) for rollout in rollouts}) > 1  # more and fewer episodes end
    return {"agent": agent.state_dict(), "collector": collector.state_dict(), "metrics": metrics}


@pytest.mark.parametrize("value_updates", [1, 3])
@pytest.mark.parametrize("advantage", ["td", "n_step", "gae"])
def test_a_whole_training_has_the_bits_of_the_plain_one(advantage: Estimator, value_updates: int) -> None:
    states = [trained(each, value_updates=value_updates, advantage=advantage) for each in (None, recorded())]
    assert same(*states)


def test_adam_counts_its_steps_rightly_where_some_of_them_move_the_value_alone() -> None:
    # Counts part in the first update, which is when it is recorded.
    assert same(*(trained(each, value_updates=3, optimizer=ADAM) for each in (None, recorded())))


def test_a_recording_follows_schedules_of_learning_rate_and_entropy() -> None:
    states = [trained(each, optimizer=SCHEDULED, entropy_bonus=FALLING) for each in (None, recorded())]
    assert same(*states)
    rates, bonuses = ([said[name] for said in states[1]["metrics"]] for name in SCHEDULES)
    assert rates == bonuses == pytest.approx([max(0.0, 0.1 - 0.1 * 9 * turn / 80) for turn in range(1, 13)])
    assert not same(states[0]["agent"]["network"], trained(None, entropy_bonus=0.1)["agent"]["network"])


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What each recording that is made gives, by name."""
    recordings: list[list[str]] = []
    record = RecordedOperations.record

    def counted(self: RecordedOperations, function: Callable[[], Mapping[str, torch.Tensor]]) -> Any:
        made = record(self, function)
        recordings.append(sorted(made[1]))
        return made

    monkeypatch.setattr(RecordedOperations, "record", counted)
    return recordings


def test_rollouts_of_one_length_are_one_recording(recordings: list[list[str]]) -> None:
    trained(recorded(), value_updates=1)
    assert recordings == [
        [""],  # acting
        ["grad/norm", "loss/policy", "loss/value", "policy/entropy", "target", "value/mean"],
    ]


def test_updates_from_whole_episodes_are_not_recorded(recordings: list[list[str]]) -> None:
    env = ScriptedEnv(2)
    agent = actor_critic(env.spec, advantage="monte_carlo", optimizer=RMSPROP, execution=recorded())
    before = {name: weight.clone() for name, weight in agent.state_dict()["network"].items()}
    agent.learn(Collector(env, agent.collection, CPU, seed=0).collect(agent))
    assert not same(before, agent.state_dict()["network"])
    assert recordings == [[""]]  # acting


def test_updates_from_whole_episodes_are_not_compiled_for_each_of_their_lengths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(torch, "compile", lambda function, **how: compiled.append(function.__name__))
    actor_critic(advantage="monte_carlo", optimizer=RMSPROP, execution=Execution(CPU, "inductor", "float32", None))
    assert compiled == []
    actor_critic(advantage="td", optimizer=RMSPROP, execution=Execution(CPU, "inductor", "float32", None))
    assert compiled == ["loss_and_gradient"] * 2  # of all, and of the value alone


def test_an_optimizer_whose_steps_cannot_be_recorded_is_refused() -> None:
    with pytest.raises(UserError, match="SGD"):
        actor_critic(execution=recorded())


def test_bfloat16_learns_other_numbers_of_the_same_kind() -> None:
    plain, narrow = trained(None)["agent"]["network"], trained(recorded("bfloat16"))["agent"]["network"]
    assert not same(plain, narrow)
    for name, weight in plain.items():
        assert narrow[name].dtype == torch.float32
        torch.testing.assert_close(weight, narrow[name], rtol=0.1, atol=0.1)


@pytest.mark.parametrize(("advantage", "entropy_bonus"), [("n_step", 0.1), ("monte_carlo", 0.1), ("n_step", FALLING)])
def test_compiled_updates_learn_the_same_but_for_rounding(
    advantage: Estimator, entropy_bonus: float | Linear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))  # no C++ compiler: quick
    states = []
    for execution in (None, Execution(CPU, "inductor", "float32", None)):
        env = ScriptedEnv(2)
        agent = actor_critic(
            env.spec,
            hidden=[8],
            advantage=advantage,
            entropy_bonus=entropy_bonus,
            optimizer=SCHEDULED,
            execution=execution,
        )
        collector = Collector(env, agent.collection, CPU, seed=0)
        for _ in range(4):
            agent.learn(collector.collect(agent))
        states.append(agent.state_dict()["network"])
    for name, weight in states[0].items():
        torch.testing.assert_close(weight, states[1][name], rtol=1e-4, atol=1e-6)
