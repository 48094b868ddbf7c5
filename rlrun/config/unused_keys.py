"""Keys that have no effect beside the others of a config: which they are, why, and a refusal where they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from rlrun.annotations import TARGET
from rlrun.annotations.type_words import shown
from rlrun.config.chosen_files import ChosenFiles
from rlrun.config.config import Config
from rlrun.config.hydra_settings import set_by
from rlrun.config.provenance import read
from rlrun.config.schema import Component
from rlrun.errors import WrongKeyError

_GIVEN_BY = ("experiment", "debug")  # groups whose files give keys; those of all others have defaults


@dataclass(frozen=True, slots=True)
class Unused:
    """Why a key has no effect."""

    decided_by: str  # the key that decides it, dotted
    value: Any  # of that one
    values: Sequence[Any]  # with which the key would have an effect, or, where `negated`, would not
    negated: bool

    @property
    def reason(self) -> str:
        """With what it has no effect: `algo.advantage=n_step`."""
        return f"{self.decided_by}={shown(self.value)}"

    @property
    def remedy(self) -> str:
        """What would give it one."""
        if self.negated:
            return f"another value of {self.decided_by}"
        *others, last = (shown(value) for value in self.values)
        return f"{self.decided_by}={', '.join(others)} or {last}" if others else f"{self.decided_by}={last}"


def unused_keys(config: Config) -> dict[str, Unused]:
    """The keys of a config that have no effect, by dotted name."""
    found = {}
    for path, component in config.components():
        for name, condition in component.unused.items():
            decided_by, value = f"{path}.{condition.parameter}", component.arguments[condition.parameter]
            if isinstance(value, Component):
                decided_by, value = f"{decided_by}.{TARGET}", value.target
            found[f"{path}.{name}"] = Unused(decided_by, value, condition.values, condition.negated)
    return found


def refuse_unused(
    config: Config, overrides: Sequence[str], chosen: ChosenFiles | None = None, directories: Sequence[Path] = ()
) -> None:
    """Refuses keys without effect that a person gives: on the command line, or in an experiment of their own.

    What an experiment gives may lose its effect by something stronger: then it is only not used, as defaults and
    presets are.

    Args:
        config: a checked one.
        overrides: what the command line asked for.
        chosen: the files of the config; None where it comes from none.
        directories: where config files are searched; the last one is rlrun's own.

    Raises:
        WrongKeyError: naming the key, and what would give it an effect.
    """
    unused = unused_keys(config)
    if not unused:
        return
    typed = {key: item for item in overrides for key in _keys(item)}
    set_last, given = _set_by_files(chosen, directories) if chosen is not None else ({}, {})
    for key, why in unused.items():
        for item in (item for name, item in typed.items() if _concerns(name, key)):
            raise _refused(key, why, f"set on the command line: {item}")
        if any(_concerns(name, why.decided_by) for name in typed):
            continue
        for order, place in (found for name, found in given.items() if _concerns(name, key)):
            if set_last.get(why.decided_by, -1) <= order:
                raise _refused(key, why, f"set in {place}")


def _refused(key: str, why: Unused, where: str) -> WrongKeyError:
    give = "give" if why.negated else "set"
    return WrongKeyError(f"{key} has no effect with {why.reason}: {give} {why.remedy}, or leave it out", key, [where])


def _concerns(name: str, key: str) -> bool:
    return name == key or name.startswith(f"{key}.")


def _keys(override: str) -> list[str]:
    """The dotted keys that an override sets; `group@key=option` sets `key`."""
    if override.startswith("~"):
        return []
    if "{" in override:
        return [key for item in OverridesParser.create().parse_overrides([override]) for key in set_by(item)]
    name = override.lstrip("+").partition("=")[0]
    return [name.partition("@")[2] or name]


def _set_by_files(
    chosen: ChosenFiles, directories: Sequence[Path]
) -> tuple[Mapping[str, int], Mapping[str, tuple[int, str]]]:
    """By key, which of the chosen files sets it last, and, of a person's own experiments, which and where in it."""
    files = [(entry.group, entry.file(directories), entry.package) for entry in chosen.entries if entry.exists]
    own = [path for group, path, _ in files if group in _GIVEN_BY and path and not path.is_relative_to(directories[-1])]
    if not own:
        return {}, {}  # the usual case: nothing needs to be read
    set_last: dict[str, int] = {}
    given: dict[str, tuple[int, str]] = {}
    for order, (_, path, package) in enumerate(files):
        for setting in read(path, package) if path is not None else []:
            set_last[setting.key] = order
            if path in own:
                given[setting.key] = (order, setting.place)
    return set_last, given
