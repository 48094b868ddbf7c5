"""What a class or function says of itself: its arguments, their annotations, and the type of what it makes."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Callable
from typing import Any, get_type_hints

from rlrun.annotations import TARGET, UNKNOWN, Condition, unconditional
from rlrun.annotations.type_words import shown
from rlrun.config import catalogue
from rlrun.errors import UserError, WrongKeyError, nearest


def import_target(target: object, path: str) -> Callable[..., Any]:
    """The class or function called `target` ("package.module.Name").

    Raises:
        UserError: if there is none.
    """
    place, key = f"{path}.{TARGET}={shown(target)}", f"{path}.{TARGET}"
    try:
        found = pydoc.locate(str(target))
    except Exception as error:  # whatever somebody's module does when it is imported, or asked for a name
        raise WrongKeyError(f"{place} cannot be imported: {error}", key) from error
    if found is None:
        package, _, name = str(target).rpartition(".")
        ours = {each.rpartition(".")[2]: each for each in catalogue.target_names()}
        close = ", ".join(ours[each] for each in nearest(name, ours)) if package.split(".")[0] in ("", "rlrun") else ""
        raise WrongKeyError(f"{place} does not exist" + (f"; nearest: {close}" if close else ""), key)
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        raise WrongKeyError(f"{place} is neither a class nor a function", key)
    call: Callable[..., Any] = found
    return call


def parameters_of(call: Callable[..., Any], path: str, *, supplied: int = 0) -> dict[str, inspect.Parameter]:
    """The arguments of a constructor.

    Args:
        call: the constructor.
        path: where it stands in the config, for messages.
        supplied: how many of the first ones are no keys, since it is called with them.

    Raises:
        UserError: if it does not say them, or if there are open ones, which no config could be checked against.
    """
    try:
        parameters = dict(list(inspect.signature(call).parameters.items())[supplied:])
    except (TypeError, ValueError) as error:  # written in C, such as `dict`
        raise WrongKeyError(
            f"{path}.{TARGET}={full_name(call)} cannot be checked: it does not say what it takes", f"{path}.{TARGET}"
        ) from error
    for name, parameter in parameters.items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise UserError(f"{path}.{TARGET}={call.__qualname__} cannot be checked: it takes the open argument {name}")
    return parameters


def hints_of(call: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of the arguments of a constructor, without the conditions on which they have an effect.

    Raises:
        UserError: if one of them cannot be read at run time.
    """
    return {name: unconditional(hint)[0] for name, hint in _hints_of(call).items()}


def conditions_of(call: Callable[..., Any]) -> dict[str, tuple[Condition, ...]]:
    """The conditions on which arguments of a constructor have an effect; only of those that have some.

    Raises:
        UserError: if an annotation cannot be read at run time, or a condition is about an argument that there is not.
    """
    hints = _hints_of(call)
    found = {name: conditions for name, hint in hints.items() if (conditions := unconditional(hint)[1])}
    for name, conditions in found.items():
        for condition in conditions:
            if condition.parameter not in hints:
                raise UserError(
                    f"{full_name(call)} cannot be checked: {name} is marked as used by {condition.parameter}, which "
                    "is no argument of it"
                )
    return found


def _hints_of(call: Callable[..., Any]) -> dict[str, Any]:
    """The annotations as they are written."""
    function = call
    if inspect.isclass(call) and call.__init__ is not object.__init__:
        function = call.__init__
    return read_hints(function, full_name(call))


def read_hints(function: Callable[..., Any], owner: str) -> dict[str, Any]:
    """The annotations of a function; `owner` is what messages call it.

    Raises:
        UserError: if one of them cannot be read at run time.
    """
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:  # whatever evaluating somebody's annotation does
        raise UserError(
            f"{owner} cannot be checked: an annotation cannot be read at run time ({type(error).__name__}: {error}): "
            "import what it names, and not under `if TYPE_CHECKING:`"
        ) from error


def full_name(call: Callable[..., Any]) -> str:
    """Its dotted name."""
    return f"{call.__module__}.{call.__qualname__}"


def product_of(call: Callable[..., Any]) -> Any:
    """The type of what `call(...)` returns."""
    return call if inspect.isclass(call) else hints_of(call).get("return", UNKNOWN)
