"""Whether two states are equal, bit for bit, and where they are not."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlrun.replay.ring import Rows
from rlrun.types import Array


def first_difference(left: Any, right: Any, path: str = "") -> str | None:
    """Where two trees of tensors, arrays, rows and plain values first differ, as `a/b/0`; None if they are equal.

    Numbers are compared by their bits: a NaN equals itself, and 0.0 is not -0.0.
    """
    here = path or "everything"
    if isinstance(left, Rows) or isinstance(right, Rows):
        if not (isinstance(left, Rows) and isinstance(right, Rows)):
            return here
        return None if (row := _first_row(left, right)) is None else f"{here}, row {row}"
    if isinstance(left, dict):
        if not isinstance(right, dict) or left.keys() != right.keys():
            return here
        return _first((_below(path, key), left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        if not isinstance(right, list | tuple) or len(left) != len(right):
            return here
        pairs = enumerate(zip(left, right, strict=True))
        return _first((_below(path, number), *pair) for number, pair in pairs)
    return None if _leaves_equal(left, right) else here


def _first(pairs: Iterator[tuple[str, Any, Any]]) -> str | None:
    found = (first_difference(left, right, path) for path, left, right in pairs)
    return next((place for place in found if place is not None), None)


def _below(path: str, key: object) -> str:
    return f"{path}/{key}" if path else str(key)


def _leaves_equal(left: Any, right: Any) -> bool:
    if isinstance(left, Tensor):
        return isinstance(right, Tensor) and left.dtype == right.dtype and _bits_equal(left, right)
    if isinstance(left, np.ndarray):
        return isinstance(right, np.ndarray) and left.dtype == right.dtype and _arrays_equal(left, right)
    if isinstance(left, float) and isinstance(right, float):
        return struct.pack("<d", left) == struct.pack("<d", right)
    return bool(left == right)


def _bits_equal(left: Tensor, right: Tensor) -> bool:
    if left.shape != right.shape:
        return False
    left, right = left.detach().cpu().contiguous().reshape(-1), right.detach().cpu().contiguous().reshape(-1)
    return torch.equal(left.view(torch.uint8), right.view(torch.uint8))


def _arrays_equal(left: Array, right: Array) -> bool:
    return left.shape == right.shape and left.tobytes() == right.tobytes()


def _first_row(left: Rows, right: Rows) -> int | None:
    """The number of the first row that differs, however they are stored and split into pieces; None if none does."""
    if (left.first, left.stop) != (right.first, right.stop):
        return min(left.first, right.first)
    mine, theirs = left.pieces(), right.pieces()
    a = b = torch.zeros(0)
    number = left.first
    while number < left.stop:
        if not len(a):
            a = next(mine)[1]
        if not len(b):
            b = next(theirs)[1]
        count = min(len(a), len(b))
        if not _leaves_equal(a[:count], b[:count]):
            return number + next((row for row in range(count) if not _leaves_equal(a[row], b[row])), 0)
        a, b, number = a[count:], b[count:], number + count
    return None
