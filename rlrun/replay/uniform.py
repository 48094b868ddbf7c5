"""Experience replay with uniform sampling (Lin 1992; Mnih et al. 2013, Algorithm 1) and n-step returns.

A ring of the newest L times of B environment slots. One time of one slot is one step; `time` counts from 0 and never
wraps, row = time mod L.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from rlrun.compute.transfer import pinned
from rlrun.errors import ArgumentError, UserError
from rlrun.replay.deferred_checks import DeferredChecks
from rlrun.replay.frames import FrameObservations
from rlrun.replay.memory import action_dtype, kept_parts, torch_dtype
from rlrun.replay.observations import EachPart, ObservationStore, PlainObservations
from rlrun.replay.ring import newest, refill
from rlrun.replay.storage import MemoryStorage, Storage, StoredRing
from rlrun.types import Batch, EnvSpec, Obs, Rollout, State, map_obs

__all__ = ["UniformReplay"]

_LOG = logging.getLogger(__name__)


class UniformReplay:
    """Keeps the newest steps and draws transitions uniformly, with replacement.

    Args:
        capacity_steps: steps kept, all slots together; L = capacity_steps // num_envs times of every slot.
        n_step: how many rewards are summed before bootstrapping; fewer where an episode ends.
        gamma: discount factor per step.
        spec: shapes, dtypes and the number of slots; stacked frames (`frame_stack` > 1) are stored once each.
        device: of the batches.
        storage: where everything is kept; None: in the memory of `device`.
        keep: names of extras of `spec` that batches have too, from a transition's first step.
        fixed_shapes: no shape within `gather` depends on values, so that it can be recorded. Equal bits; slower on CPU.
            An invalid rollout is then reported by one of the next 256 calls of `extend`, or by `state_dict`.

    Raises:
        UserError: if not one n-step window fits, or there is not enough memory or disk space.

    Logs first how much it needs.
    """

    def __init__(
        self,
        *,
        capacity_steps: Annotated[int, Field(gt=0)],
        n_step: Annotated[int, Field(gt=0)],
        gamma: Annotated[float, Field(ge=0, le=1)],
        spec: EnvSpec,
        device: torch.device,
        storage: Storage | None = None,
        keep: Collection[str] = (),
        fixed_shapes: bool = False,
    ) -> None:
        spec = dataclasses.replace(spec, extras={name: spec.extras[name] for name in keep})
        self._length = capacity_steps // spec.num_envs
        if self._length < n_step:
            raise ArgumentError(
                "capacity_steps",
                f"={capacity_steps} is too small: {n_step}-step returns in {spec.num_envs} environments need at least "
                f"{n_step * spec.num_envs}",
            )
        storage = storage or MemoryStorage(device)
        _LOG.info(storage.describe(spec, capacity_steps))
        storage.require_room(spec, capacity_steps)
        self._num_envs = spec.num_envs
        self._n_step = n_step
        self._gamma = gamma
        self._batch_device = device
        device = self._device = storage.device
        shape = (self._length, spec.num_envs)
        self._action = torch.empty(shape, dtype=action_dtype(spec.num_actions), device=device)
        self._reward = torch.empty(shape, dtype=torch.float32, device=device)
        self._discount = torch.empty(shape, dtype=torch.float32, device=device)
        self._last = torch.empty(shape, dtype=torch.bool, device=device)
        self._checks = DeferredChecks(device, later=fixed_shapes)
        upcoming: dict[str, Tensor] = {}
        stores: dict[str, ObservationStore] = {}
        for name, space in kept_parts(spec).items():
            upcoming[name] = torch.zeros((spec.num_envs, *(space.shape or ())), dtype=torch_dtype(space), device=device)
            if name == "obs" and spec.frame_stack > 1:
                stores[name] = FrameObservations(
                    length=self._length,
                    spec=spec,
                    storage=storage,
                    fixed_shapes=fixed_shapes,
                    checks=self._checks,
                )
            else:
                stores[name] = PlainObservations(
                    length=self._length, space=space, num_envs=spec.num_envs, storage=storage
                )
        in_parts = isinstance(spec.observation, Mapping)
        self._upcoming: Obs = upcoming if in_parts else upcoming["obs"]  # the next rollout must begin with it
        self._observations: ObservationStore = EachPart(stores) if in_parts else stores["obs"]
        self._extras = {
            name: storage.allocate((self._length * spec.num_envs, *space.shape), torch_dtype(space))
            for name, space in spec.extras.items()
        }
        self._stop = 0  # times written so far, dropped ones included

    @property
    def num_bytes(self) -> int:
        """Bytes allocated now, in memory and on disk."""
        upcoming = self._upcoming.values() if isinstance(self._upcoming, dict) else [self._upcoming]
        return sum(tensor.nbytes for tensor in (*self.tensors(), *upcoming))

    def tensors(self) -> list[Tensor]:
        """All tensors that batches are gathered from."""
        kept = [stored.tensor for stored in self._extras.values()]
        return [*self._rings().values(), *kept, *self._observations.tensors()]

    def __len__(self) -> int:
        """How many transitions can be drawn: the newest n - 1 times of every slot still lack their successors."""
        return max(0, min(self._stop, self._length) - self._n_step + 1) * self._num_envs

    def extend(self, rollout: Rollout) -> None:
        """Adds T steps of B slots, dropping the oldest when full.

        Raises:
            UserError: if a rollout is longer than the replay.
            ValueError: if steps do not follow one another without a gap (within a rollout, or from one to the next),
                observations have another shape or dtype than the environment's, or stacked frames do not fit together.
        """
        num_steps, rollout = rollout.last.shape[0], self._brought(rollout)
        if num_steps == 0:
            return
        if num_steps > self._length:
            raise UserError(
                f"a rollout of {num_steps} steps in each of {self._num_envs} environments is more than a replay of "
                f"{self._length * self._num_envs} steps holds"
            )
        self._refuse_gaps(rollout)
        self._observations.extend(self._stop, rollout)
        row = torch.arange(self._stop, self._stop + num_steps, device=self._device) % self._length
        self._action[row] = rollout.action.to(self._action.dtype)
        self._reward[row] = rollout.reward
        self._discount[row] = rollout.discount
        self._last[row] = rollout.last
        for name, stored in self._extras.items():
            StoredRing(stored, self._num_envs).write(self._stop, rollout.extras[name].to(stored.tensor.dtype))
        map_obs(_keep_newest, self._upcoming, rollout.obs_sequence)
        self._stop += num_steps

    def _brought(self, rollout: Rollout) -> Rollout:
        """What is stored -> where it is stored."""
        if self._device == self._batch_device:
            return rollout
        names = ("obs_sequence", "final_obs", "action", "reward", "discount", "last", "mask", "extras")
        return dataclasses.replace(rollout, **{name: map_obs(self._to_here, getattr(rollout, name)) for name in names})

    def _to_here(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device)

    def _refuse_gaps(self, rollout: Rollout) -> None:
        for name in self._extras:
            if name not in rollout.extras:
                known = ", ".join(rollout.extras) or "none"
                raise ValueError(f"the replay must keep {name}, but the rollout has these extras: {known}")
        every = "a replay needs every step of every slot, but this rollout has masked-out steps"
        self._checks.all(rollout.mask, every)
        map_obs(self._refuse_gap, self._upcoming, rollout.obs_sequence)
        self._checks.read_sometimes()

    def _refuse_gap(self, wanted: Tensor, sequence: Tensor) -> None:
        given = sequence[0]
        if given.shape != wanted.shape or given.dtype != wanted.dtype:
            raise ValueError(
                f"expected observations {wanted.dtype} {tuple(wanted.shape)}, not {given.dtype} {tuple(given.shape)}"
            )
        if self._stop > 0:
            follows = "a rollout must begin with the observation that the previous one ended with"
            self._checks.equal(given, wanted, follows)

    def sample(self, batch_size: int, rng: torch.Generator) -> Batch:
        """Draws `batch_size` transitions, with replacement; see `draw` and `gather`."""
        return self.gather(*self.draw(batch_size, rng))

    def draw(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draws `count` steps, with replacement: their times [count] and slots [count], on the generator's device.

        Raises:
            ValueError: if there are none.
        """
        choices = len(self)
        if choices == 0:
            raise ValueError(
                f"nothing to draw: the replay has {self._stop} times, but {self._n_step}-step windows need more"
            )
        drawn = torch.randint(choices, (count,), generator=rng, device=rng.device)
        return drawn // self._num_envs + max(0, self._stop - self._length), drawn % self._num_envs

    def gather(self, time: Tensor, slot: Tensor) -> Batch:
        """The transitions that begin at times `time` [N] of slots `slot` [N].

        The n-step return (Sutton 1988) of a step stops where its episode ends, or where the discount is 0; at a
        time limit it bootstraps from the true last observation with the power of gamma for its length.
        """
        time, slot = (pinned(each, self._device).to(self._device, non_blocking=True) for each in (time, slot))
        index = time % self._length * self._num_envs + slot
        reward, discount, final = self._returns(time, slot)
        obs, next_obs = self._observations.gather(time, final, slot)
        action = self._action.flatten().index_select(0, index).long()
        for stored in self._extras.values():
            stored.expect(index)
        extras = {name: stored.tensor.index_select(0, index) for name, stored in self._extras.items()}
        batch = Batch(obs, action, reward, discount, next_obs, torch.ones_like(reward), index, extras)
        return Batch(*(map_obs(self._to_batch_device, item) for item in batch))

    def _to_batch_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._batch_device)

    def _returns(self, time: Tensor, slot: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Walks all windows at once: sum of rewards [N], discount [N], and the last time of each."""
        rewards, discounts, lasts = self._reward.flatten(), self._discount.flatten(), self._last.flatten()
        index = time % self._length * self._num_envs + slot
        reward = rewards[index]
        discount = self._gamma * discounts[index]  # gamma^k times the discounts so far
        final = time
        running = ~lasts[index] & (discount != 0)
        for _ in range(1, self._n_step):
            # Windows that have stopped read their last step again, without effect.
            final = final + running
            index = final % self._length * self._num_envs + slot
            reward = reward + torch.where(running, discount * rewards[index], 0.0)
            discount = torch.where(running, discount * self._gamma * discounts[index], discount)
            running = running & ~lasts[index] & (discount != 0)
        return reward, discount, final

    def _rings(self) -> dict[str, Tensor]:
        """A ring of what is always in memory: [L, B]."""
        return {"action": self._action, "reward": self._reward, "discount": self._discount, "last": self._last}

    def state_dict(self) -> State:
        """Everything stored. Rings share memory with the replay: write or copy them before the next `extend`."""
        self._checks.read()
        return {
            **{name: newest(tensor, self._stop) for name, tensor in self._rings().items()},
            "upcoming": self._upcoming,
            "extras": {
                name: newest(StoredRing(stored, self._num_envs).tensor, self._stop)
                for name, stored in self._extras.items()
            },
            "observations": self._observations.state_dict(self._stop),
            "stop": self._stop,
        }

    def load_state_dict(self, state: State) -> None:
        """Continues exactly where `state` was taken; `state` is copied."""
        for name, tensor in self._rings().items():
            refill(tensor, state[name])
        map_obs(Tensor.copy_, self._upcoming, state["upcoming"])
        for name, stored in self._extras.items():
            StoredRing(stored, self._num_envs).refill(state["extras"][name])
        self._observations.load_state_dict(state["observations"])
        self._stop = state["stop"]


def _keep_newest(upcoming: Tensor, sequence: Tensor) -> None:
    upcoming.copy_(sequence[-1])
