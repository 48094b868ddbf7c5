"""What every agent must do: inherit from `AgentContract`, say how to make agent and environment, run pytest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from rlrun.collect import Collector
from rlrun.protocols import Agent, VecEnv
from rlrun.ring import Ring
from rlrun.state_comparison import first_difference
from rlrun.types import EnvSpec, as_tensor

_CPU = torch.device("cpu")


def same(left: Any, right: Any) -> bool:
    """Whether two states (trees of tensors, arrays and plain values) are equal, bit for bit."""
    return first_difference(left, right) is None


class AgentContract(ABC):
    """Tests of an agent through its public methods alone."""

    turns = 5  # of collecting and learning before the state is looked at; enough for the first updates

    @abstractmethod
    def make_env(self) -> VecEnv:
        """A new environment that the agent can learn in."""

    @abstractmethod
    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        """A new agent."""

    def _trained(self, turns: int, seed: int = 0) -> tuple[Agent, Collector, VecEnv]:
        env = self.make_env()
        agent = self.make_agent(env.spec, seed)
        collector = Collector(env, agent.collection, _CPU, seed)
        for _ in range(turns):
            agent.learn(collector.collect(agent))
        return agent, collector, env

    def test_act_gives_a_legal_action_for_every_slot(self) -> None:
        agent, _, env = self._trained(0)
        obs = _first_obs(env)
        for explore in (True, False):
            carry = agent.initial_carry(env.spec.num_envs)
            action = agent.act(obs, carry, torch.Generator(), explore=explore).action
            assert action.shape == (env.spec.num_envs,), "act must return one action for each slot: [B]"
            assert action.dtype == torch.int64, "actions must be int64"
            assert bool(((action >= 0) & (action < env.spec.num_actions)).all()), "an action is out of range"
        env.close()

    def test_act_draws_only_from_the_generator_it_is_given(self) -> None:
        agent, _, env = self._trained(1)
        obs = _first_obs(env)
        carry = agent.initial_carry(env.spec.num_envs)
        global_state = torch.random.get_rng_state()
        first = [agent.act(obs, carry, _rng(3), explore=True).action for _ in range(3)]
        assert all(torch.equal(first[0], other) for other in first), "equal generators must give equal actions"
        assert torch.equal(global_state, torch.random.get_rng_state()), "act must leave torch's global generator alone"
        env.close()

    def test_being_evaluated_changes_nothing_that_steers_training(self) -> None:
        agent, _, env = self._trained(self.turns)
        obs = _first_obs(env)
        before = _copied(agent.state_dict())
        for seed in range(10):
            agent.act(obs, agent.initial_carry(env.spec.num_envs), _rng(seed), explore=False)
        assert same(before, agent.state_dict()), "act(explore=False) must not change the agent's state"
        env.close()

    def test_equal_seeds_learn_equal_things(self) -> None:
        global_state = torch.random.get_rng_state()
        first, _, env = self._trained(self.turns)
        second, _, other = self._trained(self.turns)
        assert same(first.state_dict(), second.state_dict()), "two runs with one seed must end in one state"
        assert torch.equal(global_state, torch.random.get_rng_state()), "learning must not use the global generator"
        env.close()
        other.close()

    def test_a_loaded_state_continues_as_if_never_interrupted(self) -> None:
        agent, collector, env = self._trained(self.turns)
        agent_state, collector_state = _copied(agent.state_dict()), _copied(collector.state_dict())
        for _ in range(self.turns):
            agent.learn(collector.collect(agent))
        other_env = self.make_env()
        other = self.make_agent(other_env.spec, seed=99)
        other.load_state_dict(agent_state)
        other_collector = Collector(other_env, other.collection, _CPU, 0)
        other_collector.load_state_dict(collector_state)
        for _ in range(self.turns):
            other.learn(other_collector.collect(other))
        assert same(agent.state_dict(), other.state_dict()), "a resumed agent must end in the state of the whole run"
        env.close()
        other_env.close()

    def test_metrics_are_finite_scalars(self) -> None:
        agent, collector, env = self._trained(self.turns)
        for name, value in agent.learn(collector.collect(agent)).items():
            number = torch.as_tensor(value)
            assert number.ndim == 0, f"metric {name} must be a scalar"
            assert bool(torch.isfinite(number)), f"metric {name} is not finite"
        env.close()


def _first_obs(env: VecEnv) -> torch.Tensor:
    return as_tensor(env.reset(5), _CPU)


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
