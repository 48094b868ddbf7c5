"""Whether an observation is what its space says: shape, type and value. Gymnasium's own `contains` is too strict.

Rounding passes (float64 for a space of float32), and so do lists of numbers that fit, and floats outside of the bounds,
which many environments show. What cannot be represented is refused: NaN, infinity, fractions among integers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from gymnasium import spaces

from rlrun.finite import LARGEST_FLOAT32, fits_float32
from rlrun.types import Array

Check: TypeAlias = Callable[[Any], str | None]  # what is wrong with an observation, after "the observation ..."

_NUMBERS = "fiub"  # numpy's letters of floats, integers and truth values
_SHOWN_CHARACTERS = 60  # of a value, in a message


def described(value: Any) -> str:
    """What a value is, in a few words without memory addresses."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of {value.dtype} of shape {value.shape}"
    if isinstance(value, tuple | list | Mapping):
        return f"a {type(value).__name__} of {len(value)}"
    if value is None or isinstance(value, bool | int | float | str | np.generic | np.ndarray):
        shown = repr(value.item() if isinstance(value, np.generic | np.ndarray) else value)
        return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}..."
    return f"a {type(value).__name__}"


def check_of(space: spaces.Space[Any]) -> Check:
    """The check of observations of `space`."""
    if isinstance(space, spaces.Box):
        return _NumbersCheck(space.shape, space.dtype)
    if isinstance(space, spaces.Discrete):
        return _IndexCheck(space)
    if isinstance(space, spaces.MultiDiscrete):
        return _NumbersCheck(space.shape, space.dtype, space.start, space.start + space.nvec - 1)
    if isinstance(space, spaces.MultiBinary):
        return _NumbersCheck(space.shape, space.dtype, 0, 1)
    if isinstance(space, spaces.Dict):
        return _PartsCheck(dict(space.spaces), dict)
    if isinstance(space, spaces.Tuple):
        return _PartsCheck(dict(enumerate(space.spaces)), tuple)
    return lambda obs: None if space.contains(obs) else f"is {described(obs)}, which is not in its observation_space"


class _NumbersCheck:
    """Arrays of one shape.

    Args:
        shape: of the space.
        dtype: of the space.
        low: the least value of each number, an array [...] or one for all; None: whatever the dtype can hold.
        high: the largest.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: Any, low: Array | int | None = None, high: Array | int | None = None
    ) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._holds_floats = self._dtype.kind == "f"
        self._all_of_dtype_fit = low is None
        if low is None and not self._holds_floats:
            low, high = (0, 1) if self._dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        self._low, self._high = low, high

    def __call__(self, obs: Any) -> str | None:
        try:
            array = obs if isinstance(obs, np.ndarray) else np.asarray(obs)
        except (ValueError, TypeError, RuntimeError):  # ragged lists, whatever a tensor says of its device
            return f"is {described(obs)}, and no array of numbers"
        if array.shape != self._shape:
            return f"has the shape {array.shape}, and its observation_space {self._shape}"
        if array.dtype == self._dtype and not self._holds_floats and self._all_of_dtype_fit:
            return None
        if array.dtype.kind not in _NUMBERS:
            return f"is made of {array.dtype}, and its observation_space of {self._dtype}"
        if not fits_float32(array):
            return _no_number(array)
        return None if self._holds_floats else self._out_of_range(array)

    def _out_of_range(self, array: Array) -> str | None:
        """What does not fit among the integers of the space."""
        if array.dtype.kind == "f" and (array != np.floor(array)).any():
            fraction = array[array != np.floor(array)].flat[0]
            return f"holds {fraction:g}, and its observation_space integers ({self._dtype})"
        outside = (array < self._low) | (array > self._high)
        if outside.any():
            wrong = array[outside].flat[0]
            low, high = (np.broadcast_to(each, array.shape)[outside].flat[0] for each in (self._low, self._high))
            return f"holds {wrong:g}, and its observation_space ({self._dtype}) {low} to {high}"
        return None


def _no_number(array: Array) -> str:
    """Which of them is the first that is not finite, or too large."""
    index, wrong = next(
        (at, each) for at, each in enumerate(array.ravel().tolist()) if not abs(each) <= LARGEST_FLOAT32
    )
    place = "" if array.size == 1 else f" at index {tuple(int(i) for i in np.unravel_index(index, array.shape))}"
    too_large = " is too large for float32" if np.isfinite(wrong) else ""
    return f"holds {wrong:g}{place}{too_large and f', which{too_large}'}"


class _IndexCheck:
    """One of n integers."""

    def __init__(self, space: spaces.Discrete) -> None:
        self._first, self._last, self._count = int(space.start), int(space.start + space.n) - 1, int(space.n)

    def __call__(self, obs: Any) -> str | None:
        try:
            if self._first <= operator.index(obs) <= self._last:
                return None
        except TypeError:  # a fraction, a tuple
            pass
        return f"is {described(obs)}, which is not in its observation_space ({self._count} indices from {self._first})"


class _PartsCheck:
    """Named or counted parts, each of a space of its own."""

    def __init__(
        self, parts: Mapping[Any, spaces.Space[Any]], kind: type[dict[Any, Any]] | type[tuple[Any, ...]]
    ) -> None:
        self._checks = {name: check_of(space) for name, space in parts.items()}
        self._kind = kind

    def __call__(self, obs: Any) -> str | None:
        if self._kind is tuple and isinstance(obs, tuple | list):
            obs = dict(enumerate(obs))
        if not isinstance(obs, Mapping) or obs.keys() != self._checks.keys():
            shown = f"a dict of {', '.join(map(str, obs))}" if isinstance(obs, Mapping) else described(obs)
            return f"is {shown}, and its observation_space has the parts {', '.join(map(str, self._checks))}"
        for name, check in self._checks.items():
            trouble = check(obs[name])
            if trouble is not None:
                return f"[{name!r}] {trouble}"
        return None
