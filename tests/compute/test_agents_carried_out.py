"""What agents ask for is done: which of their functions are recorded, compiled and computed in bfloat16."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rlrun.agents.actor_critic import ActorCritic
from rlrun.agents.dqn import DQN
from rlrun.build import instantiate
from rlrun.compute.ahead import batches_at_once
from rlrun.compute.execution import Compile, Execution, Precision
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.loop.collect import Collector
from rlrun.nn.networks import PolicyValue
from rlrun.testing.recorded_operations import RecordedOperations
from rlrun.testing.scripted_env import ScriptedEnv

CPU = torch.device("cpu")
OVERRIDES = {
    "dqn": ["algo.replay.learning_starts_steps=8", "algo.replay.batch_size=8", "algo.replay.capacity_steps=64"],
    "actor_critic": ["algo.value.shared=false", "algo.value.updates=2", "algo.advantage.rollout_steps=4"],
}
OBS = torch.ones(3, 3)


class Counting(RecordedOperations):
    """How often something is recorded."""

    made = 0

    def record(self, function: Callable[[], Mapping[str, Tensor]]) -> tuple[Callable[[], None], Mapping[str, Tensor]]:
        self.made += 1
        return super().record(function)


def built(
    algo: str,
    compile: Compile = "none",  # noqa: A002
    precision: Precision = "float32",
    recorder: Counting | None = None,
) -> Any:
    overrides = [
        f"algo={algo}",
        "env=cartpole",
        "preset=null",
        "network=mlp",
        "algo.network.hidden=[8,8]",
        *OVERRIDES[algo],
    ]
    config = load_config(overrides, [config_directory()])
    runtime = {
        "spec": ScriptedEnv(2).spec,
        "device": CPU,
        "seed": 0,
        "directory": Path(),
        "execution": Execution(CPU, compile, precision, recorder),
    }
    return instantiate(config.algo, runtime)


def learn(agent: Any, collector: Collector | None = None) -> Collector:
    """Five turns; returns what collects."""
    collector = collector or Collector(ScriptedEnv(2), agent.collection, CPU, seed=0)
    for _ in range(5):
        agent.learn(collector.collect(agent))
    return collector


def act(agent: DQN | ActorCritic) -> None:
    agent.act(OBS, (), torch.Generator().manual_seed(0), explore=False)


@pytest.mark.parametrize("algo", OVERRIDES)
def test_acting_is_recorded_once_for_each_number_of_environments(algo: str) -> None:
    recorder = Counting()
    agent = built(algo, "graphs", recorder=recorder)
    act(agent)
    assert recorder.made == 1
    act(agent)
    assert recorder.made == 1
    agent.act(OBS[:1], (), torch.Generator().manual_seed(0), explore=False)
    assert recorder.made == 2


def test_acting_is_recorded_anew_where_a_weight_is_another_tensor() -> None:
    recorder, layer = Counting(), nn.Linear(3, 2)
    acting = Execution(CPU, "graphs", "float32", recorder).acting(layer.forward, layer)
    for made, weight in ((1, layer.weight), (1, layer.weight), (2, torch.ones(2, 3))):
        layer.weight = weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight)
        torch.testing.assert_close(acting(OBS), layer(OBS))
        assert recorder.made == made


@pytest.mark.parametrize("algo", OVERRIDES)
def test_updates_are_recorded_once_for_what_they_begin_with(algo: str) -> None:
    recorder = Counting()
    agent = built(algo, "graphs", recorder=recorder)
    agent.act(OBS[:2], (), torch.Generator().manual_seed(0), explore=False)
    assert recorder.made == 1
    collector = learn(agent)
    made = recorder.made
    assert made > 1
    learn(agent, collector)
    assert recorder.made == made


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize(("algo", "acting"), [("dqn", "forward"), ("actor_critic", "logits")])
def test_losses_with_their_gradient_are_compiled_and_networks_that_act_where_they_are_recorded(
    algo: str, acting: str, recorded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()

    def compiling(function: Callable[..., Any], **how: object) -> Callable[..., Any]:
        assert how == {"fullgraph": True, "dynamic": False}

        def counted(*given: Any) -> Any:
            calls[function.__name__] += 1
            return function(*given)

        return counted

    monkeypatch.setattr(torch, "compile", compiling)
    agent = built(algo, "inductor", recorder=Counting() if recorded else None)
    learn(agent)
    act(agent)
    assert set(calls) == {"loss_and_gradient", *([acting] if recorded else [])}
    assert calls["loss_and_gradient"] >= 2


def test_both_networks_of_dqn_compute_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = built("dqn", precision="bfloat16")
    kinds: dict[nn.Module, set[torch.dtype]] = {}  # of what each activation is applied to

    def probe(kind: type[nn.ReLU | nn.Tanh]) -> Callable[[Any, Tensor], Tensor]:
        forward = kind.forward

        def probed(layer: Any, x: Tensor) -> Tensor:
            kinds.setdefault(layer, set()).add(x.dtype)
            return forward(layer, x)

        return probed

    for kind in (nn.ReLU, nn.Tanh):
        monkeypatch.setattr(kind, "forward", probe(kind))
    act(agent)
    assert list(kinds.values()) == [{torch.bfloat16}] * 2  # two hidden layers
    learn(agent)
    assert list(kinds.values()) == [{torch.bfloat16}] * 4  # those of the target network too


def test_every_pass_of_actor_critic_is_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow: dict[str, set[bool]] = {"forward": set(), "values": set(), "logits": set()}

    def probe(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def probed(network: PolicyValue, obs: Tensor) -> Any:
            narrow[name].add(torch.is_autocast_enabled("cpu"))
            return function(network, obs)

        return probed

    for name in narrow:
        monkeypatch.setattr(PolicyValue, name, probe(name, getattr(PolicyValue, name)))
    for precision, wanted in (("float32", {False}), ("bfloat16", {True})):
        for found in narrow.values():
            found.clear()
        agent = built("actor_critic", precision=precision)  # type: ignore[arg-type]
        learn(agent)
        assert list(narrow.values()) == [wanted] * 3


def test_a_gpu_draws_up_to_16_batches_at_once() -> None:
    assert batches_at_once(32, ScriptedEnv(2).spec, torch.device("cuda")) == 16
