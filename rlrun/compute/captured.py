"""A function of tensors that is recorded once for each shape of its inputs, and replayed from then on. Experimental.

A recording reads and writes fixed places in memory, and no Python of the function runs when it is replayed. That is
what a CUDA graph is (docs.pytorch.org, "CUDA semantics", CUDA Graphs); `Recorder` is the seam, so that the logic around
it is tested where there is no GPU. It has run there only, in simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any, Protocol

import torch
from torch import Tensor

from rlrun.numerics.tree import tree_leaves, tree_like
from rlrun.types import pinned

Function = Callable[..., dict[str, Tensor]]  # of tensors, and named tuples of them

_WARM_UPS = 3  # calls before a recording: libraries choose kernels and allocate workspaces in the first ones
_MOST_RECORDINGS = 32  # of one function; further shapes of inputs run as they are


class Recorder(Protocol):
    """Something that can record what a function does to tensors."""

    def warm_up(self, function: Callable[[], object]) -> None:
        """Calls the function where a recording is going to be made."""
        ...

    def record(self, function: Callable[[], Mapping[str, Tensor]]) -> tuple[Callable[[], None], Mapping[str, Tensor]]:
        """Records one call; whether it has an effect besides is not specified.

        Returns:
            What replays it, and the outputs that it fills in each time.
        """
        ...


class Captured:
    """`function`, recorded. Outputs are copies: the next call does not change them.

    Args:
        function: of trees of tensors only. It must do the same to any numbers: no value may become a
            Python number, no shape may depend on a value, and it may not draw random numbers.
        reads: everything that it reads besides its inputs, and that is the same memory at every call. Where another
            tensor has taken the place of one of them since (after loading a state, say), it is recorded anew.
        changes: what it changes, of the same kind. Warming up changes it too, and then puts back what was there.
        recorder: what records.
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
        """What the function returns for `inputs`."""
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

        Where other tensors took the place of some of those while it warmed up (an optimizer's, of which only a part
        was moved), that cannot be put back: then it has been called once, and this is what it returned.
        """
        exactly = torch.contiguous_format
        places = [given.to(self._device, copy=True, memory_format=exactly) for given in tree_leaves(inputs)]
        placed = tree_like(inputs, places)
        changed = self._changes()
        before = [tensor.detach().clone() for tensor in changed]
        said: list[Mapping[str, Tensor]] = []
        self._recorder.warm_up(lambda: said.append(self._function(*placed)))
        if not _are(self._changes(), changed):
            return {name: output.clone() for name, output in said[0].items()}
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
    touched: Sequence[Tensor]  # kept, so that none of their memory can be another tensor's

    def is_of(self, touched: Sequence[Tensor]) -> bool:
        """Whether these are the very tensors that it was recorded with."""
        return _are(touched, self.touched)


def _are(these: Sequence[Tensor], those: Sequence[Tensor]) -> bool:
    return len(these) == len(those) and all(map(is_, these, those))
