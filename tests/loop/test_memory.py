"""An agent's memory: reset where episodes end, saved, restored as what it was, and in the rollout as it began."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import rlrun.loop.slots
from rlrun.loop.collect import Collector
from rlrun.loop.evaluate import Evaluator
from rlrun.numerics.tree import tree_like, tree_map
from rlrun.protocols import VecEnv
from rlrun.runs.checkpoint import Checkpoints
from rlrun.testing import AgentContract, VecEnvContract
from rlrun.testing.memory_probe import CueEnv, Memory, MemoryProbe
from rlrun.types import ActorOutput, EnvSpec, Rollout, Steps, WholeEpisodes

CPU = torch.device("cpu")


class TestCueEnv(VecEnvContract):
    def make(self, num_envs: int) -> CueEnv:
        return CueEnv(num_envs)


class TestMemoryProbe(AgentContract):
    def make_env(self) -> VecEnv:
        return CueEnv(4)

    def make_agent(self, spec: EnvSpec, seed: int) -> MemoryProbe:
        return MemoryProbe(Steps(3), CPU)


def probed(collection: Steps | WholeEpisodes, turns: int = 8) -> list[Rollout]:
    agent = MemoryProbe(collection, CPU)
    collector = Collector(CueEnv(4), collection, CPU, seed=1)
    return [collector.collect(agent) for _ in range(turns)]


@pytest.mark.parametrize("collection", [Steps(1), Steps(3), Steps(7), WholeEpisodes(1), WholeEpisodes(3)])
def test_every_episode_is_remembered_from_its_beginning_and_no_longer(collection: Steps | WholeEpisodes) -> None:
    rollouts = probed(collection)
    assert sum(int(rollout.last.sum()) for rollout in rollouts) > 4
    assert all(bool((rollout.reward == 1).all()) for rollout in rollouts)


@pytest.mark.parametrize("collection", [Steps(3), WholeEpisodes(1)])
def test_a_rollout_has_the_memory_that_it_began_with(collection: Steps | WholeEpisodes) -> None:
    agent = MemoryProbe(collection, CPU)
    for number, rollout in enumerate(probed(collection)):
        assert isinstance(rollout.carry, Memory)
        if number == 0 or isinstance(collection, WholeEpisodes):  # after a restart of unfinished slots too
            assert rollout.carry.cue.tolist() == [-1] * 4
            assert rollout.carry.age.tolist() == [[0]] * 4
        carry = rollout.carry
        for time in range(len(rollout.action)):  # whoever unrolls it from there sees what was done
            output = agent.act(rollout.obs[time], carry, torch.Generator(), explore=True)
            assert torch.equal(output.action, rollout.action[time])
            carry = tree_map(
                lambda new, old, last=rollout.last[time]: torch.where(last.view(-1, *[1] * (new.ndim - 1)), new, old),
                agent.initial_carry(4),
                output.carry,
            )


def test_memory_of_running_episodes_is_saved_and_is_what_it_was(tmp_path: Path) -> None:
    agent = MemoryProbe(Steps(5), CPU)
    collector = Collector(CueEnv(4), agent.collection, CPU, seed=1)
    collector.collect(agent)
    checkpoints = Checkpoints(tmp_path, {}, keep=1)
    checkpoints.save(1, collector.state_dict())
    loaded = checkpoints.newest_sound(warn=print)
    assert loaded is not None
    resumed = Collector(CueEnv(4), agent.collection, CPU, seed=1)
    resumed.load_state_dict(loaded)
    expected, actual = collector.collect(agent), resumed.collect(agent)
    assert isinstance(actual.carry, Memory)
    assert (actual.carry.cue >= 0).any(), "some episodes must be running"
    for mine, other in zip(actual.carry, expected.carry, strict=True):
        assert torch.equal(mine, other)
        assert mine.device == other.device
    assert bool((actual.reward == 1).all())


class Seen(Exception):  # noqa: N818
    """The devices of the memory that an agent was handed."""


class Elsewhere(MemoryProbe):
    """Keeps its memory on another device than the CPU, torch's meta device, and cannot act there."""

    def initial_carry(self, num_envs: int) -> Memory:
        return Memory(*(leaf.to("meta") for leaf in super().initial_carry(num_envs)))

    def act(self, obs: torch.Tensor, carry: Memory, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        raise Seen({leaf.device.type for leaf in carry})


def test_memory_is_restored_on_the_device_where_the_agent_keeps_it() -> None:
    agent = MemoryProbe(Steps(5), CPU)
    collector = Collector(CueEnv(4), agent.collection, CPU, seed=1)
    collector.collect(agent)
    resumed = Collector(CueEnv(4), agent.collection, CPU, seed=1)
    resumed.load_state_dict(collector.state_dict())
    with pytest.raises(Seen) as seen:
        resumed.collect(Elsewhere(Steps(5), CPU))
    assert seen.value.args == ({"meta"},)


def test_memory_that_was_loaded_is_saved_again_before_anything_is_collected() -> None:
    agent = MemoryProbe(Steps(5), CPU)
    collector = Collector(CueEnv(4), agent.collection, CPU, seed=1)
    collector.collect(agent)
    state = collector.state_dict()
    for _ in range(2):  # a run that is stopped again as soon as it has resumed
        resumed = Collector(CueEnv(4), agent.collection, CPU, seed=1)
        resumed.load_state_dict(state)
        state = resumed.state_dict()
    assert [leaf.tolist() for leaf in state["carry"]] == [leaf.tolist() for leaf in collector.state_dict()["carry"]]
    assert torch.equal(resumed.collect(agent).action, collector.collect(agent).action)


class ChangesItsMemory(MemoryProbe):
    """Writes into the memory that it is handed."""

    def act(self, obs: torch.Tensor, carry: Memory, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        output = super().act(obs, carry, rng, explore=explore)
        for leaf, new in zip(carry, output.carry, strict=True):
            leaf.copy_(new)
        return output._replace(carry=carry)


class CheckedChangesItsMemory(AgentContract):
    __test__ = False

    def make_env(self) -> VecEnv:
        return CueEnv(4)

    def make_agent(self, spec: EnvSpec, seed: int) -> MemoryProbe:
        return ChangesItsMemory(Steps(3), CPU)


def test_an_agent_that_writes_into_the_memory_it_is_handed_is_noticed() -> None:
    with pytest.raises(AssertionError, match="memory"):
        CheckedChangesItsMemory().test_memory_has_a_row_for_each_slot_and_keeps_its_form()


def test_memory_is_reset_in_evaluation_too() -> None:
    evaluation = Evaluator(CueEnv(3), episodes=12, seed=0, device=CPU).evaluate(MemoryProbe(Steps(1), CPU), 0)
    assert evaluation.returns.tolist() == evaluation.lengths.tolist()


def test_the_probe_notices_memory_that_is_never_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rlrun.loop.slots, "tree_where", lambda condition, yes, no: no)
    assert any(bool((rollout.reward == 0).any()) for rollout in probed(Steps(3)))


def test_the_probe_notices_memory_of_other_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    act = MemoryProbe.act

    def misplaced(self: MemoryProbe, obs: torch.Tensor, carry: Memory, *others: object, **named: object) -> object:
        return act(self, obs, Memory(*(leaf.roll(1, 0) for leaf in carry)), *others, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryProbe, "act", misplaced)
    assert any(bool((rollout.reward == 0).any()) for rollout in probed(Steps(3)))


@dataclass(frozen=True)
class Pair:
    left: torch.Tensor
    right: tuple[torch.Tensor, ...]


def test_trees_are_named_tuples_and_dataclasses_too() -> None:
    tree = {"a": Memory(torch.tensor([1]), torch.tensor([2])), "b": Pair(torch.tensor([3]), (torch.tensor([4]),))}
    doubled = tree_map(lambda one, two: one + two, tree, tree)
    assert isinstance(doubled["a"], Memory)
    assert isinstance(doubled["b"], Pair)
    assert [int(leaf) for leaf in (*doubled["a"], doubled["b"].left, *doubled["b"].right)] == [2, 4, 6, 8]
    again = tree_like(tree, [torch.tensor([each]) for each in (9, 8, 7, 6)])
    assert (int(again["a"].cue), int(again["b"].right[0])) == (9, 6)
    with pytest.raises(ValueError, match="expected"):
        tree_like(tree, [torch.zeros(1)])
