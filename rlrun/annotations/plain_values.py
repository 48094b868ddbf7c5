"""Checks of YAML values against annotations: strict ones, and those of third-party constructors."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from rlrun.annotations import TYPE_NAMES, members_of, union_of

_CONFIG = ConfigDict(strict=True, allow_inf_nan=False)
_LISTS = (list, Sequence, Collection, Iterable)
_MAPPINGS = (dict, Mapping)
_NAMES = {each.__name__: each for each in (bool, int, float, str)}

Number: TypeAlias = int | float


def coerced(annotation: Any, value: Any) -> Any:
    """`value` in the type of `annotation`: `1e6` is a valid integer, and an integer a valid float.

    Raises:
        ValueError: if it does not fit.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=_CONFIG)
    for candidate in (value, _integral(value)):
        try:
            return adapter.validate_json(json.dumps(candidate), strict=True)
        except (ValidationError, TypeError, ValueError):
            continue
    raise ValueError(f"{value!r} is not {annotation}")


def takes_only_text(annotation: Any) -> bool:
    """Whether a key with that annotation takes only strings, and perhaps null: then `name=2026` is a string."""
    members = [get_args(each)[0] if get_origin(each) is Annotated else each for each in members_of(annotation)]
    return all(member in (str, Path, type(None)) for member in members)


def _integral(value: Any) -> Any:
    """`1e6`, which YAML reads as a float, as the integer that was meant."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_integral(item) for item in value]
    if isinstance(value, dict):
        return {key: _integral(item) for key, item in value.items()}
    return value


def as_far_as_known(call: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Annotations for the arguments of a third-party constructor, as far as YAML can hold the values.

    Taken from its own annotation, or else from the type of its default; without either, or if other types are possible
    too, anything.

    Args:
        call: the constructor, a class or a function.
        parameters: its arguments, by name.
    """
    hints = _hints(call)
    return {
        name: _of_default(each.default) if name not in hints else _readable(hints[name])
        for name, each in parameters.items()
    }


def _of_default(default: Any) -> Any:
    """The default 0 often stands for any number: Gymnasium's goal_velocity."""
    kind = type(default)
    if kind is tuple:
        return tuple[JsonValue, ...]  # the constructor could not handle a list
    return Number if kind is int else kind if kind in (bool, float, str) else JsonValue


def _readable(hint: Any, *, inside: bool = False) -> Any:
    """The annotation as far as YAML can hold it; otherwise anything.

    Integers inside a list may be any numbers: FrozenLake's `reward_schedule: tuple[int, int, int]` holds rewards.
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        members = [_readable(member, inside=inside) for member in members_of(hint)]
        return JsonValue if any(member is JsonValue for member in members) else union_of(members)
    if hint is int and inside:
        return Number
    if hint in (bool, int, float, str, type(None)) or (origin is Literal and _is_plain(args)):
        return hint
    if hint is None:
        return type(None)
    if (origin or hint) is tuple:
        items = tuple(item if item is Ellipsis else _readable(item, inside=True) for item in args)
        return tuple[items or (JsonValue, ...)]  # type: ignore[misc] # known only at runtime
    if (origin or hint) in _LISTS:
        return list[_readable(args[0], inside=True) if args else JsonValue]  # type: ignore[misc]
    if (origin or hint) in _MAPPINGS and (not args or args[0] is str):
        return dict[str, _readable(args[1], inside=True) if args else JsonValue]  # type: ignore[misc]
    return JsonValue


def _is_plain(choices: tuple[Any, ...]) -> bool:
    return all(type(choice) in TYPE_NAMES for choice in choices)


def _hints(call: Callable[..., Any]) -> dict[str, Any]:
    """The annotations that can be evaluated; third-party ones need not be."""
    function = call.__init__ if inspect.isclass(call) else call
    try:
        return get_type_hints(function)
    except Exception:  # a name that is imported only for type checkers, or anything else
        written: Mapping[str, Any] = getattr(function, "__annotations__", {})
    return {name: _NAMES.get(str(text), text) for name, text in written.items()}
