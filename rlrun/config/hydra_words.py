"""Words of the command line as Hydra can take them, and those of them that choose files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep

from rlrun.config.files import GROUPS
from rlrun.errors import UserError

OPTIONS_OF = (*GROUPS, "optimizer")  # groups, wherever their options are put
NO_SPACES = "settings look like key=value, without spaces around the ="
_NULL_ANYWAY = ("experiment", "debug")
_NO_KEYS = ("preset", "experiment", "debug")  # groups whose options say something of everything
_NO_NAME = re.compile(r"true|false|nan|inf|[-+]?\.?\d[\w.+-]*", re.IGNORECASE)  # what Hydra does not read as text


def for_hydra(overrides: Sequence[str]) -> list[str]:
    """The overrides as Hydra can take them: it does not know `group=null`.

    `preset=null` becomes a quoted name, which is optional and not there; the groups that are null anyway are left out.
    `debug=true` is quoted too, so that it is an option that is not there.

    Raises:
        UserError: if a group is null that cannot be, or a word has no key.
    """
    translated = []
    for item in overrides:
        group, _, value = item.partition("=")
        names = ["null" if name.lower() == "null" else name for name in value.split(",")]  # as Hydra reads it
        if not group:
            raise UserError(f"cannot read '{item}': {NO_SPACES}")
        if group.lstrip("+").partition("@")[0] in OPTIONS_OF:
            _refuse_no_names(item)
        if group.lstrip("+").partition("@")[0] in OPTIONS_OF and any(_NO_NAME.fullmatch(name) for name in names):
            names = [f"'{name}'" if _NO_NAME.fullmatch(name) else name for name in names]
            item = f"{group}={','.join(names)}"
        is_group = group.lstrip("+") in OPTIONS_OF or "@" in group or "/" in group
        if is_group and group not in GROUPS and "null" in names:
            raise UserError(f"{item} cannot be: an option is chosen by name here")
        if group not in GROUPS or "null" not in names:
            translated.append(item)
        elif group == "preset":
            translated.append("preset=" + ",".join("'null'" if name == "null" else name for name in names))
        elif group in _NULL_ANYWAY and len(names) > 1:  # with and without: no files are a choice, too
            translated.append(f"{group}=" + ",".join("[]" if name == "null" else name for name in names))
        elif group not in _NULL_ANYWAY:
            raise UserError(f"{item} cannot be: {group} must be chosen by name here")
    return translated


def _refuse_no_names(word: str) -> None:
    """Refuses what Hydra takes for options of a group, and then fails on, since they are no names."""
    group, _, value = word.partition("=")
    if not {"[", "{"} & set(value):
        return  # the usual case: nothing needs to be read
    (item,) = OverridesParser.create().parse_overrides([word])
    given: Any = None if item.is_delete() else item.value()
    for choice in given.list if isinstance(given, ChoiceSweep) else [given]:
        listed = isinstance(choice, list) and not all(isinstance(name, str) for name in choice)
        if listed or (isinstance(choice, dict) and group.lstrip("+") in _NO_KEYS):
            raise UserError(f"{word} cannot be: an option is chosen by name here")


def choosing(overrides: Sequence[str]) -> list[str]:
    """The overrides that choose files, as Hydra takes them; single values cannot change which files there are.

    Raises:
        UserError: if a group is null that cannot be, or a word has no key.
    """
    return for_hydra([item for item in overrides if "." not in override_key(item) and "{" not in item])


def override_key(override: str) -> str:
    """The key of an override, without `+`, `~` and package."""
    return override.lstrip("+~").split("=", 1)[0].partition("@")[0]
