"""An actor-critic whose acting is recorded is the same agent, bit for bit; in bfloat16 nearly the same."""

from __future__ import annotations

import torch
from test_actor_critic import CPU, actor_critic

from rlrun.collect import Collector
from rlrun.execution.execution import Execution, Precision
from rlrun.protocols import Agent, VecEnv
from rlrun.testing.agent import AgentContract, same
from rlrun.testing.recorded_operations import RecordedOperations
from rlrun.testing.scripted_env import ScriptedEnv
from rlrun.types import EnvSpec, State


def recorded(precision: Precision = "float32") -> Execution:
    return Execution(CPU, "graphs", precision, RecordedOperations())


class TestRecordedActorCritic(AgentContract):
    def make_env(self) -> VecEnv:
        return ScriptedEnv(2)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        return actor_critic(spec, seed, hidden=[8], advantage="gae", execution=recorded("bfloat16"))


def trained(execution: Execution | None) -> State:
    env = ScriptedEnv(3)
    agent = actor_critic(env.spec, hidden=[8], max_grad_norm=0.01, value_updates=2, execution=execution)
    collector = Collector(env, agent.collection, CPU, seed=0)
    for _ in range(12):
        agent.learn(collector.collect(agent))
    return {"agent": agent.state_dict(), "collector": collector.state_dict()}


def test_a_whole_training_has_the_bits_of_the_plain_one() -> None:
    assert same(trained(None), trained(recorded()))


def test_bfloat16_learns_other_numbers_of_the_same_kind() -> None:
    plain, narrow = trained(None)["agent"]["network"], trained(recorded("bfloat16"))["agent"]["network"]
    assert not same(plain, narrow)
    for name, weight in plain.items():
        assert narrow[name].dtype == torch.float32
        torch.testing.assert_close(weight, narrow[name], rtol=0.1, atol=0.1)
