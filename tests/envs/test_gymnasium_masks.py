"""Gymnasium's Dict observations with an `action_mask`, as PettingZoo's people write them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium_env import gymnasium_env

from rlrun.agents.random import Random
from rlrun.envs.gymnasium import GymnasiumEnv
from rlrun.errors import FaultyEnvironmentError, UserError
from rlrun.loop.collect import Collector
from rlrun.testing import VecEnvContract


class Doors(gymnasium.Env[Any, Any]):
    """In room r of 4, door d leads on if it is open; the open ones are drawn anew. An open door pays its number."""

    action_space = spaces.Discrete(3)

    def __init__(self, beside: bool = False, dead_end: bool = False, mask: str = "int8") -> None:
        shapes: dict[str, spaces.Space[Any]] = {
            "int8": spaces.Box(0, 1, (3,), np.int8),
            "binary": spaces.MultiBinary(3),
            "short": spaces.Box(0, 1, (2,), np.int8),
        }
        parts: dict[str, spaces.Space[Any]] = {
            "observation": spaces.Box(0, 4, (1,), np.float32),
            "action_mask": shapes[mask],
        }
        if beside:
            parts["clock"] = spaces.Discrete(7)
        self.observation_space = spaces.Dict(parts)
        self._dead_end = dead_end

    def _obs(self) -> dict[str, Any]:
        mask = np.zeros(3, np.int8)
        if not self._dead_end or self._room < 2:
            mask[self.np_random.permutation(3)[:2]] = 1
        self._open = mask
        obs = {"observation": np.array([self._room], np.float32), "action_mask": mask}
        return {**obs, "clock": self._room} if "clock" in self.observation_space.spaces else obs  # type: ignore[attr-defined]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._room = 0
        return self._obs(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if not self._open[action]:
            raise ValueError(f"door {action} is closed")
        self._room += 1
        obs = self._obs()
        if self._room == 4:
            obs["action_mask"] = np.zeros(3, np.int8)
        return obs, float(action), self._room == 4, False, {}


gymnasium.register("rlrun_test/Doors-v0", Doors, max_episode_steps=50)  # type: ignore[arg-type]


def doors(num_envs: int = 1, **options: Any) -> GymnasiumEnv:
    return gymnasium_env("rlrun_test/Doors-v0", num_envs, options=options)


class TestDoors(VecEnvContract):
    def make(self, num_envs: int) -> GymnasiumEnv:
        return doors(num_envs)


@pytest.mark.parametrize("mask", ["int8", "binary"])
def test_the_mask_stands_beside_what_is_observed(mask: str) -> None:
    env = doors(3, mask=mask)
    assert env.spec.shows_mask
    assert env.spec.obs_space == spaces.Box(0, 4, (1,), np.float32)
    agent = Random(rollout_steps=40, spec=env.spec)
    rollout = Collector(env, agent.collection, torch.device("cpu"), seed=0).collect(agent)  # a closed door raises
    assert rollout.obs["obs"].dtype == torch.float32
    assert rollout.obs["action_mask"].dtype == torch.bool
    assert rollout.obs["action_mask"].sum(-1).unique().tolist() == [2]
    assert rollout.final_obs["obs"].unique().tolist() == [4]
    assert not rollout.final_obs["action_mask"].any()
    assert torch.equal(rollout.reward, rollout.action.float())
    assert rollout.episodes.lengths.tolist() == [4] * 30


def test_other_parts_are_flattened_as_ever() -> None:
    env = doors(beside=True)
    assert env.spec.obs_shape == (8,)  # the clock's seven, then the room
    obs = env.reset(0)
    assert obs["obs"].tolist() == [[1, 0, 0, 0, 0, 0, 0, 0]]
    assert obs["action_mask"].sum() == 2


def test_a_mask_for_another_number_of_actions_is_refused() -> None:
    with pytest.raises(UserError, match=r"action_mask.*3 actions"):
        doors(mask="short")


def test_an_episode_that_goes_on_without_an_action_is_faulty() -> None:
    with pytest.raises(FaultyEnvironmentError, match="action_mask"):
        doors(dead_end=True)
