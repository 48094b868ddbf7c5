"""`seeds=` on a command line: which seeds of one experiment are run side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlrun.config.arguments import expanded, given_text, parse, refuse_repeated
from rlrun.errors import UserError

_SEEDS = "seeds"
_RIGHT = "give how many (seeds=10: 0 to 9), or which (seeds=5,7,9 or seeds=range(5,10))"


def has_seeds(overrides: Sequence[str]) -> bool:
    """Whether the overrides of a command ask for several seeds."""
    return any(each.partition("=")[0] == _SEEDS for each in overrides)


def take_seeds(overrides: Sequence[str]) -> tuple[list[str], list[int]]:
    """The overrides without `seeds=`, and the seeds that it asks for.

    Raises:
        UserError: if it is not understood, or a seed is given as well.
    """
    items = parse(each for each in overrides if each.partition("=")[0] == _SEEDS)
    refuse_repeated(items)
    others = [each for each in overrides if each.partition("=")[0] != _SEEDS]
    for each in others:
        if each.lstrip("+").partition("=")[0] == "seed":
            raise UserError(f"{each} is not allowed with {items[0].input_line}: leave one of them out")
    return others, _numbers(given_text(items[0]))


def _numbers(text: str) -> list[int]:
    wrong = UserError(f"{_SEEDS}={text} is not valid: {_RIGHT}")
    if text.isdecimal():
        text = f"range({text})"
    (item,) = parse([f"{_SEEDS}={text}"])
    if item.is_sweep_override():
        if not item.is_discrete_sweep():
            raise wrong
        values = [run[0].partition("=")[2] for run in expanded([item], list[Path]())]
    elif isinstance(given := item.value(), list):
        values = [str(each) for each in given]
    else:
        raise wrong
    if not values or not all(value.isdecimal() for value in values):
        raise wrong
    numbers = [int(value) for value in values]
    if len(set(numbers)) < len(numbers):
        raise UserError(f"{_SEEDS}={text} is not valid: a seed is given twice")
    return numbers
