"""Writes `catalogue.json` from our constructors: their annotations are its types, their docstrings its meanings.

    {"version": 1,
     "targets": {"rlrun.agents.dqn.DQN": {
         "summary": the first paragraph of the class's docstring,
         "sources": paragraphs of the module's and the class's docstrings that name a year, so papers and equations,
         "parameters": {"gamma": {
             "type": "number", "integer", "boolean", "text", "path", "choice", "list", "mapping", "object", "any_of", or
                 "value" for anything that YAML can hold,
             "min", "max": numbers or null, with "exclusive_min" and "exclusive_max",
             "nullable": whether null is allowed besides,
             "choices": of "choice", otherwise null,
             "execution", "file": whether it is marked so (rlrun.annotations),
             "unit": such as "agent steps"; null where the name does not say it,
             "meaning": what the docstring says, with null for None,
             and only where there is one:
             "at_most": the parameter of the same target that it may not exceed,
             "takes": the memory of each unit, "num_bytes" and whether "per_slot",
             "names": of "file", what else it may be,
             "used_when": a list of conditions on which it has an effect: another "parameter" of the same target has
                 one of the "values", or, where "negated", none of them,
             "item": of "list" and "mapping", the entry of each value (without meaning),
             "kind": of "object", a key of "kinds",
             "before_end": whether it is an agent step that must come before the end of the run,
             "partial": of "object", whether it is called later, with its first argument,
             "members": of "any_of", entries of which one must fit,
             "min_length", "max_length", "pattern"}},
         "runtime": {"network": "Network", "seed": null}: what building supplies, with its kind if configs have one}},
     "kinds": {"Schedule": {"targets": those that fit, "owner", "parameter": where the real annotation stands}}}

A target belongs in it if it fits a kind, and a kind if a run or a parameter of a target asks for one. Arguments are
read as `rlrun.config.schema` reads them, so a constructor that it cannot check is left out.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import JsonValue
from pydantic.fields import FieldInfo
from torch import nn

import rlrun
from rlrun.annotations import (
    BEFORE_END,
    EXECUTION,
    FILE,
    PARTIAL,
    AtMost,
    Named,
    Takes,
    is_callable,
    is_data,
    is_partial,
    item_of,
    members_of,
)
from rlrun.annotations.type_words import kind_name
from rlrun.config import index
from rlrun.config.catalogue import FILE_NAME, LOG_VALUES, RUN_VALUES, SETTINGS, VERSION
from rlrun.config.constructors import conditions_of, hints_of, import_target, parameters_of, product_of
from rlrun.config.docstrings import argument_meanings, paragraphs, sources
from rlrun.config.type_fit import fits, is_protocol_class
from rlrun.config.units import unit_of
from rlrun.errors import UserError

_TYPES = {float: "number", int: "integer", bool: "boolean", str: "text", Path: "path", JsonValue: "value"}
_ROOTS = {  # what a config's groups are, by where a constructor asks for one
    "Agent": ("rlrun.loop.run.Run", "agent"),
    "VecEnv": ("rlrun.loop.collect.Collector", "env"),
    "Device": ("rlrun.compute.device.Device", ""),
    "Logger": ("rlrun.runs.loggers.Logger", ""),
}


def path() -> Path:
    """Where the file is."""
    return Path(index.__file__).with_name(FILE_NAME)


def write() -> None:
    """Writes the file anew."""
    path().write_text(text(), encoding="utf-8")


def text() -> str:
    """What the file should hold."""
    return json.dumps(make(), indent=1, ensure_ascii=False) + "\n"


def make() -> dict[str, Any]:
    """The whole catalogue, from the constructors."""
    candidates = dict(_candidates())
    kinds = {name: _Asked(_annotation_of(*place), *place) for name, place in _ROOTS.items()}
    targets: dict[str, dict[str, Any]] = {}
    queue = list(kinds)
    while queue:
        name = queue.pop()
        for target, call in candidates.items():
            if target in targets or not fits(product_of(call), kinds[name].annotation):
                continue
            targets[target] = _target(call)
            for kind, asked in _asked(target, call):
                if kind not in kinds:
                    kinds[kind] = asked
                    queue.append(kind)
                elif kinds[kind].annotation != asked.annotation:
                    raise ValueError(f"two kinds are called {kind}: {kinds[kind].annotation}, {asked.annotation}")
    for target in SETTINGS.values():
        targets[target] = _target(candidates[target])
    return {
        "version": VERSION,
        "targets": dict(sorted(targets.items())),
        "kinds": {
            name: {"targets": fitting(asked.annotation, candidates, targets), "owner": asked.owner}
            | {"parameter": asked.parameter}
            for name, asked in sorted(kinds.items())
        },
    }


def fitting(annotation: Any, candidates: Mapping[str, Any], targets: Mapping[str, Any]) -> list[str]:
    """The targets that may stand where `annotation` is asked for."""
    return sorted(target for target in targets if fits(product_of(candidates[target]), annotation))


class _Asked:
    """An annotation that asks for an object, and where it stands."""

    def __init__(self, annotation: Any, owner: str, parameter: str) -> None:
        self.annotation, self.owner, self.parameter = annotation, owner, parameter


def _annotation_of(owner: str, parameter: str) -> Any:
    call = import_target(owner, "")
    return hints_of(call)[parameter] if parameter else call


def _candidates() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public class that a config could name, by its target."""
    for module in _modules():
        for name, cls in vars(module).items():
            if inspect.isclass(cls) and cls.__module__ == module.__name__ and not name.startswith("_"):
                target = f"{module.__name__}.{name}"
                if not is_protocol_class(cls) and _is_checkable(cls):
                    yield target, cls


def _modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(rlrun.__path__, "rlrun."):
        if not found.name.startswith(("rlrun.testing", "rlrun.__main__")):
            yield importlib.import_module(found.name)


def _is_checkable(cls: type) -> bool:
    """Whether every argument is supplied when building, or keyword-only with a type that a config can give."""
    if issubclass(cls, nn.Module):
        return False  # networks make these, not configs
    if cls.__init__ is object.__init__ or any(cls is _annotation_of(*place) for place in _ROOTS.values() if place[1]):
        return False
    try:
        parameters, hints = parameters_of(cls, cls.__name__), hints_of(cls)
    except (UserError, NameError, TypeError, ValueError):
        return False
    supplied = RUN_VALUES | LOG_VALUES
    configured = [name for name in parameters if name not in supplied]
    if any(name not in hints or parameters[name].kind is not inspect.Parameter.KEYWORD_ONLY for name in configured):
        return False
    return all(is_data(member) or _is_object(member) for name in configured for member in members_of(hints[name]))


def _is_object(member: Any) -> bool:
    bare = get_args(member)[0] if get_origin(member) is Annotated else member
    if get_origin(bare) is list:
        return all(_is_object(item) for item in get_args(bare))
    return is_callable(bare) or is_protocol_class(bare) or _is_settings(bare)


def _is_settings(bare: Any) -> bool:
    """Whether it is a class of ours that groups arguments, and that a config can give."""
    return (
        isinstance(bare, type)
        and dataclasses.is_dataclass(bare)
        and bare.__module__.startswith("rlrun.")
        and _is_checkable(bare)
    )


def _asked(target: str, call: Callable[..., Any]) -> Iterator[tuple[str, _Asked]]:
    """The kinds that the arguments of `call` ask for."""
    hints = hints_of(call)
    for name in parameters_of(call, target):
        for member in members_of(hints[name]):
            if _is_object(member):
                yield kind_name(item_of(member)), _Asked(item_of(member), target, name)


def _target(call: Callable[..., Any]) -> dict[str, Any]:
    hints, parameters = hints_of(call), parameters_of(call, "")
    meanings, conditions = argument_meanings(call), conditions_of(call)
    supplied = RUN_VALUES | LOG_VALUES
    missing = [name for name in parameters if name not in supplied and not meanings.get(name)]
    if missing:
        raise ValueError(f"{call.__module__}.{call.__qualname__} does not say what {missing[0]} means (Args:)")
    return {
        "summary": paragraphs(call)[0],
        "sources": sources(call),
        "parameters": {
            name: entry_of(hints[name])
            | {"unit": unit_of(name) if _is_numeric(hints[name]) else None, "meaning": meanings[name]}
            | ({"used_when": [asdict(item) for item in conditions[name]]} if name in conditions else {})
            for name in parameters
            if name not in supplied
        },
        "runtime": {
            name: kind_name(hints[name]) if _is_object(hints[name]) else None for name in parameters if name in supplied
        },
    }


def _is_numeric(annotation: Any) -> bool:
    """Whether a number, or a list of them, is meant: only those have units."""
    bare = [get_args(member)[0] if get_origin(member) is Annotated else member for member in members_of(annotation)]
    return any(
        member in (int, float) or (get_origin(member) is list and _is_numeric(get_args(member)[0])) for member in bare
    )


def entry_of(annotation: Any) -> dict[str, Any]:
    """What an annotation allows."""
    members = [member for member in members_of(annotation) if member is not type(None)]
    nullable = len(members) < len(members_of(annotation))
    entry: dict[str, Any] = {"type": "any_of", "min": None, "max": None, "exclusive_min": False, "exclusive_max": False}
    entry |= {"nullable": nullable, "choices": None, "execution": False, "file": False}
    if len(members) > 1:
        return entry | {"members": [entry_of(member) for member in members]}
    (bare,) = members
    kind = kind_name(bare) if is_partial(bare) else None
    metadata: list[Any] = []
    if get_origin(bare) is Annotated:
        bare, *metadata = get_args(bare)
    entry |= _marks(metadata)
    origin, args = get_origin(bare), get_args(bare)
    if origin is Literal:
        return entry | {"type": "choice", "choices": list(args)}
    if origin is list:
        return entry | {"type": "list", "item": entry_of(args[0])}
    if origin is dict:
        return entry | {"type": "mapping", "item": entry_of(args[1])}
    if _is_object(bare):
        return entry | {"type": "object", "kind": kind or kind_name(bare)}
    return entry | {"type": _TYPES[bare]}


def _marks(metadata: list[Any]) -> dict[str, Any]:
    """Ranges and facts out of what `Annotated` adds to a type.

    Raises:
        ValueError: for what the file could not hold.
    """
    found: dict[str, Any] = {}
    for item in [
        inner for outer in metadata for inner in (outer.metadata if isinstance(outer, FieldInfo) else [outer])
    ]:
        if item is EXECUTION:
            found["execution"] = True
        elif item is FILE:
            found["file"] = True
        elif item is PARTIAL:
            found["partial"] = True
        elif item is BEFORE_END:
            found["before_end"] = True
        elif isinstance(item, AtMost):
            found["at_most"] = item.parameter
        elif isinstance(item, Takes):
            found["takes"] = asdict(item)
        elif isinstance(item, Named):
            found["names"] = list(item.names)
        else:
            bounds = {
                key: getattr(item, name)
                for name, key in {"ge": "min", "gt": "min", "le": "max", "lt": "max"}.items()
                if hasattr(item, name)
            }
            bounds |= {
                f"exclusive_{end}": True for name, end in {"gt": "min", "lt": "max"}.items() if hasattr(item, name)
            }
            bounds |= {
                name: getattr(item, name)
                for name in ("min_length", "max_length", "pattern")
                if getattr(item, name, None) is not None
            }
            if not bounds:
                raise ValueError(f"the catalogue has no place for {item!r}")
            found |= bounds
    return found


if __name__ == "__main__":
    write()
