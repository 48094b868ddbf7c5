"""Keys that have no effect beside the others of a config: which they are, why, and a refusal where they are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override

from rlrun.annotations import TARGET
from rlrun.annotations.type_words import shown
from rlrun.config.arguments import keys_set
from rlrun.config.chosen import Chosen
from rlrun.config.config import Config
from rlrun.config.schema import Component
from rlrun.errors import WrongKeyError


@dataclass(frozen=True, slots=True)
class Unused:
    """Why a key has no effect."""

    decided_by: str  # the key that decides it, dotted
    value: Any  # of that one
    values: Sequence[Any]  # with which the key would have an effect, or, where `negated`, would not
    negated: bool

    @property
    def reason(self) -> str:
        """With what it has no effect: `algo.advantage.estimator=n_step`."""
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


def refuse_unused(config: Config, items: Sequence[Override], chosen: Chosen | None = None) -> None:
    """Refuses keys without effect that a person gives: on the command line, or in an experiment of their own.

    What an experiment gives may lose its effect by something stronger: then it is only not used, as defaults and
    presets are.

    Args:
        config: a checked one.
        items: the command line's overrides.
        chosen: the files of the config; None where it comes from none.

    Raises:
        WrongKeyError: naming the key, and what would give it an effect.
    """
    unused = unused_keys(config)
    if not unused:
        return
    typed = {key: str(item.input_line) for item in items for key in keys_set(item)}
    files = chosen.settings if chosen is not None else ()
    set_last = {setting.key: setting.order for setting in files}
    for key, why in unused.items():
        for item in (item for name, item in typed.items() if _concerns(name, key)):
            raise _refused(key, why, f"set on the command line: {item}")
        if any(_concerns(name, why.decided_by) for name in typed):
            continue
        for setting in (each for each in files if _concerns(each.key, key)):
            assert chosen is not None
            if chosen.is_given(setting) and set_last.get(why.decided_by, -1) <= setting.order:
                raise _refused(key, why, f"set in {setting.place}")


def _refused(key: str, why: Unused, where: str) -> WrongKeyError:
    give = "give" if why.negated else "set"
    return WrongKeyError(f"{key} has no effect with {why.reason}: {give} {why.remedy}, or leave it out", key, [where])


def _concerns(name: str, key: str) -> bool:
    return name == key or name.startswith(f"{key}.")
