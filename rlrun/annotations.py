"""What a constructor's annotations say of an argument beside type and range: `Annotated[int, ..., EXECUTION]`."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Meaning(Enum):
    """A fact about a configured value."""

    FILE = "may be the path of a file, whose content is what defines an experiment"
    EXECUTION = "changes how fast results come, not which: no part of what defines an experiment"


EXECUTION: Final = Meaning.EXECUTION
FILE: Final = Meaning.FILE
