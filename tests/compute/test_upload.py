"""Observations arrive with the same bits, whatever part of them crosses to the device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlrun.agents.random import Random
from rlrun.compute.transfer import NewestPlanes, PinnedArrays, Upload, WholeArrays, upload_to
from rlrun.envs.atari import Atari
from rlrun.loop.collect import Collector
from rlrun.testing.agent import same
from rlrun.types import Array, BoolArray, EnvSpec, Int64Array, Rollout, State, Steps, TimeStep, WholeEpisodes

CPU = torch.device("cpu")


class Stacks:
    """Stacks [B, 3, 2, 2] of frames that are never equal; episodes of slot b last 2 + b steps or, every other, 5."""

    def __init__(self, num_envs: int, *, breaks_at: int | None = None) -> None:
        space = spaces.Box(0, 255, (3, 2, 2), np.uint8)
        self.spec = EnvSpec("stacks", space, spaces.Discrete(2), num_envs, frame_stack=3)
        self._breaks_at = breaks_at
        self._frames = 0
        self._obs = np.zeros((num_envs, 3, 2, 2), np.uint8)
        self._time, self._episode = np.zeros(num_envs, np.int64), np.zeros(num_envs, np.int64)

    def _pushed(self, obs: Array) -> Array:
        new = np.empty((len(obs), 1, 2, 2), np.uint8)
        for frame in new:
            self._frames += 1
            frame[:] = np.frombuffer(self._frames.to_bytes(4, "little"), np.uint8).reshape(2, 2)
        return np.concatenate([obs[:, 1:], new], axis=1)

    def reset(self, seed: int) -> Array:
        del seed
        return self.restart(np.ones(self.spec.num_envs, bool))

    def restart(self, slots: BoolArray) -> Array:
        self._obs = self._obs.copy()
        self._obs[slots] = self._pushed(np.zeros_like(self._obs[slots]))
        self._time[slots] = 0
        self._episode[slots] += 1
        return self._obs

    def step(self, action: Int64Array) -> TimeStep:
        successor = self._pushed(self._obs)
        if self._frames == self._breaks_at:
            successor[:, 0] = 77
        self._time += 1
        last = self._time == np.where(self._episode % 2, 2 + np.arange(self.spec.num_envs), 5)
        self._obs = successor
        obs = self.restart(last) if last.any() else successor
        ones = np.ones(self.spec.num_envs, np.float32)
        return TimeStep(successor, ones, ones, last, obs, {})

    def close(self) -> None:
        pass

    def state_dict(self) -> State:
        return {"frames": self._frames, "obs": self._obs, "time": self._time.copy(), "episode": self._episode.copy()}

    def load_state_dict(self, state: State) -> Array:
        self._frames, self._obs = state["frames"], state["obs"]
        self._time, self._episode = state["time"].copy(), state["episode"].copy()
        return self._obs


def fields(rollout: Rollout) -> dict[str, torch.Tensor]:
    names = ("obs_sequence", "final_obs", "action", "reward", "discount", "last", "mask")
    return {name: getattr(rollout, name) for name in names}


@pytest.mark.parametrize("collection", [Steps(7), WholeEpisodes(2)])
@pytest.mark.parametrize("upload", [NewestPlanes, PinnedArrays])
def test_rollouts_have_the_bits_of_whole_uploads(
    upload: type[NewestPlanes | PinnedArrays], collection: Steps | WholeEpisodes
) -> None:
    played = []
    for chosen in (WholeArrays(CPU), upload(CPU)):
        env = Stacks(3)
        agent = Random(rollout_steps=4, spec=env.spec)
        collector = Collector(env, collection, CPU, seed=0, upload=chosen)
        played.append([fields(collector.collect(agent)) for _ in range(9)])
    assert same(*played)
    assert sum(rollout["last"].sum() for rollout in played[0]) > 10


def test_so_they_have_on_the_emulator() -> None:
    played = []
    for chosen in (WholeArrays(CPU), NewestPlanes(CPU)):
        env = Atari(
            game="pong",
            protocol="nature2015",
            num_envs=2,
            num_threads=1,
            max_episode_frames=120,  # time limits, and so new episodes
            reseed_every_steps=1000,
        )
        agent = Random(rollout_steps=4, spec=env.spec)
        collector = Collector(env, Steps(10), CPU, seed=0, upload=chosen)
        played.append([fields(collector.collect(agent)) for _ in range(9)])
        env.close()
    assert same(*played)
    assert sum(rollout["last"].sum() for rollout in played[0]) >= 4


@pytest.mark.parametrize("used", [False, True])
def test_a_resumed_collector_puts_stacks_together_from_what_it_was_saved_with(used: bool) -> None:
    def collector() -> Collector:
        env = Stacks(3)
        return Collector(env, Steps(4), CPU, seed=0, upload=NewestPlanes(CPU))

    first, resumed = collector(), collector()
    agent = Random(rollout_steps=4, spec=first.env.spec)
    for _ in range(3):
        first.collect(agent)
    for _ in range(used):
        resumed.collect(agent)
    resumed.load_state_dict(first.state_dict())
    for _ in range(3):
        assert same(fields(first.collect(agent)), fields(resumed.collect(agent)))


def test_what_is_not_a_stack_is_refused_where_only_its_newest_frame_would_be_seen() -> None:
    env = Stacks(1, breaks_at=6)
    agent = Random(rollout_steps=4, spec=env.spec)
    with pytest.raises(ValueError, match="stacks"):
        Collector(env, Steps(20), CPU, seed=0, upload=NewestPlanes(CPU)).collect(agent)


def test_what_is_not_a_stack_is_refused_at_once_after_resuming_too() -> None:
    first = Collector(Stacks(1), Steps(2), CPU, seed=0, upload=NewestPlanes(CPU))
    resumed = Collector(Stacks(1, breaks_at=5), Steps(2), CPU, seed=0, upload=NewestPlanes(CPU))
    agent = Random(rollout_steps=4, spec=first.env.spec)
    first.collect(agent)
    resumed.load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match="stacks"):
        resumed.collect(agent)


def test_only_newest_planes_cross_to_a_gpu_and_whole_arrays_stay_on_a_cpu() -> None:
    gpu, stacks = torch.device("cuda"), Stacks(1).spec
    vectors = EnvSpec("vectors", spaces.Box(0, 1, (3,)), spaces.Discrete(2), 1)
    kinds: list[tuple[torch.device, EnvSpec, type[Upload]]] = [
        (gpu, stacks, NewestPlanes),
        (gpu, vectors, PinnedArrays),
        (CPU, stacks, WholeArrays),
        (CPU, vectors, WholeArrays),
    ]
    for device, spec, kind in kinds:
        assert type(upload_to(device, spec)) is kind
