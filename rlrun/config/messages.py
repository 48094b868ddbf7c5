"""What a person reads about a wrong key: what is wrong, where it was set, and what the nearest keys mean."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from rlrun.annotations import TARGET
from rlrun.annotations.type_words import shown
from rlrun.config import catalogue
from rlrun.config.arguments import is_choice, key_of, keys_set
from rlrun.config.files import GROUPS, merged_option, options
from rlrun.config.keys import Key
from rlrun.config.provenance import Setting
from rlrun.errors import UnknownKeyError, UserError, WrongKeyError, likeness, nearest

_WIDTH = 116
_ALIKE = 0.7  # where another option takes the key, only names that are nearly the same are worth mentioning


def origin(key: str, items: Sequence[Override], found: Sequence[Setting]) -> str | None:
    """Where the value of `key` comes from: an override on the command line, or else a file and line; None if nowhere.

    Args:
        key: dotted.
        items: the command line's overrides.
        found: what files set, the weakest first.
    """
    for item in reversed(items):
        names = [key_of(item)] if is_choice(item) else keys_set(item)
        if not is_choice(item) and any(_is_about(name, key) for name in names):
            return f"the command line: {item.input_line}"
    return next((setting.place for setting in reversed(found) if setting.key == key), None)


def _is_about(name: str, key: str) -> bool:
    return name == key or name.startswith(f"{key}.") or key.startswith((f"{name}[", f"{name}."))


def unknown_key(
    key: str, where: str, keys: Mapping[str, Key], choices: Mapping[str, str | None], directories: Sequence[Path]
) -> UserError:
    """The error for a key that nothing takes.

    Args:
        key: dotted.
        where: it was set.
        keys: those that there are.
        choices: the option of every group.
        directories: where config files are searched.
    """
    parent, _, name = key.rpartition(".")
    targets = [f"{each}.{TARGET}" for each, known in keys.items() if TARGET in known.kind]
    close = nearest(key, [*keys, *targets, *GROUPS, *(group for group in choices if "@" in group)])
    group = key.split(".")[0]
    message = f"unknown key {key}"
    owners = _owners(key, choices.get(group), directories)
    if owners:
        close = [each for each in close if likeness(name, each.rpartition(".")[2]) >= _ALIKE]
        others = ", ".join(owners[:6]) + " ..." * (len(owners) > 6)
        message += f": it belongs to {group}={others}, not to {group}={choices[group]}"
    elif parent in keys and not any(each.startswith(f"{parent}.") for each in keys):
        message += f": {parent} has no keys"
    if close:
        message += f"; nearest: {', '.join(close)}"
    return UnknownKeyError(message, key, [where, *(line for each in close for line in _candidate(each, keys))])


def _owners(key: str, chosen: str | None, directories: Sequence[Path]) -> list[str]:
    """The other options of the key's group that take it."""
    group, _, inside = key.partition(".")
    known = options(directories, group) if inside and group in GROUPS and chosen is not None else []
    return [each for each in known if each != chosen and _takes(directories, group, each, inside.split("."))]


def _takes(directories: Sequence[Path], group: str, option: str, parts: Sequence[str]) -> bool:
    with suppress(UserError, OSError, ValueError):  # a file with an error in it is for its own runs to tell
        inside: Any = merged_option(directories, group, option)
        target = catalogue.target(inside.get(TARGET))
        if len(parts) == 1:
            return parts[0] in (target.parameters if target is not None else inside)
        for part in parts:
            inside = inside[part] if isinstance(inside, Mapping) and part in inside else None
        return inside is not None
    return False


def wrong_value(
    problem: WrongKeyError, items: Sequence[Override], keys: Mapping[str, Key], found: Sequence[Setting]
) -> WrongKeyError:
    """`problem` with where the value was set, what it means, and what it would be otherwise."""
    key = problem.key
    place = origin(key, items, found)
    details = [f"set in {place}".replace("set in the command line", "set on the command line")] if place else []
    known = keys.get(key)
    if known is not None and known.meaning:
        details += _wrapped(f"{key}: {known.meaning.rstrip('.')}{_unit(known)}")
    before = [setting for setting in found if setting.key == key and setting.value]
    if place is None or not place.startswith("the command line"):
        before = before[:-1]
    if before:
        details.append(f"without it: {before[-1].value} ({before[-1].place})")
    if known is not None and TARGET in known.kind and any(each.startswith(f"{key}.") for each in keys):
        details += _wrapped(f"it has keys of its own: {', '.join(each for each in keys if each.startswith(f'{key}.'))}")
        details += list(_replacements(key, known))
    return type(problem)(str(problem), key, [*problem.details, *details])


def _replacements(key: str, known: Key) -> Iterator[str]:
    """How to put another object at `key`."""
    for other in catalogue.alternatives(known.value)[:3] if "." in key else ():
        target = catalogue.target(other)
        arguments = "".join(f", {name}: ..." for name in target.parameters) if target is not None else ""
        yield f"another one: '{key}={{{TARGET}: {other}{arguments}}}'"


def _candidate(name: str, keys: Mapping[str, Key]) -> list[str]:
    known = keys.get(name)
    if known is None:
        return [f"{name}=: a group of config files"] if name in GROUPS or "@" in name else []
    value = "" if known.value is None and known.kind == "a section" else f" = {shown(known.value)}"
    meaning = f": {known.meaning.rstrip('.')}" if known.meaning else ""
    return _wrapped(f"{name}{value} ({known.kind}{_unit(known)}){meaning}")


def _unit(known: Key) -> str:
    return f"; {known.unit}" if known.unit and known.unit not in known.meaning else ""


def _wrapped(text: str) -> list[str]:
    """At most two lines."""
    return textwrap.wrap(text, _WIDTH, subsequent_indent="    ", max_lines=2, placeholder=" ...")
