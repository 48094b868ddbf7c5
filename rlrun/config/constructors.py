"""What a class or function says of itself: its arguments, their annotations, and the type of what it makes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from importlib import import_module
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
    if not isinstance(target, str):
        raise UserError(f"{path}.{TARGET} must be the dotted name of a class or function, not {shown(target)}")
    parts = target.split(".")
    for split in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:split])
        try:
            found, absent = _within(import_module(module_name), parts[split:])
        except ModuleNotFoundError as error:
            if error.name is not None and (module_name + ".").startswith(error.name + "."):
                continue
            raise UserError(
                f"{path}.{TARGET}={target} needs the module {error.name}, which is not installed"
            ) from error
        except (Exception, SystemExit) as error:  # whatever somebody's module does when it is imported
            if not all(part.isidentifier() for part in parts):
                raise UserError(f"{path}.{TARGET}={target} is not a dotted name") from error
            raise UserError(
                f"{path}.{TARGET}={target} cannot be imported: {module_name} raises {type(error).__name__}: {error}"
            ) from error
        if absent is not None:
            close = ", ".join(nearest(absent, _public_names(found))) or _ours_like(parts[-1])
            raise UserError(f"{path}.{TARGET}={target} does not exist; nearest: {close}")
        if not (inspect.isclass(found) or inspect.isfunction(found)):
            raise UserError(f"{path}.{TARGET}={target} is neither a class nor a function")
        call: Callable[..., Any] = found
        return call
    if len(parts) == 1:
        raise UserError(
            f"{path}.{TARGET}={target} cannot be imported: it must be like package.module.Name; "
            f"nearest: {_ours_like(target)}"
        )
    raise UserError(
        f"{path}.{TARGET}={target} cannot be imported: there is no module {parts[0]} here or among what is installed"
    )


def _within(owner: Any, names: Sequence[str]) -> tuple[Any, str | None]:
    """What is in `owner`, in what is in that, and so on, as far as it goes; and the first name that is not there."""
    for name in names:
        try:
            owner = getattr(owner, name)  # a package may import then, and raise anything
        except AttributeError:
            return owner, name
    return owner, None


def _public_names(owner: Any) -> list[str]:
    """What is defined in a module or class; of a package without the modules that happen to be imported already."""
    return [name for name, value in vars(owner).items() if not name.startswith("_") and not inspect.ismodule(value)]


def _ours_like(name: str) -> str:
    """The dotted names of our own classes whose last part is nearest."""
    ours = {target.rpartition(".")[2]: target for target in catalogue.target_names()}
    return ", ".join(ours[each] for each in nearest(name, ours))


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
        missing = error.name if isinstance(error, NameError) else None
        written = getattr(function, "__annotations__", {})
        places = [
            name
            for name, text in written.items()
            if missing is not None and re.search(rf"\b{re.escape(missing)}\b", str(text))
        ]
        which = f"the annotation of {places[0]}" if places else "an annotation"
        advice = (
            f"import {missing} there, and not under `if TYPE_CHECKING:`" if missing is not None else "correct it there"
        )
        raise UserError(
            f"{owner} cannot be checked: {which} cannot be read at run time ({type(error).__name__}: {error}): {advice}"
        ) from error


def full_name(call: Callable[..., Any]) -> str:
    """Its dotted name."""
    return f"{call.__module__}.{call.__qualname__}"


def product_of(call: Callable[..., Any]) -> Any:
    """The type of what `call(...)` returns."""
    return call if inspect.isclass(call) else hints_of(call).get("return", UNKNOWN)
