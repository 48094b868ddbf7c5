"""How a replay keeps observations: the contract, and the plain way, which stores every observation twice."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from rlrun.replay.memory import observation_dtype
from rlrun.replay.ring import newest
from rlrun.replay.storage import Storage, StoredRing
from rlrun.types import EnvSpec, Rollout, State


class ObservationStore(Protocol):
    """Keeps the observations of the newest L times of B slots. Times count from 0 and never wrap.

    Times must be written without gaps; only the newest L may be read.
    """

    def extend(self, start: int, rollout: Rollout) -> None:
        """Writes times start ... start + T - 1, where T <= L."""
        ...

    def gather(self, first: Tensor, final: Tensor, slot: Tensor) -> tuple[Tensor, Tensor]:
        """What was seen at times `first` [N], and the true successors of times `final` [N], in slots `slot` [N].

        Callers that look one step ahead pass one tensor as both, which may be cheaper.

        Returns:
            obs [N, ...] and next_obs [N, ...], which may share memory.
        """
        ...

    def tensors(self) -> list[Tensor]:
        """Everything it allocated."""
        ...

    def state_dict(self, stop: int) -> State:
        """The state when `stop` times were written, as rings that share memory with the store."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Continues exactly; the state is copied."""
        ...


class PlainObservations:
    """Observation and true successor of every step, side by side: simple, and the yardstick for anything cleverer.

    Args:
        length: L, how many times are kept.
        spec: shape and dtype of observations, and the number of slots B.
        storage: where they are kept.
    """

    def __init__(self, *, length: int, spec: EnvSpec, storage: Storage) -> None:
        self._length = length
        self._num_envs = spec.num_envs
        shape, dtype = (length * spec.num_envs, *spec.obs_shape), observation_dtype(spec)
        self._stored = [storage.allocate(shape, dtype) for _ in range(2)]  # [L B, ...] obs and next_obs
        self._obs, self._next_obs = (StoredRing(stored, spec.num_envs) for stored in self._stored)

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
