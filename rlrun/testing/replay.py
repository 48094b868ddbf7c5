"""The contract of replays: inherit from `ReplayContract`, define how to make one, run pytest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlrun.protocols import Replay
from rlrun.runs.checkpoint import Checkpoints
from rlrun.testing.agent import same
from rlrun.types import Batch, EnvSpec, Episodes, Rollout


class PlayedStep(NamedTuple):
    """One step as it happened in one slot."""

    obs: Tensor
    action: int
    reward: float
    discount: float
    last: bool
    next_obs: Tensor


class Player:
    """Makes random rollouts and remembers every step: episodes terminate, reach time limits, and lose lives.

    Every frame is new: its bytes are a number that is never used twice. Observations are the last `frame_stack` of
    them, zeros before an episode's first; uint8 [frame_stack, 2, 2], or float32 [4] without a stack.

    Args:
        num_envs: slots.
        frame_stack: frames in an observation.
        seed: the seed.
        mid_episode: begins with full stacks, as after a resume, instead of a new episode.
    """

    def __init__(self, num_envs: int, frame_stack: int, seed: int, *, mid_episode: bool = False) -> None:
        self.spec = _spec(num_envs, frame_stack)
        self.played: list[list[PlayedStep]] = [[] for _ in range(num_envs)]  # by slot, then time
        self.places: dict[bytes, tuple[int, int]] = {}  # observation -> slot and time of the step that acted on it
        self._rng = np.random.default_rng(seed)
        self._frames = 0
        self._blank = torch.zeros(frame_stack, 2, 2, dtype=torch.uint8)
        self._stacks = [self._pushed(self._blank) for _ in range(num_envs)]
        if mid_episode:
            for _ in range(frame_stack):
                self._stacks = [self._pushed(stack) for stack in self._stacks]

    def _pushed(self, stack: Tensor) -> Tensor:
        self._frames += 1
        number = np.array([self._frames], np.uint32).view(np.uint8).reshape(1, 2, 2)
        return torch.cat([stack[1:], torch.from_numpy(number)])

    def _obs(self, stack: Tensor) -> Tensor:
        return stack if self.spec.frame_stack > 1 else stack.flatten().float()

    def play(self, num_steps: int) -> Rollout:
        """T random steps of every slot: rewards differ, a sixth of them end an episode, a few more lose a life."""
        shape = (num_steps, self.spec.num_envs)
        last = self._rng.random(shape) < 1 / 6
        discount = np.where(self._rng.random(shape) < np.where(last, 0.5, 0.1), 0.0, 1.0)
        reward = self._rng.normal(size=shape)
        action = self._rng.integers(self.spec.num_actions, size=shape)
        return self.follow(action, reward, discount, last)

    def follow(self, action: np.ndarray, reward: np.ndarray, discount: np.ndarray, last: np.ndarray) -> Rollout:
        """Plays these steps [T, B]."""
        sequence = [torch.stack([self._obs(stack) for stack in self._stacks])]
        finals = []
        for time in range(len(last)):
            for slot, stack in enumerate(self._stacks):
                successor = self._pushed(stack)
                self.places[self._obs(stack).numpy().tobytes()] = slot, len(self.played[slot])
                step = PlayedStep(
                    obs=self._obs(stack),
                    action=int(action[time, slot]),
                    reward=float(reward[time, slot]),
                    discount=float(discount[time, slot]),
                    last=bool(last[time, slot]),
                    next_obs=self._obs(successor),
                )
                self.played[slot].append(step)
                if last[time, slot]:
                    finals.append(self._obs(successor))
                    successor = self._pushed(self._blank)
                self._stacks[slot] = successor
            sequence.append(torch.stack([self._obs(stack) for stack in self._stacks]))
        return Rollout(
            obs_sequence=torch.stack(sequence),
            final_obs=torch.stack(finals) if finals else sequence[0][:0],
            action=torch.from_numpy(action),
            reward=torch.from_numpy(reward).float(),
            discount=torch.from_numpy(discount).float(),
            last=torch.from_numpy(last),
            mask=torch.ones(last.shape, dtype=torch.bool),
            extras={},
            episodes=Episodes.none(),
            num_steps=last.size,
        )


def _spec(num_envs: int, frame_stack: int) -> EnvSpec:
    observation = (
        spaces.Box(0, 255, (frame_stack, 2, 2), np.uint8) if frame_stack > 1 else spaces.Box(0, 255, (4,), np.float32)
    )
    return EnvSpec("played", observation, spaces.Discrete(5), num_envs, frame_stack=frame_stack)


class ReplayContract(ABC):
    """Tests of a uniform replay through its public methods: compares drawn transitions with those that were played."""

    frame_stack = 1  # > 1: observations are stacks of this many frames

    @abstractmethod
    def make(self, spec: EnvSpec, capacity_steps: int, n_step: int, gamma: float) -> Replay:
        """A new replay on the CPU."""

    def _player(self, num_envs: int, seed: int = 0, *, mid_episode: bool = False) -> Player:
        return Player(num_envs, self.frame_stack, seed, mid_episode=mid_episode)

    def test_draws_transitions_as_they_were_played(self) -> None:
        for n_step in (1, 2, 3, 7):
            player = self._player(3)
            replay = self.make(player.spec, 60, n_step, 0.9)
            for iteration in range(40):
                replay.extend(player.play(1 + iteration % 6))
                if len(replay) > 0:
                    _check(replay.sample(64, _rng(iteration)), player, n_step, 0.9)

    def test_transitions_are_right_when_the_first_rollout_begins_in_mid_episode(self) -> None:
        for n_step in (1, 3):
            player = self._player(2, mid_episode=True)
            replay = self.make(player.spec, 20, n_step, 0.9)
            for iteration in range(12):
                replay.extend(player.play(3))
                _check(replay.sample(64, _rng(iteration)), player, n_step, 0.9)

    def test_long_rollouts_fill_the_replay_at_once(self) -> None:
        player = self._player(2)
        replay = self.make(player.spec, 20, 3, 0.9)
        for iteration in range(6):
            replay.extend(player.play(10))
            _check(replay.sample(64, _rng(iteration)), player, 3, 0.9)

    def test_transitions_late_in_a_long_episode_are_right(self) -> None:
        player = self._player(2)
        replay = self.make(player.spec, 40, 3, 0.9)
        for iteration in range(55):  # 550 steps: more than twice what a byte counts
            shape = (10, 2)
            action, zeros = np.zeros(shape, np.int64), np.zeros(shape, bool)
            replay.extend(player.follow(action, np.ones(shape), np.ones(shape), zeros))
            _check(replay.sample(64, _rng(iteration)), player, 3, 0.9)

    def test_three_step_returns_stop_at_a_time_limit_and_bootstrap_there(self) -> None:
        player = self._player(1)
        replay = self.make(player.spec, 100, 3, 0.5)
        reward = np.array([[1.0], [2.0], [4.0], [8.0], [16.0], [32.0], [64.0]])
        last = np.array([[False], [False], [False], [True], [False], [False], [False]])
        replay.extend(player.follow(np.zeros((7, 1), np.int64), reward, np.ones((7, 1)), last))
        steps = player.played[0]
        # By hand, gamma 1/2: t=0 sums 1 + 2/2 + 4/4; t=2 sums 4 + 8/2 and stops at the limit two steps on.
        by_hand = [(3.0, 0.125, 2), (6.0, 0.125, 3), (8.0, 0.25, 3), (8.0, 0.5, 3), (48.0, 0.125, 6)]
        assert len(replay) == 5, "the newest n - 1 steps must wait for their successors"
        batch = replay.sample(200, _rng(0))
        assert len(torch.unique(batch.index)) == 5, "every complete window must be drawn"
        for i in range(200):
            time = _where(batch.obs[i], player)[1]
            reward_sum, discount, final = by_hand[time]
            assert batch.reward[i].item() == reward_sum, f"wrong three-step reward at time {time}"
            assert batch.discount[i].item() == discount, f"wrong power of gamma at time {time}"
            assert torch.equal(batch.next_obs[i], steps[final].next_obs), f"wrong successor at time {time}"

    def test_forgets_the_oldest_first(self) -> None:
        for n_step in (1, 3):
            player = self._player(3)
            replay = self.make(player.spec, 61, n_step, 0.9)  # 20 times of 3 slots
            for iteration in range(20):
                replay.extend(player.play(1 + iteration % 5))
                stop = len(player.played[0])
                times = range(max(0, stop - 20), stop - n_step + 1)
                assert len(replay) == 3 * len(times), "len must count the transitions that can be drawn"
                if len(replay) > 0:
                    batch = replay.sample(3000, _rng(iteration))
                    seen = {_where(obs, player) for obs in batch.obs}
                    assert seen == {(slot, time) for slot in range(3) for time in times}, "not the newest transitions"

    def test_draws_uniformly(self) -> None:
        player = self._player(3)
        replay = self.make(player.spec, 60, 2, 0.9)
        for _ in range(9):
            replay.extend(player.play(5))
        drawn = 57_000
        _, counts = torch.unique(replay.sample(drawn, _rng(0)).index, return_counts=True)
        assert len(counts) == len(replay) == 57, "every transition has an index of its own"
        # 1000 draws of each are expected, with a standard deviation of 31; five of them.
        assert (counts - 1000).abs().max().item() < 157, "some transitions are drawn more often than others"

    def test_equal_generators_draw_equal_batches(self) -> None:
        player = self._player(2)
        replay = self.make(player.spec, 40, 3, 0.9)
        replay.extend(player.play(20))
        global_state = torch.random.get_rng_state()
        assert _equal(replay.sample(32, _rng(5)), replay.sample(32, _rng(5))), (
            "draws must depend on nothing but the generator"
        )
        assert not _equal(replay.sample(32, _rng(5)), replay.sample(32, _rng(6))), "draws must depend on the generator"
        assert torch.equal(global_state, torch.random.get_rng_state()), "torch's global generator must not be used"

    def test_an_empty_replay_refuses_to_draw(self) -> None:
        replay = self.make(self._player(2).spec, 40, 3, 0.9)
        try:
            replay.sample(1, _rng(0))
        except ValueError:
            return
        raise AssertionError("sample must raise ValueError when there is nothing to draw")

    def test_equal_rollouts_make_equal_states(self) -> None:
        player = self._player(2)
        replay, other = (self.make(player.spec, 40, 3, 0.9) for _ in range(2))
        for _ in range(9):
            rollout = player.play(4)
            replay.extend(rollout)
            other.extend(rollout)
            assert same(replay.state_dict(), other.state_dict()), "a state must hold exactly what was added"

    def test_a_saved_and_loaded_replay_continues_exactly(self) -> None:
        for iterations in (0, 1, 3, 9):
            player = self._player(2)
            replay, other = (self.make(player.spec, 40, 3, 0.9) for _ in range(2))
            for _ in range(iterations):
                replay.extend(player.play(5))
            with TemporaryDirectory() as folder:
                saved = Checkpoints(Path(folder), {}, keep=1)
                saved.save(iterations, replay.state_dict())
                loaded = saved.newest_sound(warn=print)
                assert loaded is not None
                other.load_state_dict(loaded)
            assert len(other) == len(replay), "a loaded replay must hold as much"
            assert same(other.state_dict(), replay.state_dict()), "a loaded replay must save what it was loaded from"
            for iteration in range(8):
                rollout = player.play(7)
                replay.extend(rollout)
                other.extend(rollout)
                batch = other.sample(64, _rng(iteration))
                assert _equal(replay.sample(64, _rng(iteration)), batch), "a loaded replay must draw the same"
                _check(batch, player, 3, 0.9)


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _equal(left: Batch, right: Batch) -> bool:
    return same(left._asdict(), right._asdict())


def _where(obs: Tensor, player: Player) -> tuple[int, int]:
    """Slot and time of the step that acted on `obs`; every observation is unique."""
    place = player.places.get(obs.numpy().tobytes())
    assert place is not None, "an observation was drawn that was never acted on"
    return place


def _check(batch: Batch, player: Player, n_step: int, gamma: float) -> None:
    """Looks up every drawn transition among the played steps and follows it from there, step by step."""
    assert batch.action.dtype == torch.int64, "actions must come back as int64"
    assert torch.equal(batch.weight, torch.ones_like(batch.reward)), "uniform sampling has weights of one"
    for i in range(len(batch.action)):
        slot, time = _where(batch.obs[i], player)
        window = player.played[slot][time : time + n_step]
        ends = [k for k, step in enumerate(window) if step.last or step.discount == 0]
        if ends:
            window = window[: ends[0] + 1]
        else:
            assert len(window) == n_step, "a window was drawn before it was complete"
        reward = sum(gamma**k * step.reward for k, step in enumerate(window))
        discount = gamma ** len(window) * window[-1].discount
        assert int(batch.action[i]) == window[0].action, "not the action that was played"
        assert abs(float(batch.reward[i]) - reward) < 1e-5, "the rewards do not belong to this transition"
        assert abs(float(batch.discount[i]) - discount) < 1e-6, "wrong power of gamma, or a wrong discount"
        if discount > 0:
            assert torch.equal(batch.next_obs[i], window[-1].next_obs), "not the true successor"
