"""Bash's side of it: the words of a line, and the piece of a word that bash wants back.

Bash cuts words at `=`, `:`, `@` and whatever else `COMP_WORDBREAKS` has, and replaces only what stands after the last
cut. Its own list of words is of no use, then: the line is read here, and every answer is cut where bash would.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

from rlrun.cli.completion.candidate import Candidate

_SPECIAL = re.compile(r"([^\w./=,:@%+-])")  # what bash would not take as it is; letters of any language are fine


class Line(NamedTuple):
    """A command line up to the cursor."""

    words: list[str]  # after the command, as a program would get them; the last one is being typed
    kept: str  # the start of the last word that bash does not want back, as a program would get it
    quote: str  # the quote that is open: ', " or none


def read_line(line: str, breaks: str) -> Line:
    """Reads a line.

    Args:
        line: of one command, up to the cursor.
        breaks: bash's `COMP_WORDBREAKS`.
    """
    for quote in ("", "'", '"'):
        words = _split(line + quote)
        if words is not None:
            break
    else:  # it ends in a backslash
        return Line([""], "", "")
    if quote:
        start = next(line[:end] for end in range(len(line), -1, -1) if _split(line[:end]) is not None)
        kept = (_split(start) or [""])[-1] if start.strip() == start else ""
    else:
        words += [""] * (not line or line[-1].isspace())
        kept = words[-1][: max((words[-1].rfind(each) for each in "".join(breaks.split())), default=-1) + 1]
    return Line(_after_command(words), kept, quote)


def _split(text: str) -> list[str] | None:
    """The words of complete text; None where a quote is open."""
    try:
        return shlex.split(text)
    except ValueError:
        return None


def replies(found: Sequence[Candidate], line: Line) -> list[str]:
    """What bash is to put there. A space ends the word where there is one answer, and the word is complete with it."""
    texts = []
    for candidate in found:
        text = candidate.text.removeprefix(line.kept)
        ended = len(found) == 1 and candidate.complete and not line.quote
        texts.append(_quoted(text, line.quote) + (" " if ended else ""))
    return texts


def _quoted(text: str, quote: str) -> str:
    if quote == "'":
        return text.replace("'", "'\\''")
    if quote:
        return re.sub(r'(["\\$`])', r"\\\1", text)
    home = "~/" if text.startswith("~/") else ""
    return home + _SPECIAL.sub(r"\\\1", text.removeprefix(home))


def _after_command(words: Sequence[str]) -> list[str]:
    """Without what may stand before: the command itself, and variables that are set for it."""
    for index, word in enumerate(words[:-1]):
        if "=" not in PurePath(word).name:
            return list(words[index + 1 :])
    return list(words[-1:])
