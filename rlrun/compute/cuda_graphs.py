"""Recordings as CUDA graphs: one launch instead of one for every kernel. Experimental: no GPU has run this yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


class CudaGraphs:
    """Records on a stream of its own, as graphs require; replays on the current stream.

    Args:
        device: a GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None  # created on first use, since that initialises CUDA

    def _side(self) -> torch.cuda.Stream:
        if self._stream is None:
            self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        return self._stream

    def warm_up(self, function: Callable[[], object]) -> None:
        """See `Recorder.warm_up`."""
        side, current = self._side(), torch.cuda.current_stream(self._device)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            function()
        current.wait_stream(side)

    def record(self, function: Callable[[], Mapping[str, Tensor]]) -> tuple[Callable[[], None], Mapping[str, Tensor]]:
        """See `Recorder.record`. Nothing is computed; each graph keeps memory of its own."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._side()):
            outputs = function()
        return graph.replay, outputs
