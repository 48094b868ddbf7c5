"""Whether numbers are finite in float32, from which agents learn: NaN and infinity corrupt all that follows."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from rlrun.types import Array, BoolArray

LARGEST_FLOAT32: Final = float(np.finfo(np.float32).max)
_ITEMSIZE = np.dtype(np.float32).itemsize
_FEW = 64  # up to this many, Python's floats are faster than numpy's loops: 0.5 us instead of 2 for four


def fits_float32(array: Array) -> bool:
    """Whether all numbers of `array` (of any shape) are finite, also in float32. Integers always are."""
    if (
        array.size <= _FEW and math.hypot(*array.ravel().tolist()) <= LARGEST_FLOAT32
    ):  # at least as large as any of them
        return True
    if array.dtype.kind != "f":
        return True
    return bool(_each_fits(array).all())


def first_unfit(array: Array) -> tuple[int, ...]:
    """The index of the first one that is not; there must be one."""
    index: tuple[int, ...] = tuple(np.argwhere(~_each_fits(array))[0].tolist())
    return index


def _each_fits(array: Array) -> BoolArray:
    """[...] for each number."""
    fits: BoolArray = np.isfinite(array) if array.itemsize <= _ITEMSIZE else np.abs(array) <= LARGEST_FLOAT32  # not NaN
    return fits
