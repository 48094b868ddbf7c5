"""What docstrings say: of a class, of its arguments, and which papers it names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

_YEAR = re.compile(r"\b(?:19|20)\d\d\b")


def paragraphs(thing: Any) -> list[str]:
    """The paragraphs of a docstring, each on one line, up to its sections."""
    before = re.split(r"\n(?:Args|Raises|Returns):\n", inspect.getdoc(thing) or "")[0]
    return [" ".join(paragraph.split()) for paragraph in before.split("\n\n") if paragraph.strip()]


def sources(call: Callable[..., Any]) -> list[str]:
    """The paragraphs of a class and its module that name a year: papers and equations."""
    module = inspect.getmodule(call)
    return [part for part in [*paragraphs(module), *paragraphs(call)] if _YEAR.search(part)]


def argument_meanings(call: Callable[..., Any]) -> dict[str, str]:
    """What the section Args of a docstring says of each argument, with YAML's null for None."""
    return meanings_in(inspect.getdoc(call) or "")


def meanings_in(docstring: str) -> dict[str, str]:
    """The same of a docstring without indentation."""
    match = re.search(r"(?:^|\n)Args:\n(.*?)(?:\n\S|\Z)", docstring, re.DOTALL)
    entries = re.split(r"^    (?=\w+: )", match[1], flags=re.MULTILINE)[1:] if match else []
    split = (entry.partition(": ") for entry in entries)
    return {name: re.sub(r"\bNone\b", "null", " ".join(text.split())) for name, _, text in split}
