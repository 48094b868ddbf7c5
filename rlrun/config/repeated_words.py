"""Words that say twice what one key is: Hydra would let the last one win without a word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from hydra.core.override_parser.overrides_parser import OverridesParser

from rlrun.config.hydra_settings import set_by
from rlrun.errors import UserError


def refuse_repeated(overrides: Sequence[str]) -> None:
    """Refuses two words that give one key different values; deletions (`~key`) may stand before another value.

    Args:
        overrides: as on the command line.

    Raises:
        HydraException: if one of them cannot be read.
        UserError: naming both.
    """
    words = [item for item in dict.fromkeys(overrides) if not item.startswith("~")]
    suspicious = {
        item for pair in combinations(words, 2) if _overlap(*(_key(word) for word in pair)) for item in pair
    }  # only these are read, since reading takes milliseconds
    seen: dict[str, str] = {}
    for item in OverridesParser.create().parse_overrides([word for word in words if word in suspicious]):
        word = str(item.input_line)
        for key in set_by(item):
            if key in seen:
                raise UserError(f"{key} is given twice, as {seen[key]} and as {word}: leave one out")
            seen[key] = word


def changed(words: Iterable[str], *changes: str) -> list[str]:
    """Words of one run, with `changes` in place of those for the same keys."""
    by_key = {_key(word): word for word in (*words, *changes)}
    return list(by_key.values())


def _key(word: str) -> str:
    return word.lstrip("+").partition("=")[0]


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")
