"""A replay's state for a checkpoint: rows written in order into a ring, so that only new ones need saving again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Rows(Protocol):
    """Rows with numbers first ... stop - 1, from memory or from disk."""

    @property
    def first(self) -> int:
        """The number of the oldest row that is still needed."""
        ...

    @property
    def stop(self) -> int:
        """How many rows were written in total."""
        ...

    def pieces(self) -> Iterator[tuple[int, Tensor]]:
        """(number of its first row, rows [n, ...]) of consecutive pieces, oldest first."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Ring:
    """A ring in memory: row number i of all rows written lies at i mod R, and is never changed afterwards.

    Args:
        tensor: [R, ...].
        first: number of the oldest row that is still needed; at least stop - R.
        stop: how many rows were written in total.
    """

    tensor: Tensor
    first: int
    stop: int

    def __post_init__(self) -> None:
        if not max(0, self.stop - self.tensor.shape[0]) <= self.first <= self.stop:
            raise ValueError(f"rows {self.first} to {self.stop} do not fit a ring of {self.tensor.shape[0]}")

    def pieces(self) -> Iterator[tuple[int, Tensor]]:
        """At most two views, which share memory with the ring."""
        yield from self.pieces_from(self.first)

    def pieces_from(self, number: int) -> Iterator[tuple[int, Tensor]]:
        """The same without the rows before `number`."""
        size, number = self.tensor.shape[0], max(number, self.first)
        while number < self.stop:
            place = number % size
            count = min(size - place, self.stop - number)
            yield number, self.tensor[place : place + count]
            number += count


def newest(tensor: Tensor, stop: int) -> Ring:
    """The ring `tensor` [R, ...] with all the rows that it still holds, after `stop` rows in total."""
    return Ring(tensor, max(0, stop - tensor.shape[0]), stop)


def refill(tensor: Tensor, rows: Rows) -> None:
    """Writes saved rows back into the ring `tensor` [R, ...]."""
    size = tensor.shape[0]
    for number, piece in rows.pieces():
        written = 0
        while written < piece.shape[0]:
            place = (number + written) % size
            count = min(size - place, piece.shape[0] - written)
            tensor[place : place + count].copy_(piece[written : written + count])
            written += count
