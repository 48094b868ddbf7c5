"""A replay of behaviour probabilities: what an agent says of its steps is kept, and weighs them for another policy."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from rlrun.agents.random import Random
from rlrun.loop.collect import Collector
from rlrun.numerics.distributions import Categorical
from rlrun.replay.disk import DiskStorage
from rlrun.replay.memory import estimate_bytes
from rlrun.replay.settings import ReplaySettings
from rlrun.replay.storage import MemoryStorage, Storage
from rlrun.replay.uniform import UniformReplay
from rlrun.runs.checkpoint import Checkpoints
from rlrun.testing.scripted_env import ScriptedEnv
from rlrun.types import ActorOutput, Carry, EnvSpec, Int64Array, TimeStep

CPU = torch.device("cpu")
BEHAVIOUR = torch.tensor([0.0, 1.0])  # logits
TARGET = torch.tensor([2.0, -1.0])
LOG_PROB = spaces.Box(-np.inf, 0, (), np.float32)


class Counted(ScriptedEnv):
    """The reward is 1 for action 1 and 3 for action 0; an extra says which step of the episode it was."""

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs)
        self.spec = dataclasses.replace(self.spec, extras={"time": spaces.Box(0, 9, (), np.int64)})

    def step(self, action: Int64Array) -> TimeStep:
        step = super().step(action)
        return step._replace(
            reward=(3.0 - 2.0 * action).astype(np.float32), extras={"time": step.next_obs[:, 2].astype(np.int64)}
        )


class Behaves(Random):
    """Draws from a fixed policy, and says how likely each action was."""

    def act(self, obs: Tensor, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        del explore
        policy = Categorical(BEHAVIOUR.expand(len(obs), 2))
        action = policy.sample(rng)
        return ActorOutput(action, carry, {"log_prob": policy.log_prob(action)})


def replay_of(spec: EnvSpec, storage: Storage, n_step: int = 1) -> UniformReplay:
    declared = dataclasses.replace(spec, extras={**spec.extras, "log_prob": LOG_PROB})
    return UniformReplay(
        capacity_steps=4_000, n_step=n_step, gamma=0.9, spec=declared, device=CPU, storage=storage,
        keep=("log_prob", "time"),
    )  # fmt: skip


def filled(storage: Storage, steps: int, n_step: int = 1) -> UniformReplay:
    env = Counted(4)
    agent = Behaves(rollout_steps=50, spec=env.spec)
    collector, replay = Collector(env, agent.collection, CPU, seed=0), replay_of(env.spec, storage, n_step)
    for _ in range(steps // 200):
        replay.extend(collector.collect(agent))
    return replay


@pytest.fixture(params=["memory", "disk"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return MemoryStorage(CPU) if request.param == "memory" else DiskStorage(tmp_path)


def test_extras_are_those_of_the_first_step_of_each_transition(storage: Storage) -> None:
    replay = filled(storage, 6_000, n_step=3)  # the oldest are forgotten
    batch = replay.sample(1_000, torch.Generator().manual_seed(0))
    expected = Categorical(BEHAVIOUR.expand(1_000, 2)).log_prob(batch.action)
    assert torch.equal(batch.extras["log_prob"], expected)
    assert torch.equal(batch.extras["time"], batch.obs[:, 2].long() + 1)
    assert batch.extras["time"].dtype == torch.int64
    assert set(batch.extras["time"].tolist()) == {1, 2, 3, 4}
    env_spec = dataclasses.replace(
        Counted(4).spec, extras={"log_prob": LOG_PROB, "time": Counted(4).spec.extras["time"]}
    )
    assert replay.num_bytes == estimate_bytes(env_spec, 4_000)


def test_an_agent_names_what_it_learns_from_where_it_opens_its_replay(tmp_path: Path) -> None:
    env = Counted(4)
    agent = Behaves(rollout_steps=10, spec=env.spec)
    settings = ReplaySettings(
        capacity_steps=400, batch_size=8, ratio=1.0, learning_starts_steps=8, storage="memory", folder=None
    )
    replay = settings.open(env.spec, CPU, tmp_path, n_step=1, gamma=0.9, keep=("time",))
    replay.extend(Collector(env, agent.collection, CPU, seed=0).collect(agent))
    batch = replay.sample(8, torch.Generator().manual_seed(0))
    assert set(batch.extras) == {"time"}
    assert torch.equal(batch.extras["time"], batch.obs[:, 2].long() + 1)


def test_weighted_by_kept_probabilities_the_steps_say_what_another_policy_earns(storage: Storage) -> None:
    batch = filled(storage, 4_000).sample(40_000, torch.Generator().manual_seed(0))
    target = Categorical(TARGET.expand(40_000, 2))
    weight = (target.log_prob(batch.action) - batch.extras["log_prob"]).exp()
    estimate = weight * batch.reward
    paid = torch.tensor([3.0, 1.0])
    exact = float((torch.softmax(TARGET, 0) * paid).sum())
    behaved = float((torch.softmax(BEHAVIOUR, 0) * paid).sum())
    error = float(estimate.std()) / 4_000**0.5  # there are only so many different steps
    assert abs(float(estimate.mean()) - exact) < 5 * error
    assert abs(behaved - exact) > 10 * error, "the weights must matter"


def test_extras_are_saved_and_restored(storage: Storage, tmp_path: Path) -> None:
    replay = filled(storage, 6_000)
    checkpoints = Checkpoints(tmp_path, {}, keep=1)
    checkpoints.save(1, replay.state_dict())
    loaded = checkpoints.newest_sound(warn=print)
    assert loaded is not None
    other = replay_of(Counted(4).spec, storage)
    other.load_state_dict(loaded)
    mine, theirs = (each.sample(500, torch.Generator().manual_seed(1)) for each in (replay, other))
    assert torch.equal(mine.extras["log_prob"], theirs.extras["log_prob"])
    assert torch.equal(mine.extras["time"], theirs.extras["time"])
    parts = mine.split(200)
    assert [len(part.extras["time"]) for part in parts] == [200, 200, 100]


def test_what_nobody_says_cannot_be_kept() -> None:
    env = Counted(4)
    agent = Random(rollout_steps=5, spec=env.spec)
    replay = replay_of(env.spec, MemoryStorage(CPU))
    with pytest.raises(ValueError, match=r"log_prob.*time"):
        replay.extend(Collector(env, agent.collection, CPU, seed=0).collect(agent))
