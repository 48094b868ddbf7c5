"""Actions that are not allowed somewhere: observations say which, and every agent keeps to it, acting and learning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlrun.agents.dqn import DQN
from rlrun.agents.random import Random
from rlrun.build import build
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.envs.mdp_file import MdpEnv
from rlrun.envs.tabular import TabularEnv
from rlrun.errors import UserError
from rlrun.loop.collect import Collector
from rlrun.replay.disk import DiskStorage
from rlrun.replay.memory import estimate_bytes
from rlrun.replay.storage import MemoryStorage
from rlrun.replay.uniform import UniformReplay
from rlrun.testing.vec_env import VecEnvContract
from rlrun.types import Batch, EnvSpec, mask_space

CPU = torch.device("cpu")
# Three doors in the hall, two in the cellar, which looks like the attic: there the same two are open.
HOUSE = """\
states: [hall, cellar, attic, out]
actions: [left, middle, right]
start: hall
LOOKS
transitions:
  - [hall, left, cellar, 1, 0]
  - [hall, middle, hall, 1, -1]
  - [hall, right, attic, 1, 0]
  - [cellar, left, hall, 1, 0]
  - [cellar, right, out, 1, 5]
  - [attic, left, out, 1, 5]
  - [attic, right, hall, 1, 0]
"""
LEGAL = torch.tensor([[True, True, True], [True, False, True], [True, False, True], [False, False, False]])
AGENTS = ("q_learning", "sarsa", "td", "linear_q", "linear_v", "random", "reinforce", "actor_critic", "dqn")
NETWORKS = ("reinforce", "actor_critic", "dqn")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    file = tmp_path / "house.yaml"
    file.write_text(HOUSE.replace("LOOKS", ""))
    return file


@pytest.fixture
def dim_house(tmp_path: Path) -> Path:
    file = tmp_path / "dim.yaml"
    file.write_text(HOUSE.replace("LOOKS", "looks: {cellar: dark, attic: dark}"))
    return file


def played(house: Path, num_envs: int = 1) -> MdpEnv:
    return MdpEnv(mdp=str(house), observation="index", max_episode_steps=20, num_envs=num_envs)


def overrides(algo: str, env: Path | str, tmp_path: Path) -> list[str]:
    where = [f"env={env}"] if isinstance(env, str) else ["env=mdp", f"env.mdp={env}"]
    return [f"algo={algo}", *where, f"runs_dir={tmp_path / 'runs'}", "logger=none", "device=cpu", "env.num_envs=4"]


@pytest.mark.parametrize("algo", AGENTS)
@pytest.mark.parametrize("which", ["house", "dim_house"])
def test_every_agent_plays_and_learns_within_the_mask(
    algo: str, which: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file: Path = request.getfixturevalue(which)
    changed = ["algo.replay.learning_starts_steps=8", "algo.replay.batch_size=8"] if algo == "dqn" else []
    made = build(load_config([*overrides(algo, file, tmp_path), *changed], [config_directory()]))
    for _ in range(10):  # an action that is not allowed would end in the environment's ValueError
        rollout = made.run.collector.collect(made.run.agent)
        assert bool(rollout.obs["action_mask"].gather(2, rollout.action[..., None]).all())
        made.run.agent.learn(rollout)
    made.run.evaluator.evaluate(made.run.agent, 0)
    made.close()


@pytest.mark.parametrize("algo", NETWORKS)
def test_networks_play_a_grid_whose_edge_cannot_be_left(algo: str, tmp_path: Path) -> None:
    changed = ["env.map=karpathy_10x10", "env.observation=one_hot"]
    made = build(load_config([*overrides(algo, "gridworld", tmp_path), *changed], [config_directory()]))
    made.run.agent.learn(made.run.collector.collect(made.run.agent))
    made.close()


def test_who_may_not_know_what_is_allowed_is_refused(house: Path) -> None:
    spec = replace(played(house).spec, observation=spaces.Discrete(4))
    with pytest.raises(UserError, match=r"house.*action_mask"):
        Random(rollout_steps=1, spec=spec)


@pytest.mark.parametrize("mask", [spaces.Box(0, 1, (3,), np.int8), mask_space(2)])
def test_a_mask_of_another_kind_is_no_mask(mask: spaces.Box) -> None:
    with pytest.raises(ValueError, match="action_mask"):
        EnvSpec("doors", {"obs": spaces.Discrete(2), "action_mask": mask}, spaces.Discrete(3), 1)


class TestTheHouse(VecEnvContract):
    stochastic_start = False

    def make(self, num_envs: int) -> MdpEnv:
        return MdpEnv(mdp=str(self.file), observation="index", max_episode_steps=20, num_envs=num_envs)

    @pytest.fixture(autouse=True)
    def _write(self, house: Path) -> None:
        self.file = house


def test_a_mask_belongs_to_the_observation_it_comes_with(house: Path) -> None:
    env = played(house, 3)
    agent = Random(rollout_steps=40, spec=env.spec)
    rollout = Collector(env, agent.collection, CPU, seed=0).collect(agent)
    for shown in (rollout.obs_sequence, rollout.final_obs, rollout.next_obs):
        assert torch.equal(shown["action_mask"], LEGAL[shown["obs"]])
    assert not rollout.final_obs["action_mask"][rollout.discount[rollout.last] == 0].any()
    assert rollout.obs["action_mask"].any(-1).all()
    begun = env.reset(0)
    env.step(np.zeros(3, np.int64))
    restarted, state = env.restart(np.array([True, False, False])), env.state_dict()
    for shown in (begun, restarted, env.load_state_dict(state)):
        np.testing.assert_array_equal(shown["action_mask"], LEGAL.numpy()[shown["obs"]])


def test_the_random_agent_draws_every_allowed_action_equally_often(house: Path) -> None:
    env = played(house, 50)
    agent = Random(rollout_steps=400, spec=env.spec)
    rollout = Collector(env, agent.collection, CPU, seed=0).collect(agent)
    expected = np.array([[1 / 3] * 3, [1 / 2, 0, 1 / 2], [1 / 2, 0, 1 / 2]])
    for state in range(3):
        actions = rollout.action[rollout.obs["obs"] == state].numpy()
        count = len(actions)
        share = np.bincount(actions, minlength=3) / count
        assert count > 1000
        np.testing.assert_array_equal(share[expected[state] == 0], 0)
        np.testing.assert_allclose(share, expected[state], atol=4 * (0.25 / count) ** 0.5)


def test_states_that_look_alike_still_show_their_own_masks(house: Path) -> None:
    model = played(house).spec.model
    assert model is not None
    env = TabularEnv(
        model=model, name="fog", looks=np.array([0, 0, 1, 2]), observation="index", max_episode_steps=9, num_envs=1
    )
    env.reset(0)
    shown = env.step(np.array([0])).obs  # in the cellar, which looks like the hall
    assert shown["obs"].tolist() == [0]
    assert shown["action_mask"].tolist() == [[True, False, True]]


@pytest.mark.parametrize("storage", ["memory", "disk"])
def test_a_replay_hands_out_the_masks_of_both_observations(storage: str, house: Path, tmp_path: Path) -> None:
    env = played(house, 4)
    agent = Random(rollout_steps=10, spec=env.spec)
    collector = Collector(env, agent.collection, CPU, seed=0)
    kept = MemoryStorage(CPU) if storage == "memory" else DiskStorage(tmp_path)

    def made() -> UniformReplay:
        return UniformReplay(capacity_steps=60, n_step=2, gamma=0.9, spec=env.spec, device=CPU, storage=kept)

    replay, other = made(), made()
    for _ in range(4):
        replay.extend(collector.collect(agent))
    other.load_state_dict(replay.state_dict())
    for each in (replay, other):
        batch = each.sample(300, torch.Generator().manual_seed(0))
        for obs in (batch.obs, batch.next_obs):
            assert torch.equal(obs["action_mask"], LEGAL[obs["obs"]])
        assert bool(batch.obs["action_mask"].gather(1, batch.action[:, None]).all())
    assert replay.num_bytes == estimate_bytes(env.spec, 60)


@pytest.mark.parametrize("double", [False, True])
def test_the_target_of_dqn_is_the_best_that_the_successors_mask_allows(
    double: bool, house: Path, tmp_path: Path
) -> None:
    changed = [f"algo.target.double={str(double).lower()}"]
    made = build(load_config([*overrides("dqn", house, tmp_path), *changed], [config_directory()]))
    agent = made.run.agent
    assert isinstance(agent, DQN)
    states = torch.tensor([0, 1, 2])
    q = agent.q_values(states)  # the target network's too, before anything is learned
    barred = q.argmax(1)  # what would be chosen is not allowed
    mask = torch.ones(3, 3, dtype=torch.bool).scatter(1, barred[:, None], value=False)
    mask[2] = False  # and nothing at all where the episode is over
    discount = torch.tensor([0.9, 0.5, 0.0])
    reward = torch.tensor([1.0, 2.0, 3.0])
    best = q.masked_fill(~mask, -torch.inf).amax(1)
    expected = torch.stack([1.0 + 0.9 * best[0], 2.0 + 0.5 * best[1], torch.tensor(3.0)])
    obs = {"obs": states, "action_mask": mask}
    _, said = agent.loss(Batch(obs, states, reward, discount, obs, torch.ones(3), states), q)
    torch.testing.assert_close(said["value/target_mean"], expected)
    made.close()
