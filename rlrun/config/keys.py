"""Every key of a config: its value, type, unit and meaning, from the constructor that takes it; wrong keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from pydantic import JsonValue

from rlrun.annotations import TARGET, UNKNOWN, is_data, is_partial, item_of, members_of
from rlrun.annotations.type_words import describe
from rlrun.config import catalogue
from rlrun.config.catalogue import LOG_VALUES, RUN_VALUES, SETTINGS
from rlrun.config.config import LOGGERS, TOP
from rlrun.config.constructors import import_target
from rlrun.config.docstrings import argument_meanings
from rlrun.config.schema import signature_of
from rlrun.config.units import unit_of
from rlrun.errors import UserError

GROUP_MEANINGS = {
    "algo": "the algorithm",
    "env": "the environment",
    "device": "where it is computed",
}
_GROUP_KINDS = {"algo": "Agent", "env": "VecEnv", "device": "Device"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key that is valid in a config."""

    name: str  # dotted
    value: Any  # the present one; the target for components; None for plain sections
    kind: str  # type and range in words
    annotation: Any  # the same as Python has it
    unit: str | None
    meaning: str
    target: str | None  # what takes it


def valid_keys(raw: Mapping[str, Any], *, imports: bool = True) -> dict[str, Key]:
    """The keys that the constructors named in `raw` take, by dotted name, whatever keys `raw` has.

    Args:
        raw: a config, or as much of it as files say (`as_tree`).
        imports: whether constructors that are not ours are read too, which may import torch.
    """
    found = {}
    for name, annotation in TOP.items():
        kind = describe(annotation)
        unit = unit_of(name) if "number" in kind or "integer" in kind else None
        found[name] = Key(name, raw.get(name), kind, annotation, unit, "", None)  # config.yaml says what it means
    for name, target in SETTINGS.items():
        known = catalogue.target(target)
        assert known is not None
        found[name] = Key(name, None, "a section", None, None, known.summary, None)
        inside = raw.get(name)
        found |= _inside(name, {**(inside if isinstance(inside, Mapping) else {}), TARGET: target})
    for name, meaning in GROUP_MEANINGS.items():
        value = raw.get(name)
        if isinstance(value, Mapping):
            found |= _object(name, value, _GROUP_KINDS[name], meaning, imports=imports)
    found[LOGGERS] = Key(LOGGERS, None, "a section", None, None, "where numbers go besides metrics.jsonl", None)
    loggers = raw.get(LOGGERS)
    for name, value in loggers.items() if isinstance(loggers, Mapping) else ():
        if isinstance(value, Mapping):
            found |= _object(f"{LOGGERS}.{name}", value, "Logger", "one of the loggers of the run", imports=imports)
    return found


def _inside(path: str, value: Mapping[str, Any], *, partial: bool = False, imports: bool = True) -> dict[str, Key]:
    found: dict[str, Key] = {}
    target = value.get(TARGET)
    if not imports and catalogue.target(target) is None:
        return {}
    with suppress(UserError):  # a wrong target is somebody else's to report
        takes = signature_of(target, path, RUN_VALUES | LOG_VALUES, partial=partial)
        known = catalogue.target(target)
        documented = argument_meanings(import_target(target, "")) if known is None else {}
        for name, annotation in takes.keys.items():
            key, inside = f"{path}.{name}", value.get(name, _in_words(takes.defaults.get(name)))
            meaning = known.parameters[name].meaning if known is not None else documented.get(name, "")
            unit = known.parameters[name].entry["unit"] if known is not None else unit_of(name)
            component = inside if isinstance(inside, Mapping) and TARGET in inside else None
            shown = component[TARGET] if component is not None else inside
            found[key] = Key(key, shown, describe(annotation), annotation, unit, meaning, str(target))
            if component is not None:
                found |= _inside(key, component, imports=imports)
            elif is_partial(item_of(annotation)) and isinstance(inside, list):
                found |= _listed(key, inside, describe(item_of(annotation)))
    return found


def _object(path: str, value: Mapping[str, Any], kind: str, meaning: str, *, imports: bool) -> dict[str, Key]:
    """The key of an object that a group of files chooses, and those inside it."""
    itself = Key(path, value.get(TARGET), f"an object ({TARGET}) of the kind {kind}", None, None, meaning, None)
    return {path: itself} | _inside(path, value, imports=imports)


def _listed(path: str, items: Sequence[Any], kind: str) -> dict[str, Key]:
    """The keys of objects in a list, `path[0].name`."""
    found: dict[str, Key] = {}
    for place, item in enumerate(items):
        key, component = f"{path}[{place}]", item if isinstance(item, Mapping) else {TARGET: item}
        found[key] = Key(key, component.get(TARGET), kind, None, None, "", None)
        found |= _inside(key, component, partial=True)
    return found


def _in_words(default: Any) -> Any:
    """A constructor's default; of an object, which YAML could not say, its type."""
    plain = default is None or isinstance(default, bool | int | float | str | Path | list | tuple | Mapping)
    return default if plain else f"an object of type {type(default).__name__}"


def as_tree(settings: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """What is set by dotted keys, the last one winning, nested; an object takes the place of what was there."""
    tree: dict[str, Any] = {}
    for key, value in settings:
        *parents, name = key.split(".")
        node = tree
        for parent in parents:
            if not isinstance(node.get(parent), dict):
                node[parent] = {}
            node = node[parent]
        if isinstance(value, Mapping):
            inside = {} if TARGET in value or not isinstance(node.get(name), dict) else node[name]
            node[name] = {**inside, **value}
        else:
            node[name] = value
    return tree


def is_wrong(key: str, keys: Mapping[str, Key]) -> bool:
    """Whether nothing takes a dotted key. What is inside plain mappings is for their constructors to judge."""
    parents = {name.rpartition(".")[0] for name in keys}
    parts = key.split(".")
    for depth, part in enumerate(parts):
        name, parent = ".".join(parts[: depth + 1]), ".".join(parts[:depth])
        if part == TARGET and parent in keys:
            return depth + 1 < len(parts) or parent in SETTINGS
        if name not in keys:
            return parent in parents or not _may_hold_keys(keys[parent].annotation)
    return False


def _may_hold_keys(annotation: Any) -> bool:
    """Whether the value may be a mapping: a plain one, or an object, whose constructor could not be read here."""
    members = members_of(annotation)
    return any(
        not is_data(member) or member is JsonValue or get_origin(member) is dict or member in (None, UNKNOWN)
        for member in members
    )
