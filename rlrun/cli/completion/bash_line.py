"""Bash's side of it: the words of a line, and the piece of a word that bash wants back.

Bash cuts words at `=`, `:`, `@` and whatever else `COMP_WORDBREAKS` has, and replaces only what stands after the last
cut. Its own list of words is of no use, then: the line is read here, and every answer is cut where bash would.
"""

from __future__ import annotations

import re
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
    words: list[str] = []
    word, cut, quote, begun = "", 0, "", False
    position = 0
    while position < len(line):
        letter = line[position]
        position += 1
        if quote:
            if letter == quote:
                quote = ""
            elif letter == "\\" and quote == '"' and line[position : position + 1] in tuple('"\\$`'):
                word += line[position]
                position += 1
            else:
                word += letter
        elif letter in "'\"":
            quote, begun, cut = letter, True, len(word)
        elif letter == "\\" and position < len(line):
            word, begun = word + line[position], True
            position += 1
        elif letter.isspace():
            if begun:
                words.append(word)
            word, cut, begun = "", 0, False
        else:
            word, begun = word + letter, True
            if letter in breaks:
                cut = len(word)
    return Line(_after_command([*words, word]), word[:cut], quote)


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
