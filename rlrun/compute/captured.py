"""A function of tensors, recorded once for each shape of its inputs and then replayed. Experimental.

A recording reads and writes fixed places in memory, and no Python of the function runs when it is replayed. That is
what a CUDA graph is (docs.pytorch.org, "CUDA semantics", CUDA Graphs); `Recorder` is the seam, so that the logic around
it is tested without a GPU. It has only run that way, in simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any, Protocol

import torch
from torch import Tensor

from rlrun.compute.transfer import pinned
from rlrun.numerics.tree import tree_leaves, tree_like

Function = Callable[..., dict[str, Tensor]]  # of tensors, and named tuples of them

_WARM_UPS = 3  # calls before a recording: libraries choose kernels and allocate workspaces in the first ones
_MOST_RECORDINGS = 32  # of one function; for further shapes of inputs it runs eagerly


class Recorder(Protocol):
    """Can record what a function does to tensors."""

    def warm_up(self, function: Callable[[], object]) -> None:
        """Calls the function, in preparation for a recording."""
        ...

    def record(self, function: Callable[[], Mapping[str, Tensor]]) -> tuple[Callable[[], None], Mapping[str, Tensor]]:
        """Records one call; whether the call also takes effect is not specified.

        Returns:
            A function that replays it, and the outputs that each replay fills in.
        """
        ...


class Captured:
    """`function`, recorded. Outputs are copies: the next call does not change them.

    Args:
        function: of trees of tensors only. Its operations must not depend on values: no value may become a Python
            number, no shape may depend on a value, and it must not draw random numbers.
        reads: everything that it reads besides its inputs, at the same memory in every call. Where another tensor has
            replaced one of them (for example after loading a state), it is recorded again.
        changes: everything that it changes, of the same kind. Warming up changes it too, and then restores it.
        recorder: makes the recordings.
        device: where the function computes; inputs are copied there.
    """

    def __init__(
        self,
        function: Function,
        reads: Callable[[], Sequence[Tensor]],
        changes: Callable[[], Sequence[Tensor]],
        recorder: Recorder,
        device: torch.device,
    ) -> None:
        self._function = function
        self._reads = reads
        self._changes = changes
        self._recorder = recorder
        self._device = device
        self._recordings: dict[tuple[tuple[torch.Size, torch.dtype], ...], _Recording] = {}

    def __call__(self, *inputs: Any) -> dict[str, Tensor]:
        """The function's outputs for `inputs`."""
        tensors = tree_leaves(inputs)
        touched = [*self._reads(), *self._changes()]
        key = tuple((given.shape, given.dtype) for given in tensors)
        recording = self._recordings.get(key)
        if recording is None or not recording.is_of(touched):
            if recording is None and len(self._recordings) >= _MOST_RECORDINGS:
                return self._function(*tree_like(inputs, [given.to(self._device) for given in tensors]))
            made = self._record(inputs, touched)
            if not isinstance(made, _Recording):
                return made
            recording = self._recordings[key] = made
        for place, given in zip(recording.inputs, tensors, strict=True):
            place.copy_(pinned(given, self._device), non_blocking=True)
        recording.replay()
        return {name: output.clone() for name, output in recording.outputs.items()}

    def _record(self, inputs: Sequence[Any], touched: list[Tensor]) -> _Recording | dict[str, Tensor]:
        """Leaves everything that the function changes as it was, bit for bit.

        Where warming up replaced some of those tensors (an optimizer's, of which only a part was moved), they cannot be
        restored: then the function has been called once, and its outputs are returned.
        """
        exactly = torch.contiguous_format
        places = [given.to(self._device, copy=True, memory_format=exactly) for given in tree_leaves(inputs)]
        placed = tree_like(inputs, places)
        changed = self._changes()
        before = [tensor.detach().clone() for tensor in changed]
        first: list[Mapping[str, Tensor]] = []
        self._recorder.warm_up(lambda: first.append(self._function(*placed)))
        if not _are(self._changes(), changed):
            return {name: output.clone() for name, output in first[0].items()}
        for _ in range(_WARM_UPS - 1):
            self._recorder.warm_up(lambda: self._function(*placed))
        replay, outputs = self._recorder.record(lambda: self._function(*placed))
        with torch.no_grad():
            for tensor, saved in zip(changed, before, strict=True):
                tensor.copy_(saved)
        return _Recording(places, replay, outputs, touched)


@dataclass(frozen=True, slots=True, eq=False)
class _Recording:
    inputs: Sequence[Tensor]  # where it reads its inputs
    replay: Callable[[], None]
    outputs: Mapping[str, Tensor]  # where it leaves what it returns
    touched: Sequence[Tensor]  # kept, so that their memory cannot be reused

    def is_of(self, touched: Sequence[Tensor]) -> bool:
        """Whether it was recorded with these very tensors."""
        return _are(touched, self.touched)


def _are(these: Sequence[Tensor], those: Sequence[Tensor]) -> bool:
    return len(these) == len(those) and all(map(is_, these, those))
