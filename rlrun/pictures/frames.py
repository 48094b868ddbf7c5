"""The frames of a video, compressed in memory until it is written."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray


class Frames(Sequence[NDArray[np.uint8]]):
    """Frames uint8 [h, w, 3], compressed."""

    def __init__(self) -> None:
        self._frames: list[tuple[bytes, tuple[int, ...]]] = []

    def append(self, frame: NDArray[np.uint8]) -> None:
        """Adds a frame, uint8 [h, w, 3]."""
        self._frames.append((zlib.compress(frame.tobytes(), 1), frame.shape))

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[NDArray[np.uint8]]: ...

    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | Sequence[NDArray[np.uint8]]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        data, shape = self._frames[index]
        return np.frombuffer(zlib.decompress(data), np.uint8).reshape(shape)
