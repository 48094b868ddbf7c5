"""Every key of one run, explained: made from constructors, their docstrings and the comments in YAML files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlrun.annotations import TARGET
from rlrun.config import catalogue
from rlrun.config.compose import Request, checked, composed, request
from rlrun.config.constructors import import_target
from rlrun.config.docstrings import paragraphs, sources
from rlrun.config.keys import GROUP_MEANINGS, Key, valid_keys
from rlrun.config.messages import origin
from rlrun.config.unused_keys import Unused, unused_keys
from rlrun.errors import UnknownKeyError, nearest

_DEFAULT = "the default of"


@dataclass(frozen=True, slots=True)
class Row:
    """One key."""

    key: Key
    place: str  # where the value comes from
    note: str  # the comment there: unit, source, remarks; first of all, whether the key is not used, and why


@dataclass(frozen=True, slots=True)
class About:
    """What a target is, in words."""

    summary: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The keys that were asked for, and what their components are."""

    rows: Sequence[Row]
    components: Sequence[tuple[str, str, About]]  # (key, target, what it is), outermost first


def explanation(overrides: Sequence[str], directories: Sequence[Path], prefixes: Sequence[str] = ()) -> Explanation:
    """What there is to know of the config of a run.

    Args:
        overrides: as on the command line.
        directories: where config files are searched.
        prefixes: dotted keys; only they and what is below them. Empty: everything.

    Raises:
        UserError: if the config is not valid, or has no such key.
    """
    asked = request(overrides, directories)
    config = checked(asked, composed(asked))
    raw: dict[str, Any] = config.as_plain() | {"fresh": config.fresh}
    keys = valid_keys(raw)
    for prefix in prefixes:
        if prefix not in keys:
            raise UnknownKeyError(f"no key {prefix} here; nearest: {', '.join(nearest(prefix, keys))}", prefix)
    comments = {setting.key: setting.comment for setting in reversed(asked.chosen.settings)}  # of the weakest file
    wanted = [
        key if key.meaning else replace(key, meaning=comments.get(name, ""))
        for name, key in keys.items()
        if not prefixes or any(_below(name, prefix) for prefix in prefixes)
    ]
    unused = unused_keys(config)
    rows = [_marked(_row(key, asked), unused) for key in wanted]
    components = [
        (row.key.name, str(row.key.value), about(str(row.key.value)))
        for row in rows
        if _is_component(row.key) and isinstance(row.key.value, str) and not row.place.startswith(_DEFAULT)
    ]
    return Explanation(rows, components)


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


def _below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith((f"{prefix}.", f"{prefix}["))


def _is_component(key: Key) -> bool:
    return key.name in GROUP_MEANINGS or TARGET in key.kind


def _row(key: Key, asked: Request) -> Row:
    found = asked.chosen.settings
    place = origin(key.name, asked.items, found)
    target = f"{key.name}.{TARGET}" if _is_component(key) else key.name
    own = [setting for setting in found if setting.key == target]
    if target != key.name and own and not (place or "").startswith("the command line"):
        place = own[-1].place
    comment = own[-1].comment if own and own[-1].place == place else ""
    return Row(key, place or (f"{_DEFAULT} {key.target}" if key.target is not None else ""), _without(comment, key))


def _marked(row: Row, unused: Mapping[str, Unused]) -> Row:
    """The row, with why it is not used, where it is not."""
    for name, why in unused.items():
        if _below(row.key.name, name):
            note = f"NOT USED with {why.reason}, only with {why.remedy}"
            return replace(row, note=f"{note}; {row.note}" if row.note else note)
    return row


def _without(comment: str, key: Key) -> str:
    """The comment without what the other columns say already."""
    parts = [part.strip() for part in comment.split(";")]
    if parts[0] in (key.meaning.rstrip("."), key.unit):
        parts = parts[1:]
    left = "; ".join(parts)
    return "" if left in key.meaning else left
