"""The constructor is the schema: checks YAML values against the typed keyword arguments of what `_target_` names.

Strict: `true` is no number, numbers are finite, unknown keys are refused. Two kindnesses: `1e6` is a fine integer, and
an integer is a fine float. Nested `_target_`s must fit the annotation of the argument that they are given to.

Our own constructors are read from the catalogue, which spares their imports; all others are imported.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from typing_extensions import get_protocol_members, is_protocol

from rlrun import catalogue
from rlrun.annotations import EXECUTION, FILE, WORDS, AtMost, Meaning
from rlrun.catalogue import Kind
from rlrun.errors import UnknownKeyError, UserError, WrongKeyError, nearest

TARGET = "_target_"
_CONFIG = ConfigDict(strict=True, allow_inf_nan=False)
_DATA = (bool, int, float, str, Path, type(None))
_UNKNOWN: Any = object()  # a type that nobody wrote down
_NO_TEXT = (  # as Hydra reads it unquoted
    r"[-+]?((0|[1-9][\d_]*)(\.\d*)?|\.\d+)(e[-+]?\d+)?|[-+]?\.?(inf|nan)|true|false|null"
)
_PADDED = r"([-+]?)0[0_]*(\d[\d_]*(\.\d*)?)"  # which is text to Hydra, and to YAML 1.1 often a number in base 8
_COMPARISONS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@dataclass(frozen=True, slots=True)
class Component:
    """A checked `_target_`: what to call, and with which values."""

    target: str
    arguments: Mapping[str, Any]  # plain values, components, and lists of them
    runtime: frozenset[str]  # the runtime values that it takes besides
    execution: frozenset[str] = frozenset()  # arguments that change the speed and not the result
    files: frozenset[str] = frozenset()  # arguments that may be paths of files

    @property
    def call(self) -> Callable[..., Any]:
        """What `_target_` names, imported now."""
        return import_target(self.target, "")

    def as_plain(self) -> dict[str, Any]:
        """Back to what YAML and JSON can hold, with coerced values."""
        return {TARGET: self.target} | {key: as_plain(value) for key, value in self.arguments.items()}

    def experiment(self) -> dict[str, Any]:
        """The same without what only changes the speed, and with the content of files instead of their paths."""
        plain: dict[str, Any] = {TARGET: self.target}
        for key, value in self.arguments.items():
            if key not in self.execution:
                plain[key] = _digest(value) if key in self.files else experiment(value)
        return plain


def as_plain(value: Any) -> Any:
    """`value` with every component inside it written out."""
    return _written_out(value, Component.as_plain)


def experiment(value: Any) -> Any:
    """`value` as far as it defines an experiment."""
    return _written_out(value, Component.experiment)


def _written_out(value: Any, write: Callable[[Component], dict[str, Any]]) -> Any:
    if isinstance(value, Component):
        return write(value)
    if isinstance(value, list | tuple):
        return [_written_out(item, write) for item in value]
    if isinstance(value, dict):
        return {key: _written_out(item, write) for key, item in value.items()}
    return str(value) if isinstance(value, Path) else value


def _digest(value: Any) -> Any:
    """A digest of the file called `value`, or of the tables in that directory; `value` where it is neither."""
    if isinstance(value, str):
        path = Path(value).expanduser()
        for file in (path, path / "tables.npz"):
            if file.is_file():
                return "file " + hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
    return value


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
            found: Any = import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is not None and (module_name + ".").startswith(error.name + "."):
                continue
            raise UserError(
                f"{path}.{TARGET}={target} needs the module {error.name}, which is not installed"
            ) from error
        except Exception as error:  # whatever somebody's module does when it is imported
            if not all(part.isidentifier() for part in parts):
                raise UserError(f"{path}.{TARGET}={target} is not a dotted name") from error
            raise UserError(
                f"{path}.{TARGET}={target} cannot be imported: {module_name} raises {type(error).__name__}: {error}"
            ) from error
        for part in parts[split:]:
            if not hasattr(found, part):
                close = ", ".join(nearest(part, _public_names(found))) or _ours_like(parts[-1])
                raise UserError(f"{path}.{TARGET}={target} does not exist; nearest: {close}")
            found = getattr(found, part)
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


def _public_names(owner: Any) -> list[str]:
    """What is defined in a module or class; of a package without the modules that happen to be imported already."""
    return [name for name, value in vars(owner).items() if not name.startswith("_") and not inspect.ismodule(value)]


def _ours_like(name: str) -> str:
    """The dotted names of our own classes whose last part is nearest."""
    ours = {target.rpartition(".")[2]: target for target in catalogue.target_names()}
    return ", ".join(ours[each] for each in nearest(name, ours))


def check_component(
    value: object, path: str, *, expected: Any = _UNKNOWN, runtime: frozenset[str] = frozenset()
) -> Component:
    """Checks a mapping with `_target_` and everything inside it.

    Args:
        value: the mapping.
        path: where it stands in the config, for messages.
        expected: the annotation that the built object must fit.
        runtime: names of arguments that are supplied when building and can be no keys.

    Raises:
        UserError: at the first thing that is wrong.
    """
    if not isinstance(value, Mapping) or TARGET not in value:
        raise WrongKeyError(f"{path} must be a mapping with {TARGET}, not {shown(value)}", path)
    signature = _signature(value[TARGET], path, runtime)
    if expected is not _UNKNOWN and not signature.fits(expected):
        raise WrongKeyError(
            f"{path}.{TARGET}={value[TARGET]} does not fit: {path} must be {describe(expected)}", f"{path}.{TARGET}"
        )
    given = {str(key): item for key, item in value.items() if key != TARGET}
    _refuse_unknown(given, signature.keys, path)
    arguments = {}
    for name, annotation in signature.keys.items():
        if name in given:
            arguments[name] = check_value(annotation, given[name], f"{path}.{name}", runtime=runtime)
        elif name in signature.defaults:
            with suppress(UserError):  # a default that YAML cannot say, such as an object, stays the constructor's own
                arguments[name] = check_value(annotation, _plain(signature.defaults[name]), f"{path}.{name}")
        else:
            raise WrongKeyError(f"{path}.{name} is missing: {describe(annotation)}", f"{path}.{name}")
    _check_order(signature.keys, arguments, path)

    def marked(meaning: Meaning) -> frozenset[str]:
        return frozenset(
            name
            for name, annotation in signature.keys.items()
            if any(meaning in get_args(member) for member in members_of(annotation))
        )

    return Component(str(value[TARGET]), arguments, signature.runtime, marked(EXECUTION), marked(FILE))


@dataclass(frozen=True, slots=True)
class _Signature:
    """What a constructor takes, from the catalogue or from itself."""

    target: str
    keys: Mapping[str, Any]  # annotations of what a config gives
    defaults: Mapping[str, Any]  # of those that have one; ours have none
    runtime: frozenset[str]  # what building supplies
    ours: bool

    def fits(self, expected: Any) -> bool:
        """Whether what it makes can stand where `expected` is asked for."""
        kinds = [member for member in members_of(expected) if isinstance(member, Kind)]
        others = [member for member in members_of(expected) if not isinstance(member, Kind)]
        if self.ours and any(self.target in kind.targets for kind in kinds):
            return True
        if self.ours and kinds:
            return False
        wanted = [*others, *map(real_annotation, kinds)]
        return bool(wanted) and fits(product_of(import_target(self.target, "")), _union(wanted))


def real_annotation(kind: Kind) -> Any:
    """The annotation that a kind of the catalogue stands for; imports its module."""
    call = import_target(kind.owner, "")
    return hints_of(call)[kind.parameter] if kind.parameter else call


def _signature(target: object, path: str, runtime: frozenset[str]) -> _Signature:
    known = catalogue.target(target)
    if known is not None and known.runtime.keys() <= runtime:
        keys = {name: parameter.annotation for name, parameter in known.parameters.items()}
        return _Signature(str(target), keys, {}, frozenset(known.runtime), ours=True)
    call = import_target(target, path)
    parameters, hints = parameters_of(call, path), hints_of(call)
    return _Signature(
        str(target),
        {name: hints.get(name, _UNKNOWN) for name in parameters if name not in runtime},
        {name: each.default for name, each in parameters.items() if each.default is not inspect.Parameter.empty},
        frozenset(parameters) & runtime,
        ours=False,
    )


def keys_of(target: object, path: str, runtime: frozenset[str]) -> Mapping[str, Any]:
    """The keys that a target takes, with their annotations.

    Raises:
        UserError: if there is no such target, or it cannot be checked.
    """
    return _signature(target, path, runtime).keys


def defaults_of(target: object, path: str, runtime: frozenset[str]) -> Mapping[str, Any]:
    """The values that a constructor gives its own arguments where a config leaves them out; ours give none.

    Raises:
        UserError: if there is no such target, or it cannot be checked.
    """
    signature = _signature(target, path, runtime)
    return {name: value for name, value in signature.defaults.items() if name in signature.keys}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _check_order(annotations: Mapping[str, Any], arguments: Mapping[str, Any], path: str) -> None:
    """Refuses a value that is larger than the one it is marked `AtMost` of."""
    for name, value in arguments.items():
        for member in members_of(annotations[name]):
            for mark in get_args(member) if get_origin(member) is Annotated else ():
                limit = arguments.get(mark.parameter) if isinstance(mark, AtMost) else None
                if value is not None and limit is not None and value > limit:
                    raise WrongKeyError(
                        f"{path}.{name}={shown(value)} is more than {path}.{mark.parameter}={shown(limit)}",
                        f"{path}.{name}",
                    )


def check_fields(value: object, annotations: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Checks a plain mapping whose keys and types are `annotations`; all of them must be there."""
    prefix = f"{path}." if path else ""
    if not isinstance(value, Mapping):
        raise WrongKeyError(
            f"{path} must be a mapping with the keys {', '.join(annotations)}, not {shown(value)}", path
        )
    _refuse_unknown(value, annotations, path)
    missing = [name for name in annotations if name not in value]
    if missing:
        raise WrongKeyError(
            f"{prefix}{missing[0]} is missing: {describe(annotations[missing[0]])}", prefix + missing[0]
        )
    return {name: check_value(annotation, value[name], prefix + name) for name, annotation in annotations.items()}


def check_value(annotation: Any, value: Any, path: str, *, runtime: frozenset[str] = frozenset()) -> Any:
    """`value` coerced to `annotation`, or a `Component` where it is one.

    Raises:
        UserError: if it does not fit.
    """
    if annotation is _UNKNOWN:
        raise UserError(f"{path} cannot be checked: the constructor does not annotate its type")
    if isinstance(value, Mapping) and TARGET in value:
        if all(is_data(member) for member in members_of(annotation)):
            raise WrongKeyError(f"{path} must be {describe(annotation)}, not an object with {TARGET}", path)
        return check_component(value, path, expected=annotation, runtime=runtime)
    inner = [get_args(member)[0] for member in members_of(annotation) if get_origin(member) is list]
    if isinstance(value, list) and len(inner) == 1 and not is_data(inner[0]):
        return [check_value(inner[0], item, f"{path}[{index}]", runtime=runtime) for index, item in enumerate(value)]
    data = [member for member in members_of(annotation) if is_data(member)]
    if data:
        adapter: TypeAdapter[Any] = TypeAdapter(_union(data), config=_CONFIG)
        for candidate in (value, _integral(value)):
            try:
                return adapter.validate_json(json.dumps(candidate), strict=True)
            except (ValidationError, TypeError, ValueError):
                continue
    raise WrongKeyError(
        f"{path}={_quoted(value)} is not valid: it must be {describe(annotation)}{_suggestion(data, value)}", path
    )


def runtime_annotation(component: Component, name: str) -> Any:
    """The annotation of the runtime argument `name` of a checked component."""
    known = catalogue.target(component.target)
    return known.runtime[name] if known is not None else hints_of(component.call)[name]


def describe(annotation: Any) -> str:
    """An annotation in words, with its range."""
    if annotation is _UNKNOWN:
        return "a value"
    members = members_of(annotation)
    if len(members) > 1:
        return " or ".join(describe(member) for member in members)
    (annotation,) = members
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        bounds = " and ".join(_bounds(args[1:]))
        return f"{describe(args[0])} {bounds}".rstrip()
    if origin is Literal:
        return ("one of " if len(args) > 1 else "") + ", ".join(str(choice) for choice in args)
    if origin in (list, tuple) and args:
        return f"a list (each {describe(args[0])})"
    if origin is dict:
        return f"a mapping (each value {describe(args[1])})"
    if annotation in WORDS:
        return WORDS[annotation]
    return f"an object ({TARGET}) of the kind {kind_name(annotation)}"


def kind_name(annotation: Any) -> str:
    """What messages and the catalogue call an annotation that asks for an object."""
    if isinstance(annotation, Kind):
        return annotation.name
    return "callable" if is_callable(annotation) else str(getattr(annotation, "__name__", annotation))


def shown(value: object) -> str:
    """A value as YAML would show it, on one line and not too long."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if value == "":
        text = "''"
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."


def _looks_otherwise(value: object) -> bool:
    """Whether it is text that would be a number, a truth value or null without its quotes."""
    return isinstance(value, str) and re.fullmatch(_NO_TEXT, value.strip(), re.IGNORECASE) is not None


def _bare(annotation: Any) -> Any:
    """The type without its range."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _quoted(value: object) -> str:
    return f"'{shown(value)}'" if _looks_otherwise(value) else shown(value)


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


def _suggestion(data: list[Any], value: Any) -> str:
    choices = [choice for member in data if get_origin(member) is Literal for choice in get_args(member)]
    bare = [_bare(member) for member in data]
    if isinstance(value, str) and (int in bare or float in bare) and (number := re.fullmatch(_PADDED, value.strip())):
        return f", and no number begins with 0: write {number[1]}{number[2]}"
    if _looks_otherwise(value) and not choices and str not in bare:
        return ", and this is text: leave out the quotes, or write ${oc.decode:${oc.env:NAME}} to read a variable"
    return f"; nearest: {nearest(value, map(str, choices))[0]}" if choices and isinstance(value, str) else ""


def _union(members: list[Any]) -> Any:
    return Union[tuple(members)]  # noqa: UP007 (its members are known only at runtime)


def _integral(value: Any) -> Any:
    """`1e6`, which YAML reads as a float, as the integer that was meant."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_integral(item) for item in value]
    if isinstance(value, dict):
        return {key: _integral(item) for key, item in value.items()}
    return value


def _refuse_unknown(given: Mapping[str, Any], valid: Mapping[str, Any], path: str) -> None:
    for name in given:
        if name not in valid:
            prefix = f"{path}." if path else ""
            close = [prefix + candidate for candidate in nearest(str(name), valid)]
            hint = f"; nearest: {', '.join(close)}" if close else f"; {path} takes no keys"
            raise UnknownKeyError(f"unknown key {prefix}{name}{hint}", f"{prefix}{name}")


def parameters_of(call: Callable[..., Any], path: str) -> dict[str, inspect.Parameter]:
    """The arguments of a constructor.

    Raises:
        UserError: if it does not say them, or if there are open ones, which no config could be checked against.
    """
    try:
        parameters = dict(inspect.signature(call).parameters)
    except (TypeError, ValueError) as error:  # written in C, such as `dict`
        raise WrongKeyError(
            f"{path}.{TARGET}={_full_name(call)} cannot be checked: it does not say what it takes", f"{path}.{TARGET}"
        ) from error
    for name, parameter in parameters.items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise UserError(f"{path}.{TARGET}={call.__qualname__} cannot be checked: it takes the open argument {name}")
    return parameters


def hints_of(call: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of the arguments of a constructor.

    Raises:
        UserError: if one of them cannot be read at run time.
    """
    function = call
    if inspect.isclass(call) and call.__init__ is not object.__init__:
        function = call.__init__
    return _read_hints(function, _full_name(call))


def _read_hints(function: Callable[..., Any], owner: str) -> dict[str, Any]:
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


def _full_name(call: Callable[..., Any]) -> str:
    return f"{call.__module__}.{call.__qualname__}"


def product_of(call: Callable[..., Any]) -> Any:
    """The type of what `call(...)` returns."""
    return call if inspect.isclass(call) else hints_of(call).get("return", _UNKNOWN)


def members_of(annotation: Any) -> list[Any]:
    """The members of a union, or the annotation alone."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [inner for member in get_args(annotation) for inner in members_of(member)]
    return [annotation]


def is_callable(annotation: Any) -> bool:
    """Whether an annotation asks for something to call."""
    return annotation in (typing.Callable, Callable) or get_origin(annotation) is Callable


def is_protocol_class(annotation: Any) -> bool:
    """Whether an annotation is a protocol."""
    return inspect.isclass(annotation) and is_protocol(annotation)


def is_data(annotation: Any) -> bool:
    """Whether YAML can hold it: numbers, text, and containers of them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return is_data(get_args(annotation)[0])
    if origin is Literal:
        return True
    if origin in (list, tuple, dict, Union, types.UnionType):
        return all(is_data(item) for item in get_args(annotation) if item is not Ellipsis)
    return annotation in _DATA


def fits(product: Any, expected: Any) -> bool:
    """Whether an object of type `product` can stand where `expected` is asked for."""
    if product is _UNKNOWN:
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
    have = _read_hints(method, _full_name(method)).get("return", Any) if inspect.isfunction(method) else Any
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
    result = _read_hints(function, _full_name(function)).get("return", _UNKNOWN)
    return (wanted[0] is Ellipsis or len(taken) == len(wanted[0])) and _agrees(result, wanted[-1])


def _agrees(have: Any, wanted: Any) -> bool:
    have, wanted = get_origin(have) or have, get_origin(wanted) or wanted
    if inspect.isclass(have) and inspect.isclass(wanted) and not is_protocol(wanted):
        return issubclass(have, wanted) or (have is int and wanted is float)
    return have is not _UNKNOWN
