"""Checks options of a Gymnasium environment against its constructor, which would take the string "no" for true."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import JsonValue

from rlrun.annotations.plain_values import as_far_as_known, coerced
from rlrun.annotations.type_words import describe, shown
from rlrun.errors import UserError, nearest

_TRUTH_VALUES = ("yes", "no", "on", "off", "true", "false")  # of YAML 1.1; as strings, all of them are true


def checked_options(options: Mapping[str, JsonValue], make: Callable[..., Any] | None, env_id: str) -> dict[str, Any]:
    """The options, with integral floats as integers and lists as tuples where the constructor asks for those.

    The annotation of an option determines its type, or else the type of its default. Without either, or if it may be
    something that YAML cannot express, only one check is made: that a truth value is not written as a string.

    Args:
        options: by name.
        make: what Gymnasium calls to make the environment; None: unknown.
        env_id: for messages.

    Raises:
        UserError: at the first option that the constructor does not accept.
    """
    if "render_mode" in options:
        raise UserError(
            "env.options.render_mode is not allowed: rlrun sets it, for the videos that `rlrun video` makes of a run"
        )
    if not options or make is None:
        return dict(options)
    parameters: Mapping[str, inspect.Parameter]
    try:
        parameters = inspect.signature(make).parameters
    except (TypeError, ValueError):  # written in C
        parameters = {}
    is_open = not parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    named = {
        name: each for name, each in parameters.items() if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    }
    for name in options:
        if name not in named and not is_open:
            close = ", ".join(f"env.options.{each}" for each in nearest(name, named)) or "it has none"
            raise UserError(f"env.options do not fit env.id={env_id}: it has no option {name}; nearest: {close}")
    allowed = as_far_as_known(make, named)
    return {name: _checked(name, value, allowed.get(name, JsonValue), env_id) for name, value in options.items()}


def _checked(name: str, value: JsonValue, allowed: Any, env_id: str) -> Any:
    if allowed is JsonValue:
        if isinstance(value, str) and value.lower() in _TRUTH_VALUES:
            raise UserError(f"env.options.{name}='{value}' is a string, which counts as true: write true or false")
        return value
    try:
        return coerced(allowed, value)
    except ValueError:
        written = f"'{value}'" if isinstance(value, str) else shown(value)
        raise UserError(
            f"env.options.{name}={written} is not valid for env.id={env_id}: it must be {describe(allowed)}"
        ) from None
