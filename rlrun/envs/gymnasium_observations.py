"""Whether an observation is what its space says: shape, type and value. Gymnasium's own `contains` is too strict.

Rounding passes (float64 for a space of float32), and so do lists of numbers that fit, and floats outside the bounds,
which many environments return. What cannot be represented is refused: NaN, infinity, fractions among integers.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from gymnasium import spaces

from rlrun.numerics.finite import first_unfit, fits_float32
from rlrun.types import Array

Check: TypeAlias = Callable[[Any], str | None]  # what is wrong with an observation, after "the observation ..."

_NUMBERS = "fiub"  # numpy's letters of floats, integers and truth values
_SHOWN_CHARACTERS = 60  # of a value, in a message


def described(value: Any) -> str:
    """A short description of a value, without memory addresses."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of {value.dtype} of shape {value.shape}"
    if isinstance(value, tuple | list | Mapping):
        return f"a {type(value).__name__} of {len(value)}"
    if value is None or isinstance(value, bool | int | float | str | np.generic | np.ndarray):
        shown = repr(value.item() if isinstance(value, np.generic | np.ndarray) else value)
        return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}..."
    return f"a {type(value).__name__}"


def check_of(space: spaces.Space[Any]) -> Check:
    """The check of observations of `space`, which `gymnasium_spaces` supports."""
    if isinstance(space, spaces.Box):
        return _NumbersCheck(space.shape, space.dtype)
    if isinstance(space, spaces.Discrete):
        return _IndexCheck(space)
    if isinstance(space, spaces.MultiDiscrete):
        return _NumbersCheck(space.shape, space.dtype, (space.start, space.start + space.nvec - 1))
    if isinstance(space, spaces.MultiBinary):
        return _NumbersCheck(space.shape, space.dtype, (0, 1))
    if isinstance(space, spaces.Dict):
        return _PartsCheck(dict(space.spaces), counted=False)
    assert isinstance(space, spaces.Tuple)
    return _PartsCheck(dict(enumerate(space.spaces)), counted=True)


class _NumbersCheck:
    """Arrays of one shape.

    Args:
        shape: of the space.
        dtype: of the space.
        bounds: the least and the largest value of each number, arrays [...] or one for all; None: the range of the
            dtype.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, bounds: tuple[Any, Any] | None = None) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._holds_floats = self._dtype.kind == "f"
        self._all_of_dtype_fit = bounds is None and not self._holds_floats
        self._bounds = bounds or (None if self._holds_floats else _range(self._dtype))

    def __call__(self, obs: Any) -> str | None:
        is_alike = type(obs) is np.ndarray and obs.dtype is self._dtype and obs.shape == self._shape  # nearly always
        if is_alike and (self._all_of_dtype_fit or (self._holds_floats and fits_float32(obs))):
            return None
        return self._trouble(obs)

    def _trouble(self, obs: Any) -> str | None:
        try:
            array = obs if isinstance(obs, np.ndarray) else np.asarray(obs)
        except (ValueError, TypeError, RuntimeError):  # ragged lists, tensors on a device
            return f"is {described(obs)}, not an array of numbers"
        if array.dtype.kind not in _NUMBERS:
            return f"is {described(obs)}, not an array of numbers"
        if array.shape != self._shape:
            return f"has the shape {array.shape}, but its observation_space has {self._shape}"
        if array.dtype == self._dtype and self._all_of_dtype_fit:  # in another order of bytes
            return None
        if not fits_float32(array):
            return _no_number(array)
        return None if self._holds_floats else self._out_of_range(array)

    def _out_of_range(self, array: Array) -> str | None:
        """What is wrong with integers of the space."""
        if array.dtype.kind == "f" and (array != np.floor(array)).any():
            fraction = array[array != np.floor(array)][0]
            return f"holds {fraction:g}, but its observation_space holds integers ({self._dtype})"
        assert self._bounds is not None
        low, high = self._bounds
        outside = (array < low) | (array > high)
        if outside.any():
            low, high = (np.broadcast_to(each, array.shape)[outside][0] for each in (low, high))
            return f"holds {array[outside][0]}, but its observation_space ({self._dtype}) ranges from {low} to {high}"
        return None


def _range(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """The integers that it holds."""
    return (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)


def _no_number(array: Array) -> str:
    """Reports the first number that is not finite, or too large."""
    index = first_unfit(array)
    wrong = float(array[index])
    place = f" at index {index}" if array.size > 1 else ""
    return f"holds {wrong:g}{place}" + (", which is too large for float32" if math.isfinite(wrong) else "")


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
    """Parts, each of a space of its own, by name or, where they are `counted`, by number."""

    def __init__(self, parts: Mapping[Any, spaces.Space[Any]], *, counted: bool) -> None:
        self._checks = {name: check_of(space) for name, space in parts.items()}
        self._counted = counted

    def __call__(self, obs: Any) -> str | None:
        if self._counted and isinstance(obs, tuple | list):
            obs = dict(enumerate(obs))
        if not isinstance(obs, Mapping) or obs.keys() != self._checks.keys():
            shown = f"a dict of {', '.join(map(str, obs))}" if isinstance(obs, Mapping) else described(obs)
            return f"is {shown}, but its observation_space has the parts {', '.join(map(str, self._checks))}"
        for name, check in self._checks.items():
            trouble = check(obs[name])
            if trouble is not None:
                return f"[{name!r}] {trouble}"
        return None
