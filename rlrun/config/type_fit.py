"""Whether an object of one type can stand where another is asked for."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from typing_extensions import get_protocol_members, is_protocol

from rlrun.annotations import UNKNOWN, is_callable, members_of
from rlrun.config.constructors import full_name, read_hints


def is_protocol_class(annotation: Any) -> bool:
    """Whether an annotation is a protocol."""
    return inspect.isclass(annotation) and is_protocol(annotation)


def fits(product: Any, expected: Any) -> bool:
    """Whether an object of type `product` can stand where `expected` is asked for."""
    if product is UNKNOWN:
        return False
    return any(_fits_one(product, member) for member in members_of(expected) if member is not type(None))


def _fits_one(product: Any, expected: Any) -> bool:
    if expected is Any:
        return True
    if get_origin(expected) is Annotated:
        return _fits_one(product, get_args(expected)[0])
    if is_callable(expected):
        return _can_be_called_as(product, expected)
    expected = get_origin(expected) or expected
    product = get_origin(product) or product
    if not inspect.isclass(product) or not inspect.isclass(expected):
        return bool(product == expected)
    if is_protocol(expected):
        methods = [name for name in get_protocol_members(expected) if inspect.isfunction(_vars_of(expected).get(name))]
        has = _vars_of(product)  # not `getattr`, which finds the metaclass's `__call__` on every class
        if product is expected:
            return True
        if not all(name in has and callable(getattr(product, name)) for name in methods):
            return False
        return "__call__" not in methods or _returns_alike(has["__call__"], _vars_of(expected)["__call__"])
    return issubclass(product, expected)


def _vars_of(cls: type) -> dict[str, Any]:
    """Every attribute of a class and its bases, unbound."""
    return {name: item for base in reversed(cls.__mro__) for name, item in vars(base).items()}


def _returns_alike(method: Any, wanted: Any) -> bool:
    """Whether a method's result may stand for that of a protocol's; a class that does not say is believed."""
    have = read_hints(method, full_name(method)).get("return", Any) if inspect.isfunction(method) else Any
    return have is Any or _agrees(have, get_type_hints(wanted).get("return", Any))


def _can_be_called_as(product: Any, expected: Any) -> bool:
    """Whether `product` is a callable whose arguments and result fit those of `Callable[[...], result]`."""
    wanted = get_args(expected)
    if is_callable(product):
        have = get_args(product)
        return not wanted or not have or _agrees(have[-1], wanted[-1])
    if not inspect.isclass(product) or "__call__" not in _vars_of(product):
        return False
    if not wanted:
        return True
    function = _vars_of(product)["__call__"]
    taken = list(inspect.signature(function).parameters)[1:]
    result = read_hints(function, full_name(function)).get("return", UNKNOWN)
    return (wanted[0] is Ellipsis or len(taken) == len(wanted[0])) and _agrees(result, wanted[-1])


def _agrees(have: Any, wanted: Any) -> bool:
    have, wanted = get_origin(have) or have, get_origin(wanted) or wanted
    if inspect.isclass(have) and inspect.isclass(wanted) and not is_protocol(wanted):
        return issubclass(have, wanted) or (have is int and wanted is float)
    return have is not UNKNOWN
