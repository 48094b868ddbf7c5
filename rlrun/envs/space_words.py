"""Gymnasium's spaces in words, without the memory addresses that the `repr` of somebody's own may show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gymnasium import spaces

from rlrun.errors import UserError
from rlrun.types import space_in_words

_MOST_PARTS = 8  # of a space that are written out
_FILTER = "gymnasium.wrappers.FilterObservation"


def in_words(space: spaces.Space[Any]) -> str:
    """A space on one line: what Gymnasium itself has in full, of others the type."""
    if isinstance(space, spaces.Box | spaces.Discrete):
        return space_in_words(space)
    if isinstance(space, spaces.Dict):
        return f"Dict({_listed(f'{key}: {in_words(inside)}' for key, inside in space.spaces.items())})"
    if isinstance(space, spaces.Tuple):
        return f"Tuple({_listed(map(in_words, space.spaces))})"
    if isinstance(space, spaces.MultiDiscrete):
        if space.nvec.ndim == 1:
            return f"MultiDiscrete([{_listed(map(str, space.nvec.tolist()))}])"
        return f"MultiDiscrete of shape {list(space.shape)}"
    if isinstance(space, spaces.MultiBinary):
        return f"MultiBinary({space.n})"
    return type(space).__name__


def refusal(
    space: spaces.Space[Any], strange: Sequence[tuple[tuple[Any, ...], spaces.Space[Any]]], name: str
) -> UserError:
    """For observations that no agent sees.

    Args:
        space: all of them.
        strange: the parts that are the reason, by their keys; none where there are no parts at all.
        name: of what is played, for messages.
    """
    shown = f"{name} has observations {in_words(space)}"
    wrap = "wrap it so that it shows numbers, env.wrappers=[package.Wrapper]"
    if not strange or not strange[0][0]:
        return UserError(f"{shown}, which agents cannot see: {wrap}")
    names = ", ".join(f"{'.'.join(map(str, path))} ({in_words(inside)})" for path, inside in strange)
    bad = {path[0] for path, _ in strange}
    good = [key for key in _inside(space) if key not in bad]
    if not good:
        return UserError(f"{shown}, and agents cannot see {names}: {wrap}")
    return UserError(f"{shown}, and agents cannot see {names}: leave that out, {_filtered(good)}")


def too_long(space: spaces.Space[Any], size: int, limit: int, name: str) -> UserError:
    """For observations that are too many numbers to be flattened."""
    inside = _inside(space)
    way_out = "wrap it so that it shows less, env.wrappers=[package.Wrapper]"
    if inside:
        largest = max(inside, key=lambda key: _size(inside[key]))
        way_out = f"keep a picture by itself, {_filtered([largest])}"
    return UserError(
        f"{name} has observations {in_words(space)}, {size:,} numbers, and more than {limit:,} are not "
        f"flattened: {way_out}"
    )


def _filtered(keys: Sequence[Any]) -> str:
    return f"'env.wrappers=[{{_target_: {_FILTER}, filter_keys: [{', '.join(map(str, keys))}]}}]'"


def _inside(space: spaces.Space[Any]) -> dict[Any, spaces.Space[Any]]:
    """The spaces in a Dict or Tuple, by what leads to them."""
    if isinstance(space, spaces.Dict):
        return dict(space.spaces)
    return dict(enumerate(space.spaces)) if isinstance(space, spaces.Tuple) else {}


def _size(space: spaces.Space[Any]) -> int:
    return spaces.flatdim(space) if space.is_np_flattenable else 0


def _listed(words: Iterable[str]) -> str:
    each = list(words)
    return ", ".join(each if len(each) <= _MOST_PARTS else [*each[: _MOST_PARTS - 1], "...", each[-1]])
