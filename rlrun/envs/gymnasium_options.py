"""Checks options of a Gymnasium environment against its constructor, which would take the text "no" for true."""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from gymnasium.envs.registration import load_env_creator

from rlrun.annotations import WORDS
from rlrun.errors import UserError, nearest

Option: TypeAlias = bool | int | float | str

_PLAIN = WORDS.keys() - {Path}  # what an option can be compared with
_TRUTH_VALUES = ("yes", "no", "on", "off", "true", "false")  # of YAML 1.1; as text, every one of them is true


def checked_options(
    options: Mapping[str, Option], entry_point: str | Callable[..., Any] | None, env_id: str
) -> dict[str, Option]:
    """The options with whole numbers as integers where those are asked for.

    What an option must be, its annotation says, or else the type of its default. Where neither does, or it can be
    something else than text, a number or a truth value, nothing is checked but that a truth value is not written as
    text.

    Args:
        options: by name.
        entry_point: what Gymnasium calls to make the environment, or its name.
        env_id: for messages.

    Raises:
        UserError: at the first option that the constructor does not take.
    """
    if "render_mode" in options:
        raise UserError(
            "env.options.render_mode cannot be given: rlrun sets it, for the films that `rlrun video` makes of a run"
        )
    if not options or entry_point is None:
        return dict(options)
    make = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    parameters: Mapping[str, inspect.Parameter]
    try:
        parameters = inspect.signature(make).parameters
    except (TypeError, ValueError):  # written in C
        parameters = {}
    is_open = not parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    named = {
        name: each for name, each in parameters.items() if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    }
    hints = _hints(make)
    for name in options:
        if name not in named and not is_open:
            close = ", ".join(f"env.options.{each}" for each in nearest(name, named)) or "it takes none"
            raise UserError(f"env.options do not fit env.id={env_id}: it takes no {name}; nearest: {close}")
    return {
        name: _checked(name, value, _types(named[name], hints.get(name)) if name in named else (), env_id)
        for name, value in options.items()
    }


def _checked(name: str, value: Option, allowed: tuple[type, ...], env_id: str) -> Option:
    if not allowed:
        if isinstance(value, str) and value.lower() in _TRUTH_VALUES:
            raise UserError(f"env.options.{name}='{value}' is text, which counts as true: write true or false")
        return value
    if type(value) in allowed:
        fits = not isinstance(value, float) or math.isfinite(value)
    elif type(value) is int:
        fits = float in allowed
    elif isinstance(value, float) and int in allowed and value.is_integer():
        return int(value)
    else:
        fits = False
    if fits:
        return value
    shown = f"'{value}'" if isinstance(value, str) else str(value).lower()
    wanted = " or ".join(WORDS[each] for each in allowed)
    raise UserError(f"env.options.{name}={shown} is not valid for env.id={env_id}: it must be {wanted}")


def _types(parameter: inspect.Parameter, hint: Any) -> tuple[type, ...]:
    """What the option may be; empty where that is not known, or is nothing that YAML can say."""
    if hint is None:
        default = type(parameter.default)
        # a plain 0 is often the default of what may be any number: Gymnasium's goal_velocity
        return (int, float) if default is int else (default,) if default in (bool, float, str) else ()
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return tuple(members) if all(member in _PLAIN for member in members) else ()


def _hints(make: Callable[..., Any]) -> dict[str, Any]:
    """The annotations that can be read; without the others, since nothing that is not ours must be readable."""
    function = make.__init__ if inspect.isclass(make) else make
    try:
        return get_type_hints(function)
    except Exception:  # a name that is imported for type checkers alone, or whatever else stands there
        written: Mapping[str, Any] = getattr(function, "__annotations__", {})
    by_name = {each.__name__: each for each in _PLAIN}
    return {name: by_name.get(str(text), text) for name, text in written.items()}
