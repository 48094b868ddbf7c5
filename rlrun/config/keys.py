"""Every key of a composed config: its value, type, unit and meaning, from the constructor that takes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlrun.annotations import TARGET, is_partial, item_of
from rlrun.annotations.type_words import describe
from rlrun.config import catalogue
from rlrun.config.catalogue import SETTINGS
from rlrun.config.config import LOG_VALUES, RUN_VALUES, TOP
from rlrun.config.constructors import import_target
from rlrun.config.docstrings import argument_meanings, paragraphs, sources
from rlrun.config.files import config_directory
from rlrun.config.provenance import Setting, read
from rlrun.config.schema import defaults_of, keys_of
from rlrun.config.units import unit_of
from rlrun.errors import UserError

GROUP_MEANINGS = {
    "algo": "the algorithm",
    "env": "the environment",
    "network": "the network, for algorithms that use one",
    "device": "where it is computed",
    "logger": "where numbers go besides metrics.jsonl",
}
_GROUP_KINDS = {"algo": "Agent", "env": "VecEnv", "network": "Network", "device": "Device", "logger": "Logger"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key that is valid in a config."""

    name: str  # dotted
    value: Any  # the present one; the target for components; None for plain sections
    kind: str  # type and range in words
    unit: str | None
    meaning: str
    target: str | None  # what takes it


@dataclass(frozen=True, slots=True)
class About:
    """What a target is, in words."""

    summary: str
    sources: tuple[str, ...]


def valid_keys(raw: Mapping[str, Any], about_key: str | None = None) -> dict[str, Key]:
    """The keys that the constructors named in `raw` take, by dotted name, whatever keys `raw` has.

    Args:
        raw: a composed config.
        about_key: constructors that are not ours are only imported for the group of this key; None: for all. Of the
            others' keys, names and values are known.
    """
    wanted = None if about_key is None else about_key.split(".")[0]
    found = {}
    for name, annotation in TOP.items():
        meaning = _root_comments().get(name, "")
        kind = describe(annotation)
        unit = unit_of(name) if "number" in kind else None
        found[name] = Key(name, raw.get(name), kind, unit, meaning, None)
    for name, target in SETTINGS.items():
        known = catalogue.target(target)
        assert known is not None
        found[name] = Key(name, None, "a section", None, known.summary, None)
        inside = raw.get(name)
        found |= _inside(name, {**(inside if isinstance(inside, Mapping) else {}), TARGET: target})
    for name, meaning in GROUP_MEANINGS.items():
        value = raw.get(name)
        if isinstance(value, Mapping):
            kind = f"an object ({TARGET}) of the kind {_GROUP_KINDS[name]}"
            found[name] = Key(name, value.get(TARGET), kind, None, meaning, None)
            found |= _inside(name, value, may_import=wanted in (None, name))
    return found


def with_comments(keys: Mapping[str, Key], found: Sequence[Setting]) -> dict[str, Key]:
    """The keys; what a docstring does not explain means what the comment in the file says that set it."""
    comments = {setting.key: setting.comment for setting in found}
    return {name: key if key.meaning else replace(key, meaning=comments.get(name, "")) for name, key in keys.items()}


def about(target: str) -> About:
    """What the docstring of a target says of it as a whole.

    Raises:
        UserError: if there is no such target.
    """
    known = catalogue.target(target)
    if known is not None:
        return About(known.summary, tuple(text for text in known.sources if text != known.summary))
    call = import_target(target, "")
    return About("; ".join(paragraphs(call)[:1]), tuple(sources(call)))


def _root_comments() -> dict[str, str]:
    return {setting.key: setting.comment for setting in read(config_directory() / "config.yaml", "")}


def _inside(path: str, value: Mapping[str, Any], *, may_import: bool = True, partial: bool = False) -> dict[str, Key]:
    found: dict[str, Key] = {}
    target = value.get(TARGET)
    if catalogue.target(target) is None and not may_import:
        names = [name for name in value if name != TARGET]
        return {f"{path}.{name}": Key(f"{path}.{name}", value[name], "a value", None, "", None) for name in names}
    with suppress(UserError):  # a wrong target is somebody else's to report
        annotations = keys_of(target, path, RUN_VALUES | LOG_VALUES, partial=partial)
        meanings = _meanings(str(target), annotations)
        defaults = defaults_of(target, path, RUN_VALUES | LOG_VALUES, partial=partial)
        for name, annotation in annotations.items():
            key, inside = f"{path}.{name}", value.get(name, _in_words(defaults.get(name)))
            component = inside if isinstance(inside, Mapping) and TARGET in inside else None
            shown = component[TARGET] if component is not None else inside
            found[key] = Key(key, shown, describe(annotation), _unit(str(target), name), meanings[name], str(target))
            if component is not None:
                found |= _inside(key, component, may_import=may_import)
            elif is_partial(item_of(annotation)) and isinstance(inside, list):
                found |= _listed(key, inside, describe(item_of(annotation)), may_import=may_import)
    return found


def _listed(path: str, items: Sequence[Any], kind: str, *, may_import: bool) -> dict[str, Key]:
    """The keys of objects in a list, `path[0].name`."""
    found: dict[str, Key] = {}
    for place, item in enumerate(items):
        key, component = f"{path}[{place}]", item if isinstance(item, Mapping) else {TARGET: item}
        found[key] = Key(key, component.get(TARGET), kind, None, "", None)
        found |= _inside(key, component, may_import=may_import, partial=True)
    return found


def _in_words(default: Any) -> Any:
    """A constructor's default; of an object, which YAML could not say, its type."""
    plain = default is None or isinstance(default, bool | int | float | str | Path | list | tuple | Mapping)
    return default if plain else f"an object of type {type(default).__name__}"


def _meanings(target: str, annotations: Mapping[str, Any]) -> dict[str, str]:
    known = catalogue.target(target)
    if known is not None:
        return {name: known.parameters[name].meaning for name in annotations}
    documented = argument_meanings(import_target(target, ""))
    return {name: documented.get(name, "") for name in annotations}


def _unit(target: str, name: str) -> str | None:
    known = catalogue.target(target)
    return known.parameters[name].entry["unit"] if known is not None else unit_of(name)


def leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key of a nested mapping, mappings themselves included."""
    for name, inside in value.items():
        key = f"{prefix}{name}"
        yield key, inside
        if isinstance(inside, Mapping):
            yield from leaves(inside, f"{key}.")
