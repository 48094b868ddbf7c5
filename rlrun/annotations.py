"""What a constructor's annotations say of an argument: of which kind, in words, and beside type and range."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import JsonValue

TARGET: Final = "_target_"  # the key that names a constructor
UNKNOWN: Final[Any] = object()  # a type that nobody wrote down

_DATA = (bool, int, float, str, Path, type(None))  # what YAML has, besides containers
WORDS: Mapping[type, str] = {  # what messages call the types that YAML has
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    type(None): "null",
}


class Meaning(Enum):
    """A fact about a configured value."""

    FILE = "may be the path of a file, whose content is what defines an experiment"
    EXECUTION = "changes how fast results come, not which: no part of what defines an experiment"
    PARTIAL = "is a callable of which a config names the class, whose first argument is what it is called with"


EXECUTION: Final = Meaning.EXECUTION
FILE: Final = Meaning.FILE
PARTIAL: Final = Meaning.PARTIAL


@dataclass(frozen=True, slots=True)
class Kind:
    """Stands where an annotation asks for an object: which of our targets fit, by name.

    Args:
        name: of the protocol or class.
        targets: ours that fit.
        owner: a target of ours that has the real annotation, for targets that are not ours.
        parameter: the argument of `owner` that has it.
    """

    name: str
    targets: frozenset[str]
    owner: str
    parameter: str


@dataclass(frozen=True, slots=True)
class AtMost:
    """The value may not be larger than that of another argument of the same constructor."""

    parameter: str


def members_of(annotation: Any) -> list[Any]:
    """The members of a union, or the annotation alone."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [inner for member in get_args(annotation) for inner in members_of(member)]
    return [annotation]


def item_of(annotation: Any) -> Any:
    """What a list holds; of anything else itself."""
    return get_args(annotation)[0] if get_origin(annotation) is list else annotation


def is_callable(annotation: Any) -> bool:
    """Whether an annotation asks for something to call."""
    return annotation in (typing.Callable, Callable) or get_origin(annotation) is Callable


def is_partial(annotation: Any) -> bool:
    """Whether it is marked as `PARTIAL`."""
    return get_origin(annotation) is Annotated and PARTIAL in get_args(annotation)[1:]


def is_data(annotation: Any) -> bool:
    """Whether YAML can hold it: numbers, text, and containers of them."""
    if annotation is JsonValue:  # anything at all that YAML can hold
        return True
    origin = get_origin(annotation)
    if origin is Annotated:
        return is_data(get_args(annotation)[0])
    if origin is Literal:
        return True
    if origin in (list, tuple, dict, Union, types.UnionType):
        return all(is_data(item) for item in get_args(annotation) if item is not Ellipsis)
    return annotation in _DATA
