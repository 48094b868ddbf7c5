"""Batches of a replay, several drawn ahead: few large calls take less time than many small ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from rlrun.protocols import Replay
from rlrun.types import Batch, EnvSpec, seen

_BYTES = 1 << 24  # of transitions that are drawn at once on a CPU
_ROWS = 1 << 11  # transitions: the output of a layer for more of them does not stay in the cache for the next layer
_BATCHES_ON_GPU = 16  # batches on a GPU, where memory is not the limit


class BatchesAhead:
    """Draws batches for updates, with a network's outputs for the next observations.

    A network that does not change during updates (a target network) evaluates all batches of a draw at once.

    Args:
        replay: the replay to draw from.
        batch_size: N, transitions of a batch.
        next_values: next observations [N, ...] to [N, ...], a forward pass of that network; without gradient.
        rng: the generator of the draws.
        at_once: at most this many batches in a draw; 1 where the network changes with every update.
    """

    def __init__(
        self,
        replay: Replay,
        batch_size: int,
        next_values: Callable[[Tensor], Tensor],
        rng: torch.Generator,
        *,
        at_once: int,
    ) -> None:
        self._replay, self._batch_size, self._rng = replay, batch_size, rng
        self._next_values, self._at_once = next_values, at_once

    def __call__(self, count: int) -> Iterator[tuple[Batch, Tensor]]:
        """`count` batches, each with its next values; make each update before taking the next batch."""
        while count:
            together = min(count, self._at_once)
            drawn = self._replay.sample(together * self._batch_size, self._rng)
            with torch.no_grad():
                next_values = self._next_values(seen(drawn.next_obs))
            size = self._batch_size
            yield from zip(drawn.split(size), torch.split(next_values, size), strict=True)
            count -= together


def batches_at_once(batch_size: int, spec: EnvSpec, device: torch.device) -> int:
    """How many batches are worth drawing at once, for an environment's transitions on a device."""
    if device.type == "cuda":
        return _BATCHES_ON_GPU
    return max(1, min(_ROWS, _BYTES // (2 * spec.obs_bytes)) // batch_size)
