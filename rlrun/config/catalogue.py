"""Our constructors, without importing them: `catalogue.json`, which `scripts/write_catalogue.py` makes and documents.

Checking, explaining and completing configs reads this instead of the classes, most of which bring torch along.
`python scripts/write_catalogue.py` writes the file again; a test compares it with the constructors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from rlrun.annotations import BEFORE_END, EXECUTION, FILE, PARTIAL, AtMost, Condition, Kind, Named, Takes, union_of
from rlrun.config.index import FILE_NAME as FILE_NAME
from rlrun.config.index import SETTINGS as SETTINGS
from rlrun.config.index import VERSION as VERSION
from rlrun.config.index import index

RUN_VALUES = frozenset({"spec", "device", "seed", "directory", "execution", "learns"})  # build supplies algorithms
LOG_VALUES = frozenset({"directory", "hyperparameters"})  # what build supplies to loggers
_PLAIN: Mapping[str, Any] = {"number": float, "integer": int, "boolean": bool, "text": str, "path": Path} | {
    "value": JsonValue
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One configured argument of a constructor."""

    annotation: Any  # equivalent to the constructor's own, with `Kind` for objects
    entry: Mapping[str, Any]  # as in the file
    meaning: str
    conditions: Sequence[Condition]  # on which it has an effect


@dataclass(frozen=True, slots=True)
class Target:
    """One of our constructors."""

    summary: str
    sources: Sequence[str]  # papers and equations, as the docstrings give them
    parameters: Mapping[str, Parameter]  # the keys that YAML must give
    runtime: Mapping[str, Any]  # what is supplied when building: `Kind`s, or None where no config describes it


def target(name: object) -> Target | None:
    """What the catalogue has on the target called `name`; None if it is not one of ours."""
    return _target(name) if isinstance(name, str) and name in index()["targets"] else None


def target_names() -> list[str]:
    """Every target that the catalogue has."""
    return list(index()["targets"])


def kind(name: str) -> Kind:
    """The kind called `name`, such as "Agent"."""
    entry = index()["kinds"][name]
    return Kind(name, frozenset(entry["targets"]), entry["owner"], entry["parameter"])


@cache
def _target(name: str) -> Target:
    entry = index()["targets"][name]
    parameters = {
        name: Parameter(annotation(parameter), parameter, parameter["meaning"], _conditions(parameter))
        for name, parameter in entry["parameters"].items()
    }
    runtime = {name: kind(known) if known is not None else None for name, known in entry["runtime"].items()}
    return Target(entry["summary"], entry["sources"], parameters, runtime)


def _conditions(entry: Mapping[str, Any]) -> tuple[Condition, ...]:
    return tuple(
        Condition(item["parameter"], tuple(item["values"]), item["negated"]) for item in entry.get("used_when", ())
    )


def annotation(entry: Mapping[str, Any]) -> Any:
    """The annotation that an entry of the file stands for."""
    marks: list[Any] = [EXECUTION] * bool(entry.get("execution")) + [FILE] * bool(entry.get("file"))
    marks += [PARTIAL] * bool(entry.get("partial")) + [BEFORE_END] * bool(entry.get("before_end"))
    if "at_most" in entry:
        marks.append(AtMost(entry["at_most"]))
    if "names" in entry:
        marks.append(Named(tuple(entry["names"])))
    if "takes" in entry:
        marks.append(Takes(**entry["takes"]))
    bounds = _bounds(entry)
    marks = [*([Field(**bounds)] if bounds else []), *marks]
    members = [_member(entry)] if entry["type"] != "any_of" else [annotation(member) for member in entry["members"]]
    if marks:
        members = [Annotated[(member, *marks)] for member in members]
    if entry.get("nullable"):
        members.append(type(None))
    return union_of(members)


def _member(entry: Mapping[str, Any]) -> Any:
    match entry["type"]:
        case "choice":
            return Literal[tuple(entry["choices"])]
        case "list":
            return list[annotation(entry["item"])]  # type: ignore[misc]
        case "mapping":
            return dict[str, annotation(entry["item"])]  # type: ignore[misc]
        case "object":
            return kind(entry["kind"])
        case plain:
            return _PLAIN[plain]


def _bounds(entry: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: entry[name] for name in ("min_length", "max_length", "pattern") if name in entry}
    if entry.get("min") is not None:
        found["gt" if entry["exclusive_min"] else "ge"] = entry["min"]
    if entry.get("max") is not None:
        found["lt" if entry["exclusive_max"] else "le"] = entry["max"]
    return found
