"""Descriptions of Gymnasium's spaces, without the memory addresses in the `repr` of custom ones, and refusals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gymnasium import spaces

from rlrun.errors import UserError
from rlrun.types import space_in_words

_MOST_PARTS = 8  # of a space that are written out
_FILTER = "gymnasium.wrappers.FilterObservation"


def describe_space(space: spaces.Space[Any]) -> str:
    """A space on one line: Gymnasium's own in full, of others the type."""
    if isinstance(space, spaces.Box | spaces.Discrete):
        return space_in_words(space)
    if isinstance(space, spaces.Dict):
        return f"Dict({_listed(f'{key}: {describe_space(inside)}' for key, inside in space.spaces.items())})"
    if isinstance(space, spaces.Tuple):
        return f"Tuple({_listed(map(describe_space, space.spaces))})"
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
    """The error for observations that agents cannot see.

    Args:
        space: all of them.
        strange: the unsupported parts, by their keys; empty where there are no parts at all.
        name: of the environment, for messages.
    """
    shown = f"{name} has observations {describe_space(space)}"
    wrap = "wrap it so that it shows numbers, env.wrappers=[package.Wrapper]"
    if not strange or not strange[0][0]:
        return UserError(f"{shown}, which agents cannot see: {wrap}")
    names = ", ".join(f"{'.'.join(map(str, path))} ({describe_space(inside)})" for path, inside in strange)
    bad = {path[0] for path, _ in strange}
    good = [key for key in _inside(space) if key not in bad]
    if not good:
        return UserError(f"{shown}, and agents cannot see {names}: {wrap}")
    return UserError(f"{shown}, and agents cannot see {names}: leave that out, {_filtered(good)}")


def too_long(space: spaces.Space[Any], size: int, limit: int, name: str) -> UserError:
    """The error for observations with too many numbers to flatten."""
    inside = _inside(space)
    way_out = "wrap it so that it shows less, env.wrappers=[package.Wrapper]"
    if inside:
        largest = max(inside, key=lambda key: _size(inside[key]))
        way_out = f"keep a picture by itself, {_filtered([largest])}"
    return UserError(
        f"{name} has observations {describe_space(space)}, {size:,} numbers, but at most {limit:,} can be "
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
