"""What a person reads about a wrong key: what is wrong, what the nearest keys are, and where it was set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hydra.core.override_parser.types import Override

from rlrun.annotations import TARGET
from rlrun.config.arguments import is_choice, keys_set
from rlrun.config.files import GROUPS
from rlrun.config.keys import Key
from rlrun.config.provenance import Setting
from rlrun.errors import UnknownKeyError, UserError, WrongKeyError, nearest


def origin(key: str, items: Sequence[Override], found: Sequence[Setting]) -> str | None:
    """Where the value of `key` comes from: an override on the command line, or else a file and line; None if nowhere.

    Args:
        key: dotted.
        items: the command line's overrides.
        found: what files set, the weakest first.
    """
    for item in reversed(items):
        if not is_choice(item) and any(_is_about(name, key) for name in keys_set(item)):
            return f"the command line: {item.input_line}"
    return next((setting.place for setting in reversed(found) if setting.key == key), None)


def _is_about(name: str, key: str) -> bool:
    return name == key or name.startswith(f"{key}.") or key.startswith((f"{name}[", f"{name}."))


def unknown_key(key: str, place: str, keys: Mapping[str, Key], choices: Mapping[str, str | None]) -> UserError:
    """The error for a key that nothing takes.

    Args:
        key: dotted.
        place: where it was set.
        keys: those that there are.
        choices: the option of every group.
    """
    targets = [f"{each}.{TARGET}" for each, known in keys.items() if TARGET in known.kind]
    close = nearest(key, [*keys, *targets, *GROUPS, *(group for group in choices if "@" in group)])
    group, parent = key.partition(".")[0], key.rpartition(".")[0]
    if parent in keys and not any(each.startswith(f"{parent}.") for each in keys):
        close = [parent]  # which takes a plain value
    chosen = [f"with {group}={choices[group]}"] if group in GROUPS and choices.get(group) is not None else []
    return UnknownKeyError(f"unknown key {key}; nearest: {', '.join(close)}", key, [_set(place), *chosen])


def wrong_value(problem: WrongKeyError, items: Sequence[Override], found: Sequence[Setting]) -> WrongKeyError:
    """`problem` with where the value was set."""
    place = origin(problem.key, items, found)
    return type(problem)(str(problem), problem.key, [*problem.details, *([_set(place)] if place else [])])


def _set(place: str) -> str:
    return f"set {'on' if place.startswith('the command line') else 'in'} {place}"
