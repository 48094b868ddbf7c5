"""Descriptions of types and values for messages: what is expected, and what was given instead."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import JsonValue
from pydantic.fields import FieldInfo

from rlrun.annotations import TARGET, TYPE_NAMES, UNKNOWN, Kind, is_callable, is_partial, members_of

_NO_TEXT = (  # not strings, as Hydra parses them unquoted
    r"[-+]?((0|[1-9][\d_]*)(\.\d*)?|\.\d+)(e[-+]?\d+)?|[-+]?\.?(inf|nan)|true|false|null"
)
_COMPARISONS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def describe(annotation: Any) -> str:
    """A description of an annotation, with its range."""
    if annotation is UNKNOWN or annotation is JsonValue:
        return "a value"
    members = members_of(annotation)
    if len(members) > 1:
        return " or ".join(describe(member) for member in members)
    (annotation,) = members
    origin, args = get_origin(annotation), get_args(annotation)
    if is_partial(annotation):
        return f"the name of a {kind_name(annotation)}, or an object ({TARGET}) with its arguments"
    if origin is Annotated:
        bounds = " and ".join(_bounds(args[1:]))
        return f"{describe(args[0])} {bounds}".rstrip()
    if origin is Literal:
        return ("one of " if len(args) > 1 else "") + ", ".join(str(choice) for choice in args)
    if origin in (list, tuple) and args:
        return f"a list (each {describe(args[0])})"
    if origin is dict:
        return f"a mapping (each value {describe(args[1])})"
    if annotation in TYPE_NAMES:
        return TYPE_NAMES[annotation]
    return f"an object ({TARGET}) of the kind {kind_name(annotation)}"


def kind_name(annotation: Any) -> str:
    """The name of an annotation that asks for an object, in messages and in the catalogue."""
    if is_partial(annotation):
        inside = get_args(annotation)[0]
        return kind_name(get_args(inside)[-1] if is_callable(inside) else inside)
    if isinstance(annotation, Kind):
        return annotation.name
    return "callable" if is_callable(annotation) else str(getattr(annotation, "__name__", annotation))


def shown(value: object) -> str:
    """A value in YAML, on one line and not too long."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if value == "":
        text = "''"
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."


def quoted(value: object) -> str:
    """`shown`, in quotes if it is a string that looks like something else."""
    is_otherwise = isinstance(value, str) and re.fullmatch(_NO_TEXT, value.strip(), re.IGNORECASE) is not None
    return f"'{shown(value)}'" if is_otherwise else shown(value)


def _bounds(metadata: tuple[Any, ...]) -> list[str]:
    flat: list[Any] = []
    for item in metadata:
        flat.extend(item.metadata if isinstance(item, FieldInfo) else [item])
    bounds = [
        f"{sign} {getattr(item, name)}" for item in flat for name, sign in _COMPARISONS.items() if hasattr(item, name)
    ]
    for item in flat:
        if hasattr(item, "min_length"):
            bounds.append(f"of length >= {item.min_length}")
        if hasattr(item, "max_length"):
            bounds.append(f"of length <= {item.max_length}")
        if getattr(item, "pattern", None):
            bounds.append(f"matching {item.pattern}")
    return bounds
