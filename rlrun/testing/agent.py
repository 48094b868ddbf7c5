"""The contract of agents: inherit from `AgentContract`, define how to make agent and environment, run pytest."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from rlrun.compute.transfer import as_tensor
from rlrun.loop.collect import Collector
from rlrun.numerics.tree import tree_leaves
from rlrun.protocols import Agent, HasPolicy, Stochastic, VecEnv
from rlrun.replay.ring import Ring
from rlrun.runs.checkpoint import Checkpoints
from rlrun.runs.state_comparison import first_difference
from rlrun.types import EnvSpec, Obs, Rollout, action_mask, map_obs, obs_at, seen

_CPU = torch.device("cpu")


def same(left: Any, right: Any) -> bool:
    """Whether two states (trees of tensors, arrays and plain values) are equal, bit for bit."""
    return first_difference(left, right) is None


class AgentContract(ABC):
    """Tests of an agent through its public methods.

    A test's docstring says what to do where it fails; `rlrun check` prints it.

    Attributes:
        iterations: of collecting and learning before the state is examined; enough for the first updates.
    """

    iterations = 5

    @abstractmethod
    def make_env(self) -> VecEnv:
        """A new environment that the agent can learn in."""

    @abstractmethod
    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        """A new agent."""

    def _trained(self, iterations: int, seed: int = 0) -> tuple[Agent, Collector, VecEnv]:
        env = self.make_env()
        agent = self.make_agent(env.spec, seed)
        collector = Collector(env, agent.collection, _CPU, seed)
        for _ in range(iterations):
            agent.learn(collector.collect(agent))
        return agent, collector, env

    def test_act_gives_a_legal_action_for_every_slot(self) -> None:
        """Take B from obs.shape[0], not from spec.num_envs: evaluation and training differ in the number of slots."""
        agent, _, env = self._trained(0)
        obs = _first_obs(env)
        more = map_obs(lambda part: torch.cat([part, part[:1], part]), obs)
        for slots in (obs, more):
            num_slots, mask = len(seen(slots)), action_mask(slots)
            for explore in (True, False):
                carry = agent.initial_carry(num_slots)
                action = agent.act(slots, carry, torch.Generator(), explore=explore).action
                assert action.shape == (num_slots,), "act must return one action for each slot: [B]"
                assert action.dtype == torch.int64, "actions must be int64"
                assert bool(((action >= 0) & (action < env.spec.num_actions)).all()), "an action is out of range"
                if mask is not None:
                    assert bool(mask.gather(1, action[:, None]).all()), "an action is outside the action_mask"
        env.close()

    def test_act_draws_only_from_the_generator_it_is_given(self) -> None:
        """Draw from the `rng` that act is handed (torch.rand(..., generator=rng)), and from nothing else."""
        agent, _, env = self._trained(1)
        obs = _first_obs(env)
        carry = agent.initial_carry(env.spec.num_envs)
        before = _global_generators()
        first = [agent.act(obs, carry, _rng(3), explore=True).action for _ in range(3)]
        for name, state in _global_generators().items():
            assert state == before[name], f"act must leave {name} global generator alone"
        assert all(torch.equal(first[0], other) for other in first), "equal generators must give equal actions"
        env.close()

    def test_being_evaluated_changes_nothing_that_steers_training(self) -> None:
        """Change counters, schedules and statistics in learn; act(explore=False) and policy must change nothing."""
        agent, _, env = self._trained(self.iterations)
        obs = _first_obs(env)
        before = _copied(agent.state_dict())
        for seed in range(10):
            agent.act(obs, agent.initial_carry(env.spec.num_envs), _rng(seed), explore=False)
            if isinstance(agent, Stochastic):
                policy, _ = agent.policy(obs, agent.initial_carry(env.spec.num_envs))
                shape = policy.mode().shape
                assert shape == (env.spec.num_envs,), "the mode of policy must be one action for each slot: [B]"
        assert same(before, agent.state_dict()), "act(explore=False) must not change the agent's state"
        env.close()

    def test_equal_seeds_learn_equal_things(self) -> None:
        """Draw from streams of the agent's own: rlrun.rng.torch_generator(seed, "agent/<what for>")."""
        before = _global_generators()
        first, _, env = self._trained(self.iterations)
        second, _, other = self._trained(self.iterations)
        for name, state in _global_generators().items():
            assert state == before[name], f"making, acting and learning must leave {name} global generator alone"
        assert same(first.state_dict(), second.state_dict()), "two runs with one seed must end in one state"
        env.close()
        other.close()

    def test_a_loaded_state_continues_as_if_never_interrupted(self) -> None:
        """Put everything that learn changes into state_dict: weights, optimizer, tables, counters, random streams."""
        agent, collector, env = self._trained(self.iterations)
        agent_state, collector_state = _copied(agent.state_dict()), _copied(collector.state_dict())
        played = _played_on(agent, collector, self.iterations)
        other_env = self.make_env()
        other = self.make_agent(other_env.spec, seed=99)
        other.load_state_dict(agent_state)
        other_collector = Collector(other_env, other.collection, _CPU, 0)
        other_collector.load_state_dict(collector_state)
        resumed = _played_on(other, other_collector, self.iterations)
        place = first_difference(agent.state_dict(), other.state_dict(), "state")
        assert place is None, (
            f"a resumed agent must end in the state of the uninterrupted run; first difference: {place}"
        )
        for iteration, (whole, part) in enumerate(zip(played, resumed, strict=True), 1):
            equal = torch.equal(whole.action, part.action)
            assert equal, (
                f"a resumed agent must act as in the uninterrupted run, but does not in iteration {iteration} "
                "after the resume"
            )
        for rollout in played[-1:]:
            for time in range(len(rollout.action)):
                obs = obs_at(rollout.obs, time)
                carry = agent.initial_carry(env.spec.num_envs)
                acted, again = (each.act(obs, carry, _rng(1), explore=False).action for each in (agent, other))
                assert torch.equal(acted, again), "a resumed agent must act in evaluation as in the uninterrupted run"
        env.close()
        other_env.close()

    def test_its_state_can_be_kept_in_a_checkpoint(self) -> None:
        """Let state_dict hold tensors, arrays, numbers, strings, and lists and dicts of them, and nothing else."""
        agent, _, env = self._trained(self.iterations)
        state = _copied(agent.state_dict())
        other = self.make_agent(env.spec, seed=99)
        with TemporaryDirectory() as folder:
            checkpoints = Checkpoints(Path(folder), {}, keep=1)
            checkpoints.save(1, {"agent": state})
            loaded = checkpoints.newest_sound(warn=print)
            assert loaded is not None, "a checkpoint of it cannot be read"
            other.load_state_dict(loaded["agent"])
        place = first_difference(state, other.state_dict(), "state")
        assert place is None, f"a loaded agent must save what it was loaded from; first difference: {place}"
        env.close()

    def test_a_loaded_policy_acts_alike(self) -> None:
        """List in policy_entries all that act(explore=False) depends on, and load exactly these in load_policy."""
        agent, _, env = self._trained(self.iterations)
        other = self.make_agent(env.spec, seed=99)
        if isinstance(agent, HasPolicy) and isinstance(other, HasPolicy):
            state = _copied(agent.state_dict())
            other.load_policy({name: state[name] for name in agent.policy_entries})
            obs = env.reset(5)
            for seed in range(10):
                shown = map_obs(partial(as_tensor, device=_CPU), obs)
                action, again = (
                    each.act(shown, each.initial_carry(env.spec.num_envs), _rng(seed), explore=False).action
                    for each in (agent, other)
                )
                assert torch.equal(action, again), "an agent with a loaded policy must act as the one it came from"
                obs = env.step(action.numpy()).obs
        env.close()

    def test_memory_has_a_row_for_each_slot_and_keeps_its_form(self) -> None:
        """Return from act the kind of tree that initial_carry makes: tensors [B, ...] of the same shapes and types."""
        agent, _, env = self._trained(1)
        obs = _first_obs(env)
        carry = agent.initial_carry(env.spec.num_envs)
        leaves = tree_leaves(carry)
        assert all(leaf.shape[:1] == (env.spec.num_envs,) for leaf in leaves), "memory must have a row for each slot"
        handed_in = [leaf.clone() for leaf in leaves]
        after = tree_leaves(agent.act(obs, carry, _rng(0), explore=True).carry)
        kept = [(leaf.shape, leaf.dtype, leaf.device) for leaf in leaves]
        assert [(leaf.shape, leaf.dtype, leaf.device) for leaf in after] == kept, (
            "act must return memory of the same shapes, dtypes and device"
        )
        assert all(map(torch.equal, leaves, handed_in)), "act must not change the memory that is passed in"
        env.close()

    def test_metrics_are_finite_scalars(self) -> None:
        """Return scalars from learn: numbers or tensors without dimensions; NaN and infinity mean divergence."""
        agent, collector, env = self._trained(self.iterations)
        for name, value in agent.learn(collector.collect(agent)).items():
            number = torch.as_tensor(value)
            assert number.ndim == 0, f"metric {name} must be a scalar"
            assert bool(torch.isfinite(number)), f"metric {name} is not finite"
        env.close()


def _played_on(agent: Agent, collector: Collector, iterations: int) -> list[Rollout]:
    rollouts = []
    for _ in range(iterations):
        rollouts.append(collector.collect(agent))
        agent.learn(rollouts[-1])
    return rollouts


def _global_generators() -> dict[str, object]:
    """The states of the global generators, by name."""
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002 (to see whether it is used)
    return {
        "torch's": torch.random.get_rng_state().numpy().tobytes(),
        "numpy's": repr(numpy_state) + str(hash(numpy_state["state"]["key"].tobytes())),
        "Python's": random.getstate(),
    }


def _first_obs(env: VecEnv) -> Obs:
    return map_obs(partial(as_tensor, device=_CPU), env.reset(5))


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _copied(value: Any) -> Any:
    if isinstance(value, Ring):
        return replace(value, tensor=value.tensor.clone())
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(item) for item in value)
    return value
