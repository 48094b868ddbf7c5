"""What a constructor's annotations say of an argument beside type and range: `Annotated[int, ..., EXECUTION]`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


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
