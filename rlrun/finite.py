"""Whether numbers are finite in float32, which is what agents learn from: NaN and infinity spoil all that follows."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from rlrun.types import Array

LARGEST_FLOAT32: Final = float(np.finfo(np.float32).max)
_FEW = 64  # up to so many, Python's floats are quicker than numpy's loops: 0.5 us for four, and not 2


def fits_float32(array: Array) -> bool:
    """Whether all numbers of `array` are finite, and stay so in float32. Whatever is not made of floats does."""
    if array.dtype.kind != "f":
        return True
    if array.size <= _FEW and math.hypot(*array.ravel().tolist()) <= LARGEST_FLOAT32:  # never less than any of them
        return True
    if array.dtype == np.float32:
        return bool(np.isfinite(array).all())
    return bool((np.abs(array) <= LARGEST_FLOAT32).all())  # NaN is not
