"""Where a replay keeps its observations: the contract, memory, and how a ring is written there."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from rlrun.replay.memory import available_memory, describe, estimate_bytes, require_memory
from rlrun.replay.ring import Rows
from rlrun.types import EnvSpec


class StoredRows(Protocol):
    """Rows [N, ...] that are read through a tensor and written only by `write`."""

    @property
    def tensor(self) -> Tensor:
        """[N, ...], to be read and not written."""
        ...

    def write(self, first: int, rows: Tensor) -> None:
        """Writes `rows` [n, ...] as the rows first ... first + n - 1.

        Raises:
            UserError: if they cannot be written.
        """
        ...

    def expect(self, index: Tensor) -> None:
        """Announces that the rows `index` (int64, any shape) are read next, so that slow storage can start."""
        ...


class Storage(Protocol):
    """Allocates rows."""

    @property
    def device(self) -> torch.device:
        """The device of its tensors, and of what is computed from them."""
        ...

    def describe(self, spec: EnvSpec, capacity_steps: int) -> str:
        """One line for the log: what a replay of `capacity_steps` agent steps needs."""
        ...

    def require_room(self, spec: EnvSpec, capacity_steps: int) -> None:
        """Raises UserError, before allocation, if that replay would not fit; names the capacity that would."""
        ...

    def allocate(self, shape: tuple[int, ...], dtype: torch.dtype) -> StoredRows:
        """Room for rows [N, ...] of any content. Raises UserError if there is none."""
        ...


class MemoryRows:
    """Rows in memory.

    Args:
        tensor: [N, ...].
    """

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def write(self, first: int, rows: Tensor) -> None:
        """See `StoredRows.write`."""
        self.tensor[first : first + rows.shape[0]].copy_(rows)

    def expect(self, index: Tensor) -> None:
        """Nothing to prepare."""


class MemoryStorage:
    """A device's memory.

    Args:
        device: the device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def describe(self, spec: EnvSpec, capacity_steps: int) -> str:
        """See `Storage.describe`."""
        return describe(capacity_steps, estimate_bytes(spec, capacity_steps))

    def require_room(self, spec: EnvSpec, capacity_steps: int) -> None:
        """See `Storage.require_room`."""
        require_memory(spec, capacity_steps, available_memory(self.device))

    def allocate(self, shape: tuple[int, ...], dtype: torch.dtype) -> MemoryRows:
        """See `Storage.allocate`."""
        return MemoryRows(torch.empty(shape, dtype=dtype, device=self.device))


class StoredRing:
    """A ring of R times of B slots within stored rows; time number i lies at i mod R.

    Args:
        stored: [offset + R B, ...]; the rows before `offset` are not part of the ring.
        num_envs: B.
        offset: where the ring begins.
    """

    def __init__(self, stored: StoredRows, num_envs: int, offset: int = 0) -> None:
        self._stored, self._num_envs, self._offset = stored, num_envs, offset
        self._size = (stored.tensor.shape[0] - offset) // num_envs

    @property
    def tensor(self) -> Tensor:
        """[R, B, ...], to be read and not written."""
        rows = self._stored.tensor
        return rows[self._offset :].view(self._size, self._num_envs, *rows.shape[1:])

    def write(self, number: int, times: Tensor) -> None:
        """Writes `times` [n, B, ...] as times number ... number + n - 1, in at most two pieces where n <= R."""
        written = 0
        while written < times.shape[0]:
            place = (number + written) % self._size
            count = min(self._size - place, times.shape[0] - written)
            rows = times[written : written + count].flatten(0, 1)
            self._stored.write(self._offset + place * self._num_envs, rows)
            written += count

    def refill(self, saved: Rows) -> None:
        """Writes saved times [n, B, ...] back."""
        for number, times in saved.pieces():
            self.write(number, times)
