"""Facts about constructor arguments that annotations state besides type and range."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import JsonValue

__all__ = ["EXECUTION", "FILE", "AtMost", "Named", "Takes", "used_unless", "used_when"]

TARGET: Final = "_target_"  # the key that names a constructor
UNKNOWN: Final[Any] = object()  # a type without annotation

_DATA = (bool, int, float, str, Path, type(None))  # the scalars of YAML
TYPE_NAMES: Mapping[type, str] = {  # names of YAML's types in messages
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    Path: "a path",
    type(None): "null",
}


class Meaning(Enum):
    """A fact about a configured value."""

    FILE = "may be the path of a file, whose content is what defines an experiment"
    EXECUTION = "changes speed, not results: not part of what defines an experiment"
    BEFORE_END = "is an agent step that must come before the end of the run"
    PARTIAL = "is a callable: a config names its class, whose first argument is the one it is called with"


EXECUTION: Final = Meaning.EXECUTION
FILE: Final = Meaning.FILE
PARTIAL: Final = Meaning.PARTIAL
BEFORE_END: Final = Meaning.BEFORE_END


@dataclass(frozen=True, slots=True)
class Kind:
    """Replaces an annotation that asks for an object, in the index: which bundled targets fit.

    Args:
        name: of the protocol or class.
        targets: the bundled ones that fit.
        owner: a bundled target that has the real annotation, for checking other targets.
        parameter: the argument of `owner` that has it.
    """

    name: str
    targets: frozenset[str]
    owner: str
    parameter: str


@dataclass(frozen=True, slots=True)
class AtMost:
    """The value must not be larger than that of another argument of the same constructor."""

    parameter: str


@dataclass(frozen=True, slots=True)
class Takes:
    """The least memory per unit of the value; for a list, per product of neighbours, and per end."""

    num_bytes: int
    per_slot: bool = False  # in every slot of the environment


@dataclass(frozen=True, slots=True)
class Named:
    """With `FILE`: names that the value may be besides the path of a file or directory."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """The argument has an effect only if another argument of the same constructor has certain values.

    Made by `used_when` and `used_unless`. A key whose condition is not met is refused if a user sets it, is not part of
    what defines the experiment, and is shown as unused.
    """

    parameter: str
    values: tuple[Any, ...]  # YAML values; for an object, its `_target_`
    negated: bool  # all other values

    def __hash__(self) -> int:  # values may be lists
        return hash((self.parameter, repr(self.values), self.negated))

    def met(self, value: Any) -> bool:
        """Whether the argument has an effect if `parameter` is `value`."""
        return (value in self.values) is not self.negated


def used_when(**condition: Any) -> Condition:
    """Marks an argument as used with that value, or with any in a tuple: `used_when(estimator="gae")`."""
    return _condition(condition, negated=False)


def used_unless(**condition: Any) -> Condition:
    """Marks an argument as used except with that value, or any in a tuple: `used_unless(period_steps=None)`."""
    return _condition(condition, negated=True)


def _condition(given: Mapping[str, Any], *, negated: bool) -> Condition:
    ((parameter, values),) = given.items()  # exactly one; for several conditions use several marks
    return Condition(parameter, values if isinstance(values, tuple) else (values,), negated)


def unconditional(annotation: Any) -> tuple[Any, tuple[Condition, ...]]:
    """An annotation without its conditions, and the conditions."""
    members = members_of(annotation)
    if len(members) > 1:
        parts = [unconditional(member) for member in members]
        return union_of([part for part, _ in parts]), tuple(item for _, found in parts for item in found)
    if get_origin(annotation) is not Annotated:
        return annotation, ()
    bare, *marks = get_args(annotation)
    bare, inner = unconditional(bare)
    found = tuple(mark for mark in marks if isinstance(mark, Condition))
    kept = [mark for mark in marks if not isinstance(mark, Condition)]
    return (Annotated[(bare, *kept)] if kept else bare), (*inner, *found)


def members_of(annotation: Any) -> list[Any]:
    """The members of a union, or the annotation itself."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [inner for member in get_args(annotation) for inner in members_of(member)]
    return [annotation]


def union_of(members: Sequence[Any]) -> Any:
    """The union of types that are known only at run time."""
    return Union[tuple(members)]  # noqa: UP007


def item_of(annotation: Any) -> Any:
    """The element type of a list; otherwise the annotation itself."""
    return get_args(annotation)[0] if get_origin(annotation) is list else annotation


def is_callable(annotation: Any) -> bool:
    """Whether an annotation asks for a callable."""
    return annotation in (typing.Callable, Callable) or get_origin(annotation) is Callable


def is_partial(annotation: Any) -> bool:
    """Whether it is marked as `PARTIAL`."""
    return get_origin(annotation) is Annotated and PARTIAL in get_args(annotation)[1:]


def is_data(annotation: Any) -> bool:
    """Whether YAML can hold it: numbers, strings, and containers of them."""
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
