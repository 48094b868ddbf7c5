"""From Gymnasium's spaces to those of agents, and from what an environment returns to what agents see.

| the environment's space | what agents see |
|---|---|
| Discrete | an index, counted from 0 |
| MultiDiscrete, MultiBinary, Dict and Tuple of these and of Discrete | one index, and the parts it is made of |
| Box | the same numbers; bytes stay bytes, all else becomes float32; pictures [H, W, C] become [C, H, W] |
| Dict and Tuple with a Box in them | one float32 vector, as `gymnasium.spaces.flatten` orders it |
| Dict and Tuple of a single part | that part |
| Dict with an `action_mask`, a zero or one for each action | the other parts as above, and the mask beside them |

Parts keep the order of the space; Gymnasium sorts the keys of a plain dict. Observations are expected to be elements of
the environment's space.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from gymnasium import spaces

from rlrun.envs.space_messages import describe_space, refusal, too_long
from rlrun.errors import UserError
from rlrun.types import Array, Int64Array, ObsArray, Part

Channels: TypeAlias = Literal["auto", "first", "last"]

_LARGEST_INDEX = 2**62  # int64, with headroom; larger ones become a vector
_LONGEST_VECTOR = 16_384  # numbers; a first layer of 64 units then has a million weights
_MASK = "action_mask"  # the part of a Dict that says which actions are allowed, as PettingZoo calls it
_COLOURS = (1, 3, 4)  # channels of pictures: grey, RGB, RGBA


@dataclass(frozen=True, slots=True)
class Encoding:
    """How agents see the observations of one space."""

    space: spaces.Box | spaces.Discrete  # what agents see
    encode: Callable[[Any], ObsArray]  # one observation of the environment as an element of it: [...] or, an index, []
    parts: tuple[Part, ...] = ()  # of an index
    channels_known: bool = True  # False: three axes that may not be [C, H, W]
    remarks: tuple[str, ...] = ()  # about the conversion, a line each
    shows_mask: bool = False  # True: `encode` gives a dict of `obs`, an element of `space`, and `action_mask`


class Leaf(NamedTuple):
    """A space inside others that has none inside itself."""

    path: tuple[Any, ...]  # keys that lead to its observation
    space: spaces.Space[Any]

    def of(self, obs: Any) -> Any:
        """Its part of an observation of the whole."""
        for key in self.path:
            obs = obs[key]
        return obs


class _AsArray:
    """Observations that are arrays already, as arrays of a type.

    Args:
        leaf: where they are.
        dtype: of what agents see.
        change: of the shape; None: there is none.
    """

    def __init__(self, leaf: Leaf, dtype: Any, change: Callable[[Array], Array] | None) -> None:
        self._leaf = leaf if leaf.path else None
        self._dtype, self._change = dtype, change

    def __call__(self, obs: Any) -> Array:
        numbers = np.asarray(obs if self._leaf is None else self._leaf.of(obs), self._dtype)
        return numbers if self._change is None else self._change(numbers)


def _channels_first(picture: Array) -> Array:
    """[H, W, C] to [C, H, W]."""
    return picture.transpose(2, 0, 1)


def _with_an_axis(number: Array) -> Array:
    """[] to [1]."""
    return number.reshape(1)


class _AsIndex:
    """Discrete observations, counted from 0."""

    def __init__(self, leaf: Leaf, space: spaces.Discrete) -> None:
        self._leaf, self._first = leaf, int(space.start)

    def __call__(self, obs: Any) -> Array:
        return np.asarray(self._leaf.of(obs) - self._first, np.int64)


class _AsOneIndex:
    """Several integers as one index, the first one most significant (like `np.ravel_multi_index`)."""

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        stride = math.prod(part.size for leaf in leaves for part in _parts(leaf.space))
        self._numbers: list[tuple[Leaf, int, int]] = []  # with its offset and its stride
        self._arrays: list[tuple[Leaf, Int64Array, Int64Array]] = []
        for leaf in leaves:
            strides = []
            for part in _parts(leaf.space):
                stride //= part.size
                strides.append(stride)
            first = _first(leaf.space)
            if isinstance(leaf.space, spaces.Discrete):
                self._numbers.append((leaf, int(first[0]), strides[0]))
            else:
                self._arrays.append((leaf, first, np.array(strides, np.int64)))

    def __call__(self, obs: Any) -> Array:
        index = 0
        for leaf, start, stride in self._numbers:
            index += (operator.index(leaf.of(obs)) - start) * stride
        for leaf, first, strides in self._arrays:
            index += int((np.asarray(leaf.of(obs), np.int64).reshape(-1) - first) @ strides)
        return np.asarray(index, np.int64)


class _AsVector:
    """Everything concatenated: the numbers of boxes, bytes as fractions of the largest, one-hots, bits."""

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        self._leaves = [(leaf, _first(leaf.space), _largest(leaf.space), _columns(leaf.space)) for leaf in leaves]
        self.size = sum(_width(leaf.space) for leaf in leaves)

    def __call__(self, obs: Any) -> Array:
        vector, place = np.zeros(self.size, np.float32), 0
        for leaf, first, largest, columns in self._leaves:
            numbers = np.asarray(leaf.of(obs)).reshape(-1)
            if columns is not None:
                vector[place + columns + numbers.astype(np.int64) - first] = 1.0
            else:
                vector[place : place + numbers.size] = numbers / largest if largest != 1 else numbers
            place += _width(leaf.space)
        return vector


class _WithMask:
    """The rest of a dict by another encoding, and its mask."""

    def __init__(self, encode: Callable[[Any], ObsArray]) -> None:
        self._encode = encode

    def __call__(self, obs: Any) -> ObsArray:
        return {"obs": self._encode(obs), "action_mask": np.asarray(obs[_MASK]).astype(np.bool_)}


def _without_mask(space: spaces.Space[Any], name: str, num_actions: int) -> spaces.Dict | None:
    """A dict's other parts, where it has an action mask; None where it has none."""
    if not isinstance(space, spaces.Dict) or _MASK not in space.spaces:
        return None
    mask, rest = space.spaces[_MASK], {key: part for key, part in space.spaces.items() if key != _MASK}
    if not isinstance(mask, spaces.Box | spaces.MultiBinary) or mask.shape != (num_actions,) or not rest:
        raise UserError(
            f"the action_mask of {name} is {describe_space(mask)}; it must be a number for each of the {num_actions} "
            "actions (a Box or MultiBinary), beside the observation itself"
        )
    return spaces.Dict(rest)


def encoding_of(space: spaces.Space[Any], name: str, channels: Channels, num_actions: int) -> Encoding:
    """How agents see observations of `space`.

    Args:
        space: the environment's.
        name: of the environment, for messages.
        channels: the channel axis of pictures; "first": unchanged; "auto": whichever end has length 1, 3 or 4, if only
            one has, otherwise unchanged.
        num_actions: how many actions there are, for a mask.

    Raises:
        UserError: if agents cannot see them, or `channels` is given without pictures.
    """
    rest = _without_mask(space, name, num_actions)
    if rest is not None:
        encoding = encoding_of(rest, name, channels, num_actions)
        return replace(encoding, encode=_WithMask(encoding.encode), shows_mask=True)
    leaves = list(_leaves(space))
    strange = [leaf for leaf in leaves if not isinstance(leaf.space, _KNOWN)]
    if strange or not leaves:
        raise refusal(space, [(leaf.path, leaf.space) for leaf in strange], name)
    only = leaves[0].space
    if len(leaves) == 1 and isinstance(only, spaces.Box):
        return _box(leaves[0], only, name, channels)
    if channels != "auto":
        raise _no_pictures(space, name, channels)
    if len(leaves) == 1 and isinstance(only, spaces.Discrete):
        return Encoding(spaces.Discrete(int(only.n)), _AsIndex(leaves[0], only))
    if not any(isinstance(leaf.space, spaces.Box) for leaf in leaves):
        parts = tuple(part for leaf in leaves for part in _parts(leaf.space))
        count = math.prod(part.size for part in parts)
        if count <= _LARGEST_INDEX:
            remark = (
                f"observations of {name}, {describe_space(space)}, are one index of {count:,}; networks see its "
                f"parts, {sum(part.features for part in parts):,} zeros and ones"
            )
            return Encoding(spaces.Discrete(count), _AsOneIndex(leaves), parts, remarks=(remark,))
    return _vector(space, leaves, name)


def _box(leaf: Leaf, space: spaces.Box, name: str, channels: Channels) -> Encoding:
    """A single box, which may be a picture."""
    shape, low, high = space.shape, space.low, space.high
    change: Callable[[Array], Array] | None = None
    remarks: tuple[str, ...] = ()
    place: str | None = "first"
    if len(shape) == 3:
        place = channels if channels != "auto" else _place_of_channels(shape)
    elif channels != "auto":
        raise _no_pictures(space, name, channels)
    if shape == ():
        change = _with_an_axis
    elif place == "last":
        change = _channels_first
    if change is not None:
        low, high = change(np.asarray(low)), change(np.asarray(high))
    if place == "last":
        remarks = (
            f"pictures of {name} are {list(shape)}, with the channels last: agents see {list(low.shape)} "
            "(env.channels)",
        )
    seen: spaces.Box = spaces.Box(_in_float32(low), _in_float32(high), dtype=np.float32)
    if space.dtype == np.uint8:
        seen = spaces.Box(low, high, dtype=np.uint8)
    encode = _AsArray(leaf, seen.dtype, change)
    return Encoding(seen, encode, channels_known=place is not None, remarks=remarks)


def _no_pictures(space: spaces.Space[Any], name: str, channels: str) -> UserError:
    return UserError(f"env.channels={channels} has no effect: {name} shows no pictures, but {describe_space(space)}")


def _place_of_channels(shape: Sequence[int]) -> str | None:
    """Which end of a picture is its channels, if only one looks like it."""
    first, last = shape[0] in _COLOURS, shape[-1] in _COLOURS
    return None if first == last else "last" if last else "first"


def _vector(space: spaces.Space[Any], leaves: Sequence[Leaf], name: str) -> Encoding:
    encode = _AsVector(leaves)
    if encode.size > _LONGEST_VECTOR:
        raise too_long(space, encode.size, _LONGEST_VECTOR, name)
    low, high = np.zeros(encode.size, np.float32), np.ones(encode.size, np.float32)
    place = 0
    for leaf in leaves:
        width = _width(leaf.space)
        if isinstance(leaf.space, spaces.Box):
            low[place : place + width] = _in_float32(leaf.space.low.reshape(-1)) / _largest(leaf.space)
            high[place : place + width] = _in_float32(leaf.space.high.reshape(-1)) / _largest(leaf.space)
        place += width
    bytes_too = any(_largest(leaf.space) != 1 for leaf in leaves)
    remark = (
        f"observations of {name}, {describe_space(space)}, are flattened to {encode.size:,} numbers in this order"
        + (", bytes divided by the largest" if bytes_too else "")
    )
    return Encoding(spaces.Box(low, high, dtype=np.float32), encode, remarks=(remark,))


_KNOWN = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def _leaves(space: spaces.Space[Any], path: tuple[Hashable, ...] = ()) -> Iterator[Leaf]:
    """The spaces inside `space` that have none inside themselves, in Gymnasium's order."""
    if isinstance(space, spaces.Dict):
        for key, inside in space.spaces.items():
            yield from _leaves(inside, (*path, key))
    elif isinstance(space, spaces.Tuple):
        for place, inside in enumerate(space.spaces):
            yield from _leaves(inside, (*path, place))
    else:
        yield Leaf(path, space)


def _parts(space: spaces.Space[Any]) -> list[Part]:
    """The integers that an observation of a discrete space consists of."""
    if isinstance(space, spaces.Discrete):
        return [Part(int(space.n), int(space.n))]
    if isinstance(space, spaces.MultiDiscrete):
        return [Part(int(size), int(size)) for size in space.nvec.reshape(-1)]
    assert isinstance(space, spaces.MultiBinary)
    return [Part(2, 1)] * math.prod(space.shape)


def _first(space: spaces.Space[Any]) -> Int64Array:
    """The smallest value of each part, or zeros [1] where there are none."""
    start = space.start if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) else 0
    return np.asarray(start, np.int64).reshape(-1)


def _columns(space: spaces.Space[Any]) -> Int64Array | None:
    """Where the one-hot of each part begins; None where there are none, in boxes and bits."""
    if not isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return None
    widths = [part.features for part in _parts(space)]
    return np.cumsum([0, *widths[:-1]], dtype=np.int64)


def _width(space: spaces.Space[Any]) -> int:
    """How many numbers of a vector it becomes."""
    return math.prod(space.shape) if isinstance(space, spaces.Box) else sum(part.features for part in _parts(space))


def _largest(space: spaces.Space[Any]) -> int:
    """What its numbers are divided by: 1, but for bytes."""
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8:
        return 1
    return max(1, int(space.high.max(initial=1)))


def _in_float32(bound: Array) -> Array:
    """A bound in float32; infinite if too large for it."""
    with np.errstate(over="ignore"):
        return bound.astype(np.float32)


def actions_of(space: spaces.Space[Any], name: str) -> tuple[spaces.Discrete, int]:
    """The actions as agents count them, from 0, and what to add to get the environment's.

    Raises:
        UserError: if they are not discrete.
    """
    if not isinstance(space, spaces.Discrete):
        way_out = (
            "'env.wrappers=[{_target_: gymnasium.wrappers.DiscretizeAction, bins: 5}]' makes them so"
            if isinstance(space, spaces.Box)
            else "wrap it: env.wrappers=[package.Wrapper]"
        )
        raise UserError(f"{name} has actions {describe_space(space)}; only Discrete actions are supported: {way_out}")
    return spaces.Discrete(int(space.n)), int(space.start)
