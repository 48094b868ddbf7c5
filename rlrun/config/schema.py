"""The constructor is the schema: checks YAML values against the typed keyword arguments of what `_target_` names.

Strict: `true` is no number, numbers are finite, unknown keys are refused. Two kindnesses: `1e6` is a fine integer, and
an integer is a fine float. Nested `_target_`s must fit the annotation of the argument that they are given to.

Our own constructors are read from the catalogue, which spares their imports; all others are imported.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from rlrun.annotations import (
    BEFORE_END,
    EXECUTION,
    FILE,
    TARGET,
    UNKNOWN,
    AtMost,
    Condition,
    Kind,
    Named,
    Takes,
    is_data,
    is_partial,
    item_of,
    members_of,
    union_of,
)
from rlrun.annotations.plain_values import as_far_as_known, coerced
from rlrun.annotations.type_words import describe, quoted, shown
from rlrun.config import catalogue
from rlrun.config.constructors import conditions_of, hints_of, import_target, parameters_of, product_of
from rlrun.config.type_fit import fits
from rlrun.errors import UnknownKeyError, UserError, WrongKeyError, nearest


@dataclass(frozen=True, slots=True)
class Component:
    """A checked `_target_`: what to call, and with which values."""

    target: str
    arguments: Mapping[str, Any]  # plain values, components, and lists of them
    runtime: frozenset[str]  # the runtime values that it takes besides
    execution: frozenset[str] = frozenset()  # arguments that change the speed and not the result
    files: Mapping[str, Named | None] = field(default_factory=dict)  # that may be paths; other names, if they are known
    takes: Mapping[str, Takes] = field(default_factory=dict)  # arguments that take memory, and how much
    unused: Mapping[str, Condition] = field(default_factory=dict)  # arguments without effect: what is not met
    before_end: frozenset[str] = frozenset()  # agent steps that must come before the end of the run
    partial: bool = False  # building makes a callable of it, which is given the constructor's first argument

    @property
    def call(self) -> Callable[..., Any]:
        """What `_target_` names, imported now."""
        return import_target(self.target, "")

    def as_plain(self) -> dict[str, Any]:
        """Back to what YAML and JSON can hold, with coerced values."""
        return {TARGET: self.target} | {key: as_plain(value) for key, value in self.arguments.items()}

    def experiment(self) -> dict[str, Any]:
        """The same without what changes only the speed or nothing, and with files' content instead of their paths."""
        plain: dict[str, Any] = {TARGET: self.target}
        for key, value in self.arguments.items():
            if key not in self.execution and key not in self.unused:
                named = self.files.get(key)
                is_path = key in self.files and (named is None or value not in named.names)
                plain[key] = _digest(value) if is_path else experiment(value)
        return plain


def components_in(component: Component, path: str) -> Iterator[tuple[str, Component]]:
    """A component and those inside it that have an effect, with where they stand, dotted."""
    yield path, component
    for name, value in component.arguments.items():
        if name not in component.unused:
            items = {f"[{index}]": item for index, item in enumerate(value)} if isinstance(value, list) else {"": value}
            for place, item in items.items():
                if isinstance(item, Component):
                    yield from components_in(item, f"{path}.{name}{place}")


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


def check_component(
    value: object, path: str, *, expected: Any = UNKNOWN, runtime: frozenset[str] = frozenset()
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
    if not isinstance(value, Mapping):
        raise WrongKeyError(f"{path}={shown(value)} is not valid: it must be a mapping", path)
    if TARGET not in value:
        raise WrongKeyError(f"{path}.{TARGET} is missing", f"{path}.{TARGET}")
    return _check_arguments(value, path, signature_of(value[TARGET], path, runtime), expected, runtime)


def _check_partial(partial: Any, value: object, path: str) -> Component:
    """Checks what is called later, with its first argument."""
    if not isinstance(value, Mapping) or TARGET not in value:
        raise WrongKeyError(f"{path}={shown(value)} is not valid: it must be {describe(partial)}", path)
    signature = signature_of(value[TARGET], path, frozenset(), partial=True)
    asked = get_args(partial)[0]
    if isinstance(asked, Kind):
        asked = get_args(real_annotation(asked))[0]
    if not signature.fits(get_args(asked)[-1]):
        raise WrongKeyError(f"{path}.{TARGET}={value[TARGET]} is not valid: it must be {describe(partial)}", path)
    return replace(_check_arguments(value, path, signature, UNKNOWN, frozenset()), partial=True)


def _check_arguments(
    value: Mapping[str, Any], path: str, signature: Signature, expected: Any, runtime: frozenset[str]
) -> Component:
    if expected is not UNKNOWN and not signature.fits(expected):
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
                default = signature.defaults[name]
                plain = str(default) if isinstance(default, Path) else default
                arguments[name] = check_value(annotation, plain, f"{path}.{name}")
        else:
            raise WrongKeyError(f"{path}.{name} is missing: {describe(annotation)}", f"{path}.{name}")
    _check_order(signature.keys, arguments, path)

    marks = {name: _marks(annotation) for name, annotation in signature.keys.items()}
    return Component(
        str(value[TARGET]),
        arguments,
        signature.runtime,
        execution=frozenset(name for name, found in marks.items() if EXECUTION in found),
        files={
            name: next((mark for mark in found if isinstance(mark, Named)), None)
            for name, found in marks.items()
            if FILE in found
        },
        takes={name: mark for name, found in marks.items() for mark in found if isinstance(mark, Takes)},
        unused=_unused(signature.conditions, arguments),
        before_end=frozenset(name for name, found in marks.items() if BEFORE_END in found),
    )


def _marks(annotation: Any) -> list[Any]:
    """What `Annotated` adds to a type, or to the members of a union."""
    return [
        mark for member in members_of(annotation) if get_origin(member) is Annotated for mark in get_args(member)[1:]
    ]


def _unused(conditions: Mapping[str, Sequence[Condition]], arguments: Mapping[str, Any]) -> dict[str, Condition]:
    """The arguments that have no effect beside the others, and the first condition of each that is not met."""
    found = {}
    for name, condition in ((name, condition) for name, several in conditions.items() for condition in several):
        if name in arguments and condition.parameter in arguments and name not in found:
            value = arguments[condition.parameter]
            if not condition.met(value.target if isinstance(value, Component) else value):
                found[name] = condition
    return found


@dataclass(frozen=True, slots=True)
class Signature:
    """What a constructor takes, from the catalogue or from itself."""

    target: str
    keys: Mapping[str, Any]  # annotations of what a config gives
    defaults: Mapping[str, Any]  # of those that have one; ours have none
    runtime: frozenset[str]  # what building supplies
    ours: bool
    conditions: Mapping[str, Sequence[Condition]]  # on which arguments have an effect

    def fits(self, expected: Any) -> bool:
        """Whether what it makes can stand where `expected` is asked for."""
        kinds = [member for member in members_of(expected) if isinstance(member, Kind)]
        others = [member for member in members_of(expected) if not isinstance(member, Kind)]
        if self.ours and any(self.target in kind.targets for kind in kinds):
            return True
        if self.ours and kinds:
            return False
        wanted = [*others, *map(real_annotation, kinds)]
        return bool(wanted) and fits(product_of(import_target(self.target, "")), union_of(wanted))


def real_annotation(kind: Kind) -> Any:
    """The annotation that a kind of the catalogue stands for; imports its module."""
    call = import_target(kind.owner, "")
    return item_of(hints_of(call)[kind.parameter]) if kind.parameter else call


def signature_of(target: object, path: str, runtime: frozenset[str], *, partial: bool = False) -> Signature:
    """What `target` takes; if `partial`, without its first argument, and as far as somebody else's code says.

    Raises:
        UserError: if there is no such target, or it cannot be checked.
    """
    known = catalogue.target(target) if not partial else None
    if known is not None and known.runtime.keys() <= runtime:
        keys = {name: parameter.annotation for name, parameter in known.parameters.items()}
        conditions = {name: parameter.conditions for name, parameter in known.parameters.items()}
        return Signature(str(target), keys, {}, frozenset(known.runtime), ours=True, conditions=conditions)
    call = import_target(target, path)
    parameters = parameters_of(call, path, supplied=int(partial))
    hints = as_far_as_known(call, parameters) if partial else hints_of(call)
    return Signature(
        str(target),
        {name: hints.get(name, UNKNOWN) for name in parameters if name not in runtime},
        {
            name: each.default
            for name, each in parameters.items()
            if each.default is not inspect.Parameter.empty and name not in runtime
        },
        frozenset(parameters) & runtime,
        ours=False,
        conditions=conditions_of(call),
    )


def _check_order(annotations: Mapping[str, Any], arguments: Mapping[str, Any], path: str) -> None:
    """Refuses a value that is larger than the one it is marked `AtMost` of."""
    for name, value in arguments.items():
        for mark in (mark for mark in _marks(annotations[name]) if isinstance(mark, AtMost)):
            limit = arguments.get(mark.parameter)
            if value is not None and limit is not None and value > limit:
                raise WrongKeyError(
                    f"{path}.{name}={shown(value)} is more than {path}.{mark.parameter}={shown(limit)}",
                    f"{path}.{name}",
                )


def check_value(annotation: Any, value: Any, path: str, *, runtime: frozenset[str] = frozenset()) -> Any:
    """`value` coerced to `annotation`, or a `Component` where it is one.

    Raises:
        UserError: if it does not fit.
    """
    if annotation is UNKNOWN:
        raise UserError(f"{path} cannot be checked: the constructor does not annotate its type")
    partial = next((member for member in members_of(annotation) if is_partial(member)), None)
    if partial is not None:
        return _check_partial(partial, {TARGET: value} if isinstance(value, str) else value, path)
    if isinstance(value, Mapping) and TARGET in value:
        if all(is_data(member) for member in members_of(annotation)):
            raise WrongKeyError(f"{path} must be {describe(annotation)}, not an object with {TARGET}", path)
        return check_component(value, path, expected=annotation, runtime=runtime)
    inner = [get_args(member)[0] for member in members_of(annotation) if get_origin(member) is list]
    if isinstance(value, list) and len(inner) == 1 and not is_data(inner[0]):
        return [check_value(inner[0], item, f"{path}[{index}]", runtime=runtime) for index, item in enumerate(value)]
    data = [member for member in members_of(annotation) if is_data(member)]
    if data:
        with suppress(ValueError):
            return coerced(union_of(data), value)
    raise WrongKeyError(f"{path}={quoted(value)} is not valid: it must be {describe(annotation)}", path)


def _refuse_unknown(given: Mapping[str, Any], valid: Mapping[str, Any], path: str) -> None:
    for name in given:
        if name not in valid:
            close = [f"{path}.{candidate}" for candidate in nearest(name, valid)]
            hint = f"; nearest: {', '.join(close)}" if close else f"; {path} takes no keys"
            raise UnknownKeyError(f"unknown key {path}.{name}{hint}", f"{path}.{name}")
