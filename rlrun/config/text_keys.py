"""Numbers and truth values where a key takes text, as `name=2026` and `name=1e5`: meant as they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from yaml import YAMLError

from rlrun.annotations import TARGET, UNKNOWN, members_of
from rlrun.config.config import LOG_VALUES, RUN_VALUES, TOP
from rlrun.config.files import GROUPS, merged_option
from rlrun.config.schema import keys_of
from rlrun.errors import UserError

_PLAIN = re.compile(r"[\w.+-]+")  # without quotes, brackets or calls
_NO_TEXT = re.compile(r"[-+.\d].*|true|false|inf|nan", re.IGNORECASE)  # may be read as something else than text


def as_written(overrides: Sequence[str], directories: Sequence[Path]) -> list[str]:
    """The overrides, with quotes around what Hydra would not read as text where the key takes nothing else.

    Args:
        overrides: as on the command line.
        directories: where config files are searched.
    """
    return [
        _quoted(item) if _is_misread(item) and _takes_text(item, overrides, directories) else item for item in overrides
    ]


def _is_misread(override: str) -> bool:
    value = override.partition("=")[2]
    pieces = value.split(",")
    return all(map(_PLAIN.fullmatch, pieces)) and any(map(_NO_TEXT.fullmatch, pieces))


def _quoted(override: str) -> str:
    key, _, value = override.partition("=")
    return f"{key}=" + ",".join(_as_text(piece) for piece in value.split(","))


def _as_text(piece: str) -> str:
    with suppress(HydraException):
        (item,) = OverridesParser.create().parse_overrides([f"key={piece}"])
        if isinstance(item.value(), bool | int | float):
            return f"'{piece}'"
    return piece


def _takes_text(override: str, overrides: Sequence[str], directories: Sequence[Path]) -> bool:
    """Whether the key of an override takes text and nothing else, whichever option of its group is chosen."""
    key = override.lstrip("+").partition("=")[0]
    if key in TOP:
        return _is_text(TOP[key])
    group, _, name = key.partition(".")
    if group not in GROUPS or not name or any(item.startswith(f"{group}.{TARGET}=") for item in overrides):
        return False
    chosen = [item.partition("=")[2] for item in overrides if item.startswith(f"{group}=")]
    found: list[Any] = []
    with suppress(UserError, YAMLError, OSError, ValueError):  # for the run to tell
        for option in (option for several in chosen for option in several.split(",")):
            content = merged_option(directories, group, option)
            found.append(keys_of(content.get(TARGET), group, RUN_VALUES | LOG_VALUES).get(name, UNKNOWN))
        return bool(found) and all(map(_is_text, found))
    return False


def _is_text(annotation: Any) -> bool:
    return all(member in (str, Path) for member in _types(annotation))


def _types(annotation: Any) -> Iterable[Any]:
    """The bare types of a union without null."""
    members = [get_args(member)[0] if get_origin(member) is Annotated else member for member in members_of(annotation)]
    return [member for member in members if member is not type(None)]
