"""Stores every frame of stacked observations once: about a quarter of a stack, an eighth of a plain transition.

The idea is that of the replay memory in the 2015 DQN code (Mnih et al., Nature 518; `TransitionTable.lua`) and of
Dopamine's circular replay buffer, with two differences: nothing is lost at a time limit, because the true last frame of
every episode is kept next to the ring, and nothing is lost where the ring wraps, because it is slightly longer.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rlrun.replay.deferred_checks import DeferredChecks
from rlrun.replay.memory import initial_finals
from rlrun.replay.ring import Ring, Rows, newest, refill
from rlrun.replay.storage import Storage, StoredRing, StoredRows
from rlrun.types import EnvSpec, Rollout, State


class FrameObservations:
    """The newest L times of B slots of observations that are stacks of the last S frames, oldest first, uint8.

    The newest frame of the observation at time t lies in row (t + S - 1) mod (L + S) of a ring, so the oldest time
    still has its S - 1 earlier frames, and the observation after the newest time has a row too. `age` is the number of
    earlier frames of the same episode; the others are read from a plane of zeros. A successor is the observation
    shifted by one frame, plus one new frame: the next in the ring, or at the end of an episode the one in the pool of
    last frames, which is a ring of its own, since they are dropped in order.

    Args:
        length: L, how many times are kept.
        spec: observations are uint8 [S, H, W], S = `frame_stack` > 1; also has the number of slots B.
        storage: where they are kept.
        fixed_shapes: see `UniformReplay`.
        checks: of the rollouts.

    Raises:
        ValueError: if `spec` does not describe stacked frames.
    """

    def __init__(
        self,
        *,
        length: int,
        spec: EnvSpec,
        storage: Storage,
        fixed_shapes: bool = False,
        checks: DeferredChecks | None = None,
    ) -> None:
        shape, dtype = spec.obs_shape, spec.obs_space.dtype
        if len(shape) != 3 or shape[0] != spec.frame_stack or spec.frame_stack < 2 or dtype != "uint8":
            raise ValueError(f"expected uint8 observations [{spec.frame_stack}, height, width], not {dtype} {shape}")
        self._fixed_shapes = fixed_shapes
        self._checks = checks or DeferredChecks(storage.device, later=False)
        self._length = length
        self._num_envs = spec.num_envs
        self._stack = spec.frame_stack
        self._rows = length + spec.frame_stack
        count = self._rows * spec.num_envs
        finals = initial_finals(length, spec.num_envs)
        device = storage.device
        self._storage = storage
        self._planes = storage.allocate((1 + count, *shape[1:]), torch.uint8)  # zeros, then the ring
        self._planes.write(0, torch.zeros((1, *shape[1:]), dtype=torch.uint8, device=device))
        self._ring = StoredRing(self._planes, spec.num_envs, offset=1)  # [L + S, B, H, W]
        self._age = torch.empty(count, dtype=torch.uint8, device=device)  # earlier frames of the episode, at most S - 1
        self._serial = torch.empty(
            (length, spec.num_envs), dtype=torch.int32, device=device
        )  # of the last frame, or -1
        self._finals = storage.allocate((finals, *shape[1:]), torch.uint8)  # serial mod size
        self._ends = np.zeros(length, np.int64)  # [L] how many last frames each time has
        self._oldest_final = 0  # serial number
        self._next_final = 0  # serial number
        self._back = torch.arange(self._stack - 1, -1, -1, device=device)  # [S] how old each frame of a stack is

    def extend(self, start: int, rollout: Rollout) -> None:
        """Writes times start ... start + T - 1.

        Raises:
            ValueError: if an observation is not the previous one shifted by one frame, or has anything but zeros before
                the newest frame after an episode's end.
            UserError: if there is no room for the last frames of episodes; then nothing is changed.
        """
        self._refuse_other_than_stacks(rollout)
        ends = _ends_of(rollout)
        num_steps = rollout.obs.shape[0]
        places = np.arange(start, start + num_steps) % self._length
        oldest_final = self._oldest_final + int(self._ends[places].sum())  # earlier ones are dropped
        self._make_room(self._next_final + int(ends.sum()) - oldest_final)
        age = self._age.view(self._rows, self._num_envs)
        if start == 0:  # perhaps mid-episode: the earlier frames are only in the first observation
            self._ring.write(0, rollout.obs_sequence[0].transpose(0, 1))
            age[: self._stack] = self._stack - 1
        row = (torch.arange(start, start + num_steps + 1, device=age.device) + self._stack - 1) % self._rows
        self._ring.write(start + self._stack, rollout.obs_sequence[1:, :, -1])
        age[row[1:]] = self._ages(age[row[0]], rollout.last)
        self._keep_finals(start, rollout)
        self._ends[places], self._oldest_final = ends, oldest_final

    def _refuse_other_than_stacks(self, rollout: Rollout) -> None:
        moved = rollout.obs_sequence[:-1, :, 1:]
        following = rollout.obs_sequence[1:, :, :-1]
        expected = moved
        if rollout.final_obs.shape[0] > 0:
            expected = moved.clone()
            expected[rollout.last] = 0
        wanted = "observations must be stacks: each the previous one, shifted by a frame"
        self._checks.equal(following, expected, f"{wanted}; at first zeros")
        if rollout.final_obs.shape[0] > 0 or not self._fixed_shapes:  # looking for undeclared ends would block
            self._checks.equal(rollout.final_obs[:, :-1], moved[rollout.last], f"final {wanted}")

    def _ages(self, age: Tensor, last: Tensor) -> Tensor:
        """[T, B] the ages of the next observations; `age` [B] is the first one's."""
        step = torch.arange(1, last.shape[0] + 1, device=last.device)[:, None]
        end = (step * last).cummax(0).values  # the newest end so far; 0 if none
        return torch.where(end > 0, step - end, age + step).clamp(max=self._stack - 1).to(torch.uint8)

    def _keep_finals(self, start: int, rollout: Rollout) -> None:
        num_steps, count = rollout.last.shape[0], rollout.final_obs.shape[0]
        time = torch.arange(start, start + num_steps, device=self._serial.device)
        row = time % self._length
        serial = self._next_final + rollout.last.flatten().cumsum(0).view_as(rollout.last) - 1
        self._serial[row] = torch.where(rollout.last, serial, -1).to(torch.int32)
        StoredRing(self._finals, 1).write(self._next_final, rollout.final_obs[:, None, -1])
        self._next_final += count

    def _make_room(self, count: int) -> None:
        """Doubles the pool of last frames until `count` fit."""
        size = self._finals.tensor.shape[0]
        while size < count:
            size *= 2
        if size > self._finals.tensor.shape[0]:
            larger = self._storage.allocate((size, *self._finals.tensor.shape[1:]), torch.uint8)
            _refill(larger, self._kept_finals())
            self._finals = larger

    def _kept_finals(self) -> Ring:
        """The last frames [N, H, W] by their serial numbers."""
        return Ring(self._finals.tensor, self._oldest_final, self._next_final)

    def gather(self, first: Tensor, final: Tensor, slot: Tensor) -> tuple[Tensor, Tensor]:
        """See `ObservationStore.gather`. One step ahead, S + 1 frames are read for each transition, not 2 S."""
        places = self._places(first, slot)
        if final is first:
            window = successor = self._window(places, first, slot)
        else:
            later = self._places(final, slot)
            window, successor = self._window(places, first, slot), self._window(later, final, slot)
        return window[:, :-1], successor[:, 1:]

    def _places(self, time: Tensor, slot: Tensor) -> Tensor:
        """[N, S + 1] indices in `_planes` of the frames of the observations at `time`, and of the next frame."""
        earlier = self._flat(time[:, None] - self._back, slot[:, None])
        in_episode = self._back <= self._age[earlier[:, -1] - 1][:, None]
        places = torch.cat([earlier * in_episode, self._flat(time + 1, slot)[:, None]], 1)
        self._planes.expect(places)
        return places

    def _window(self, places: Tensor, time: Tensor, slot: Tensor) -> Tensor:
        """[N, S + 1, H, W]: those frames; where an episode ended, its last frame instead of the next one's first."""
        planes = self._planes.tensor
        window = planes.index_select(0, places.flatten()).view(*places.shape, *planes.shape[1:])
        serial = self._serial.flatten()[time % self._length * self._num_envs + slot]
        finals = self._finals.tensor
        if self._fixed_shapes:
            ended = (serial >= 0)[:, None, None]
            there = finals.index_select(
                0, serial.clamp(min=0).long() % finals.shape[0]
            )  # arbitrary where no episode ended
            window[:, -1] = torch.where(ended, there, window[:, -1])
            return window
        ends = (serial >= 0).nonzero().squeeze(1)  # few; on a CPU, `torch.where` would cost more than all the reading
        window[ends, -1] = finals[serial[ends].long() % finals.shape[0]]
        return window

    def _flat(self, time: Tensor, slot: Tensor) -> Tensor:
        """Index in `_planes` of the newest frame at `time`."""
        return 1 + (time + self._stack - 1) % self._rows * self._num_envs + slot

    def tensors(self) -> list[Tensor]:
        """Everything it allocated."""
        return [self._planes.tensor, self._age, self._serial, self._finals.tensor, self._back]

    def state_dict(self, stop: int) -> State:
        """The rows written so far, and the last frames still needed."""
        frames = stop + self._stack if stop else 0  # row t + S - 1 has the newest frame of time t, up to t = stop
        return {
            "planes": newest(self._ring.tensor, frames),
            "age": newest(self._age.view(self._rows, self._num_envs), frames),
            "serial": newest(self._serial, stop),
            "finals": self._kept_finals(),
        }

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self._ring.refill(state["planes"])
        refill(self._age.view(self._rows, self._num_envs), state["age"])
        refill(self._serial, state["serial"])
        self._ends[:] = 0
        for number, serial in state["serial"].pieces():
            places = np.arange(number, number + len(serial)) % self._length
            self._ends[places] = (serial >= 0).sum(1).cpu().numpy()
        finals: Rows = state["finals"]
        self._oldest_final = self._next_final = finals.first
        self._make_room(finals.stop - finals.first)
        _refill(self._finals, finals)
        self._next_final = finals.stop


def _ends_of(rollout: Rollout) -> np.ndarray:
    """[T] how many episodes end at each time."""
    ends = rollout.last.sum(1).cpu().numpy() if rollout.ends is None else rollout.ends
    if int(ends.sum()) != rollout.final_obs.shape[0]:
        raise ValueError(f"{rollout.final_obs.shape[0]} final observations for {int(ends.sum())} ends of episodes")
    return ends


def _refill(stored: StoredRows, finals: Rows) -> None:
    """Writes last frames [N, H, W] to the places of their serial numbers."""
    ring = StoredRing(stored, 1)
    for serial, frames in finals.pieces():
        ring.write(serial, frames[:, None])
