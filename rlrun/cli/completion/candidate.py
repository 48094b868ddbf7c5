"""One word that could stand where the cursor is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Candidate(NamedTuple):
    """A whole word, with what was typed of it."""

    text: str
    meaning: str = ""
    complete: bool = True  # a space may follow; False: more of the word is to come


def of_paths(found: Iterable[tuple[str, bool]]) -> Iterator[Candidate]:
    """Paths, each with whether the word is complete with it."""
    return (Candidate(text, "", complete) for text, complete in found)
