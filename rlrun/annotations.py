"""What a constructor's annotations say of an argument: in words, and beside type and range as `Annotated`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

WORDS: Mapping[type, str] = {  # what messages call the types that YAML has
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    type(None): "null",
}


class Meaning(Enum):
    """A fact about a configured value."""

    FILE = "may be the path of a file, whose content is what defines an experiment"
    EXECUTION = "changes how fast results come, not which: no part of what defines an experiment"


EXECUTION: Final = Meaning.EXECUTION
FILE: Final = Meaning.FILE


@dataclass(frozen=True, slots=True)
class AtMost:
    """The value may not be larger than that of another argument of the same constructor."""

    parameter: str
