"""Which valid key a wrong one was meant to be, and letters in it that only look like ours."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping

_ELSEWHERE = 0.9  # a name in another place counts a little less than one in the place that was named
_LIKELY = 0.8  # of names in another place, only such are worth mentioning
_ABBREVIATED = 0.9
_ALSO_CALLED: Mapping[str, tuple[str, ...]] = {  # what people who come from elsewhere write
    "algo": ("agent", "algorithm", "method"),
    "env": ("environment", "task"),
    "network": ("model", "net"),
}
_THE_OTHER_WORD = 0.85  # as like that one must be to be meant, so that misspelt ones count too


def closest(key: str, valid: Iterable[str], count: int = 3) -> list[str]:
    """The up to `count` dotted keys most likely meant by `key`, best first.

    The first wrong part of `key` decides: its neighbours come first by likeness, then the same or a similar name in
    another place (`gamma` for `algo.gamma`). `lr` and `learn` are taken for abbreviations.
    """
    keys = list(valid)
    parents, name, rest = _first_wrong(key, set(keys))
    scores: dict[str, float] = {}
    for candidate in keys:
        parent, _, last = candidate.rpartition(".")
        if parent == parents:
            whole = candidate + rest
            scores[whole if whole in keys else candidate] = likeness(name, last)
    wanted = (rest or "." + name).rpartition(".")[2]
    for candidate in keys:
        score = _ELSEWHERE * likeness(wanted, candidate.rpartition(".")[2])
        if score >= _LIKELY * _ELSEWHERE:
            scores[candidate] = max(score, scores.get(candidate, 0.0))
    ordered = sorted(scores, key=lambda candidate: (-scores[candidate], candidate))
    likely = [candidate for candidate in ordered if scores[candidate] >= 0.5]
    return (likely or ordered)[:count]


def _first_wrong(key: str, valid: set[str]) -> tuple[str, str, str]:
    """What is before the first wrong part of `key` (dotted), that part, and what is behind it (from its dot)."""
    parts = key.split(".")
    for index in range(len(parts)):
        if ".".join(parts[: index + 1]) not in valid:
            rest = parts[index + 1 :]
            return ".".join(parts[:index]), parts[index], "".join(f".{part}" for part in rest)
    return ".".join(parts[:-1]), parts[-1], ""


def likeness(name: str, candidate: str) -> float:
    """How like two names are, from 0 to 1."""
    name, candidate = name.lower(), candidate.lower()
    if name == candidate:
        return 1.0
    ratio = difflib.SequenceMatcher(None, name, candidate).ratio()
    words = candidate.split("_")
    if len(words) > 1 and name == "".join(word[0] for word in words if word):
        return max(ratio, _ABBREVIATED)
    if len(name) >= 3 and (name in words or candidate.startswith(name)):
        return max(ratio, 0.8)
    others = (difflib.SequenceMatcher(None, name, other).ratio() for other in _ALSO_CALLED.get(candidate, ()))
    return max([ratio, *(other for other in others if other >= _THE_OTHER_WORD)])


def foreign_letters(text: str) -> str:
    """What to say of letters of another alphabet in a key or a name, with their names; empty where there are none."""
    found = [character for character in dict.fromkeys(text) if character.isalpha() and not character.isascii()]
    names = ", ".join(f"{character} is {unicodedata.name(character, 'a letter without a name')}" for character in found)
    return f"; {names}: a letter of another alphabet that may look like a Latin one" if found else ""
