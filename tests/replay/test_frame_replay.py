import dataclasses

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from rlrun.protocols import Replay
from rlrun.replay.uniform import UniformReplay
from rlrun.runs.state_comparison import first_difference
from rlrun.testing.replay import Player, ReplayContract
from rlrun.types import Batch, EnvSpec, Episodes, Rollout

CPU = torch.device("cpu")


class TestUniformReplayWithFrameObservations(ReplayContract):
    frame_stack = 4

    def make(self, spec: EnvSpec, capacity_steps: int, n_step: int, gamma: float) -> Replay:
        return UniformReplay(capacity_steps=capacity_steps, n_step=n_step, gamma=gamma, spec=spec, device=CPU)


class TestUniformReplayWithStacksOfTwo(TestUniformReplayWithFrameObservations):
    frame_stack = 2


def frame_and_plain(spec: EnvSpec, capacity_steps: int, n_step: int) -> tuple[UniformReplay, UniformReplay]:
    """Two replays of one environment; the second stores whole observations, twice."""
    frame, plain = (
        UniformReplay(capacity_steps=capacity_steps, n_step=n_step, gamma=0.99, spec=each, device=CPU)
        for each in (spec, dataclasses.replace(spec, frame_stack=1))
    )
    assert frame.num_bytes < plain.num_bytes
    return frame, plain


def assert_equal(left: Batch, right: Batch) -> None:
    assert first_difference(left, right) is None


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("mid_episode", [False, True])
def test_equals_the_plain_replay_sample_for_sample(n_step: int, num_envs: int, mid_episode: bool) -> None:
    player = Player(num_envs, 4, 7, mid_episode=mid_episode)
    frame, plain = frame_and_plain(player.spec, 24 * num_envs, n_step)
    for turn in range(60):  # wraps around the 24 rows seven times
        rollout = player.play(1 + turn % 6)
        frame.extend(rollout)
        plain.extend(rollout)
        if len(frame) > 0:
            batches = (each.sample(50, torch.Generator().manual_seed(turn)) for each in (frame, plain))
            assert_equal(*batches)


def test_the_pool_of_last_frames_grows_and_is_used_again() -> None:
    player = Player(2, 4, 0)
    frame, plain = frame_and_plain(player.spec, 40, 1)
    first = frame.num_bytes
    for turn in range(30):  # every step ends an episode
        shape = (5, 2)
        steps = np.arange(10).reshape(shape)
        rollout = player.follow(steps % 5, steps + 0.5, np.ones(shape), np.ones(shape, bool))
        frame.extend(rollout)
        plain.extend(rollout)
        assert_equal(*(each.sample(50, torch.Generator().manual_seed(turn)) for each in (frame, plain)))
    assert frame.num_bytes == first + (64 - 1) * 4, "40 steps need 40 last frames of 4 bytes: 64 after doubling from 1"


def _stacked() -> tuple[UniformReplay, Rollout]:
    player = Player(2, 4, 0)
    replay = UniformReplay(capacity_steps=40, n_step=1, gamma=0.9, spec=player.spec, device=CPU)
    shape = (6, 2)
    last = np.zeros(shape, bool)
    last[3, 1] = True
    return replay, player.follow(np.zeros(shape, np.int64), np.ones(shape), np.ones(shape), last)


def _changed(observations: Tensor, *index: int) -> Tensor:
    changed = observations.clone()
    changed[index] += 1
    return changed


def test_observations_that_are_not_stacks_are_refused() -> None:
    replay, rollout = _stacked()
    with pytest.raises(ValueError, match="stacks"):
        replay.extend(dataclasses.replace(rollout, obs_sequence=_changed(rollout.obs_sequence, 2, 1, 1)))


def test_a_first_frame_repeated_in_the_stack_is_refused() -> None:
    replay, rollout = _stacked()
    repeated = rollout.obs_sequence.clone()
    repeated[4, 1] = repeated[4, 1, -1]
    with pytest.raises(ValueError, match="stacks"):
        replay.extend(dataclasses.replace(rollout, obs_sequence=repeated))


def test_final_observations_that_do_not_follow_are_refused() -> None:
    replay, rollout = _stacked()
    with pytest.raises(ValueError, match="final"):
        replay.extend(dataclasses.replace(rollout, final_obs=_changed(rollout.final_obs, 0, 0)))
    replay.extend(rollout)


def test_a_refused_rollout_leaves_the_replay_as_it_was() -> None:
    replay, rollout = _stacked()
    with pytest.raises(ValueError, match="stacks"):
        replay.extend(dataclasses.replace(rollout, obs_sequence=_changed(rollout.obs_sequence, 2, 1, 1)))
    assert len(replay) == 0
    replay.extend(rollout)
    assert len(replay) == 12


def test_specs_that_are_not_stacks_of_bytes_are_refused() -> None:
    spec = EnvSpec("floats", spaces.Box(0, 1, (4, 8, 8), np.float32), spaces.Discrete(2), 1, frame_stack=4)
    with pytest.raises(ValueError, match="uint8"):
        UniformReplay(capacity_steps=10, n_step=1, gamma=0.9, spec=spec, device=CPU)


@pytest.mark.parametrize("n_step", [1, 3])
def test_equals_the_plain_replay_on_the_emulator(n_step: int) -> None:
    num_envs, limit = 2, 45
    rollouts = play_breakout(num_envs, num_rollouts=40, num_steps=8, limit=limit)
    obs = rollouts[0].obs_sequence
    spec = EnvSpec(
        "breakout", spaces.Box(0, 255, tuple(obs.shape[2:]), np.uint8), spaces.Discrete(4), num_envs, frame_stack=4
    )
    frame, plain = frame_and_plain(spec, 100 * num_envs, n_step)
    ends = 0
    for turn, rollout in enumerate(rollouts):
        frame.extend(rollout)
        plain.extend(rollout)
        ends += int(rollout.last.sum())
        assert_equal(*(each.sample(64, torch.Generator().manual_seed(turn)) for each in (frame, plain)))
    assert ends >= num_envs * (320 // limit), "the time limit must have ended episodes"
    batch = frame.sample(500, torch.Generator().manual_seed(0))
    assert not torch.equal(batch.obs, batch.next_obs), "the screen must move"


def play_breakout(num_envs: int, num_rollouts: int, num_steps: int, limit: int) -> list[Rollout]:
    """Random play in the emulator; every `limit` steps a slot hits a time limit and is reset."""
    from ale_py.vector_env import AtariVectorEnv
    from gymnasium.vector import AutoresetMode

    env = AtariVectorEnv(
        "breakout",
        num_envs=num_envs,
        repeat_action_probability=0.0,
        reward_clipping=False,
        num_threads=1,
        autoreset_mode=AutoresetMode.NEXT_STEP,  # never reached: slots are reset at once
    )
    rng = np.random.default_rng(0)
    obs, _ = env.reset(seed=np.arange(num_envs, dtype=np.int32))
    age = np.array([7 * slot for slot in range(num_envs)])
    rollouts = []
    for _ in range(num_rollouts):
        sequence, finals, actions, rewards, discounts, lasts = [obs], [], [], [], [], []
        for _ in range(num_steps):
            action = rng.integers(4, size=num_envs)
            obs, reward, terminated, _, _ = env.step(action)
            age += 1
            last = terminated | (age >= limit)
            finals.append(obs[last])
            if last.any():
                obs = obs.copy()
                obs[last] = env.reset(options={"reset_mask": last})[0][last]
                age[last] = 0
            sequence.append(obs)
            actions.append(action)
            rewards.append(reward)
            discounts.append(~terminated)
            lasts.append(last)
        shape = (num_steps, num_envs)
        rollouts.append(
            Rollout(
                obs_sequence=torch.from_numpy(np.stack(sequence)),
                final_obs=torch.from_numpy(np.concatenate(finals)),
                action=torch.from_numpy(np.stack(actions)),
                reward=torch.from_numpy(np.stack(rewards)).float(),
                discount=torch.from_numpy(np.stack(discounts)).float(),
                last=torch.from_numpy(np.stack(lasts)),
                mask=torch.ones(shape, dtype=torch.bool),
                extras={},
                episodes=Episodes.none(),
                num_steps=num_steps * num_envs,
            )
        )
    env.close()
    return rollouts
