"""The overrides of a command, `key=value`, read once by Hydra's public parser; of a sweep, those of each run."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException

from rlrun.config.files import GROUPS, options
from rlrun.errors import UserError

_PLAIN = re.compile(r"[\w.+-]+")  # without quotes, brackets or calls
_MOST_RUNS = 100_000  # all are checked before the first begins


def parse(overrides: Iterable[str]) -> list[Override]:
    """Each override, read.

    Raises:
        UserError: if one of them cannot be read.
    """
    return [_parsed(str(each)) for each in overrides]


@lru_cache(maxsize=4096)  # the runs of a sweep share most of them
def _parsed(text: str) -> Override:
    key, equals, value = text.partition("=")
    if not key or (not equals and not text.startswith("~")):
        raise UserError(f"cannot read '{text}': overrides look like key=value, without spaces around the =")
    try:
        (item,) = OverridesParser.create().parse_overrides([text])
    except (HydraException, ValueError) as error:
        raise UserError(
            f"cannot read '{text}': a list is {key}=[a,b], several runs are {key}=a,b with -m, and a string with "
            f"special characters is quoted twice: \"{key}='{value.strip(' =') or '...'}'\""
        ) from error
    return item


def key_of(item: Override) -> str:
    """What an override is about: a dotted key, or a group, with its package where one is given."""
    return str(item.key_or_group) + (f"@{item.package}" if item.package is not None else "")


def is_choice(item: Override) -> bool:
    """Whether it chooses an option of a group."""
    group = str(item.key_or_group)
    is_group = group in GROUPS or group == "network" or item.package is not None or "/" in group
    return is_group and not (item.value_type is not None and isinstance(item.value(), dict))


def is_hydras(item: Override) -> bool:
    """Whether it is about Hydra itself."""
    return str(item.key_or_group).replace("/", ".").split(".")[0] == "hydra"


def given_text(item: Override) -> str:
    """The value as it was typed."""
    return str(item.input_line).partition("=")[2]


def keys_set(item: Override) -> list[str]:
    """The dotted keys that an override sets: several for `key={name: value}`; none for a deletion."""
    if item.is_delete():
        return []
    key = str(item.package) if item.package is not None else str(item.key_or_group)
    return list(_inside(key, None if item.is_sweep_override() else item.value()))


def _inside(key: str, value: Any) -> Iterator[str]:
    if not isinstance(value, dict) or not value:
        yield key
        return
    for name, inner in value.items():
        yield from _inside(f"{key}.{name}", inner)


def refuse_repeated(items: Sequence[Override]) -> None:
    """Refuses two overrides that give one key different values: Hydra would let the last one win silently.

    Raises:
        UserError: naming both.
    """
    seen: dict[str, str] = {}
    for item in items:
        for key in [key_of(item)] if is_choice(item) else keys_set(item):
            text = str(item.input_line)
            if seen.setdefault(key, text) != text:
                raise UserError(f"{key} is given twice, as {seen[key]} and as {text}: leave one out")


def changed(overrides: Iterable[str], *changes: str) -> list[str]:
    """The overrides of one run, with `changes` in place of those for the same keys."""
    by_key = {each.lstrip("+").partition("=")[0]: each for each in (*overrides, *changes)}
    return list(by_key.values())


def refuse_several(items: Sequence[Override]) -> None:
    """Refuses the values of a sweep where one run is asked for.

    Raises:
        UserError: naming the override.
    """
    for item in items:
        if item.is_sweep_override():
            raise UserError(
                f"{item.input_line} gives several values: add -m on the command line to run each of them, in Python "
                "run them in a loop, or write a list as [a,b]"
            )


def expanded(items: Sequence[Override], directories: Sequence[Path]) -> Iterator[list[str]]:
    """The overrides of every run of a sweep, the last key the fastest.

    Raises:
        UserError: if a key has no values, none that can be counted, or too many.
    """
    values = [_values(item, directories) for item in items]
    number = 1
    for item, several in zip(items, values, strict=True):
        number *= len(several)
        if number > _MOST_RUNS:
            raise UserError(f"{item.input_line} makes a sweep of more than {_MOST_RUNS:,} runs: give fewer values")
    yield from map(list, itertools.product(*values))


def _values(item: Override, directories: Sequence[Path]) -> list[str]:
    if not item.is_sweep_override():
        return [str(item.input_line)]
    if not item.is_discrete_sweep():
        raise UserError(f"{item.input_line} has no first value: give them one by one, as {item.key_or_group}=1,2")
    pieces = given_text(item).split(",")
    if len(pieces) > 1 and all(map(_PLAIN.fullmatch, pieces)):  # as they were typed: 1e5 may be a name
        return [f"{item.get_key_element()}={piece}" for piece in pieces]
    globbed: object = item.value()  # Hydra's annotation leaves globs out
    if isinstance(globbed, Glob):  # Hydra would look only into some of the directories
        found = globbed.filter(options(directories, str(item.key_or_group)))
    else:
        found = list(itertools.islice(item.sweep_string_iterator(), _MOST_RUNS + 1))
    if not found:
        raise UserError(f"{item.input_line} is no value at all, so nothing would be run")
    return [f"{item.get_key_element()}={value}" for value in found]
