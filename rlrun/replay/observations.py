"""How a replay keeps observations: the contract, and the plain store, which keeps every observation twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from torch import Tensor

from rlrun.replay.memory import torch_dtype
from rlrun.replay.ring import newest
from rlrun.replay.storage import Storage, StoredRing
from rlrun.types import Obs, Rollout, Space, State


class ObservationStore(Protocol):
    """Keeps the observations of the newest L times of B slots. Times count from 0 and never wrap.

    Times must be written without gaps; only the newest L may be read.
    """

    def extend(self, start: int, rollout: Rollout) -> None:
        """Writes times start ... start + T - 1, where T <= L."""
        ...

    def gather(self, first: Tensor, final: Tensor, slot: Tensor) -> tuple[Obs, Obs]:
        """Observations at times `first` [N], and the true successors of times `final` [N], in slots `slot` [N].

        For one-step transitions the same tensor may be passed as both, which may be cheaper.

        Returns:
            obs [N, ...] and next_obs [N, ...], which may share memory.
        """
        ...

    def tensors(self) -> list[Tensor]:
        """Everything it allocated."""
        ...

    def state_dict(self, stop: int) -> State:
        """The state after `stop` times, as rings that share memory with the store."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Continues exactly; the state is copied."""
        ...


class PlainObservations:
    """Observation and true successor of every step, side by side: simple, and the reference for other stores.

    Args:
        length: L, how many times are kept.
        space: their shape and dtype.
        num_envs: the number of slots B.
        storage: where they are kept.
    """

    def __init__(self, *, length: int, space: Space, num_envs: int, storage: Storage) -> None:
        self._length = length
        self._num_envs = num_envs
        shape, dtype = (length * num_envs, *(space.shape or ())), torch_dtype(space)
        self._stored = [storage.allocate(shape, dtype) for _ in range(2)]  # [L B, ...] obs and next_obs
        self._obs, self._next_obs = (StoredRing(stored, num_envs) for stored in self._stored)

    def extend(self, start: int, rollout: Rollout) -> None:
        """Writes times start ... start + T - 1."""
        self._obs.write(start, rollout.obs)
        self._next_obs.write(start, rollout.next_obs)

    def gather(self, first: Tensor, final: Tensor, slot: Tensor) -> tuple[Tensor, Tensor]:
        """See `ObservationStore.gather`."""
        places = [time % self._length * self._num_envs + slot for time in (first, final)]
        for stored, place in zip(self._stored, places, strict=True):
            stored.expect(place)
        obs, next_obs = (
            stored.tensor.index_select(0, place) for stored, place in zip(self._stored, places, strict=True)
        )
        return obs, next_obs

    def tensors(self) -> list[Tensor]:
        """Everything it allocated."""
        return [stored.tensor for stored in self._stored]

    def state_dict(self, stop: int) -> State:
        """The rows written so far."""
        return {"obs": newest(self._obs.tensor, stop), "next_obs": newest(self._next_obs.tensor, stop)}

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self._obs.refill(state["obs"])
        self._next_obs.refill(state["next_obs"])


class EachPart:
    """Observations that are dicts, each part in a store of its own.

    Args:
        parts: stores, by name.
    """

    def __init__(self, parts: Mapping[str, ObservationStore]) -> None:
        self._parts = parts

    def extend(self, start: int, rollout: Rollout) -> None:
        """See `ObservationStore.extend`."""
        sequence, finals = rollout.obs_sequence, rollout.final_obs
        for name, part in self._parts.items():
            part.extend(start, replace(rollout, obs_sequence=sequence[name], final_obs=finals[name]))

    def gather(self, first: Tensor, final: Tensor, slot: Tensor) -> tuple[Obs, Obs]:
        """See `ObservationStore.gather`."""
        both = {name: part.gather(first, final, slot) for name, part in self._parts.items()}
        return {name: obs for name, (obs, _) in both.items()}, {name: next_obs for name, (_, next_obs) in both.items()}

    def tensors(self) -> list[Tensor]:
        """Everything they allocated."""
        return [tensor for part in self._parts.values() for tensor in part.tensors()]

    def state_dict(self, stop: int) -> State:
        """The states of the parts, by name."""
        return {name: part.state_dict(stop) for name, part in self._parts.items()}

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
