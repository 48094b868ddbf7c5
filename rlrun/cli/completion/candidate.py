"""One argument that could stand where the cursor is."""

from __future__ import annotations

from typing import NamedTuple


class Candidate(NamedTuple):
    """A whole argument, with what was typed of it."""

    text: str
    meaning: str = ""
    complete: bool = True  # a space may follow; False: more of it is to come
