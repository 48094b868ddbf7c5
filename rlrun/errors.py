"""The exceptions that mean bad input: the command line prints their message and exits with status 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

_ELSEWHERE = 0.9  # a name in another place counts a little less than one in the place that was named
_LIKELY = 0.8  # only more similar names in another place are worth mentioning
_ABBREVIATED = 0.9
_ALSO_CALLED: Mapping[str, tuple[str, ...]] = {  # names that other libraries use
    "algo": ("agent", "algorithm", "method"),
    "env": ("environment", "task"),
    "network": ("model", "net"),
}
_THE_OTHER_NAME = 0.85  # how similar a name must be to one of those, so that misspelt ones count too

__all__ = ["ArgumentError", "DoesNotFitError", "UserError"]


class UserError(Exception):
    """Bad input. The message is one readable line: what is wrong, and what would be right.

    Args:
        message: the line.
        details: more lines for the reader: where it was set, what the nearest names mean.
    """

    def __init__(self, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)


class DoesNotFitError(UserError):
    """An agent does not fit an environment: the message says what it needs; whoever builds them adds both names."""


class WrongKeyError(UserError):
    """Bad input that is about one key of the config.

    Args:
        message: the line.
        key: the dotted key that is wrong.
        details: more lines for the reader.
    """

    def __init__(self, message: str, key: str, details: Sequence[str] = ()) -> None:
        super().__init__(message, details)
        self.key = key


class UnknownKeyError(WrongKeyError):
    """A key that nothing takes."""


class ArgumentError(WrongKeyError):
    """An argument of a constructor is wrong, or does not go with another.

    A constructor knows its own parameters, not its place in a config: the caller adds that with `inside`.

    Args:
        parameter: its name.
        problem: what is wrong, as a continuation of the name: "=0 is too small".
    """

    def __init__(self, parameter: str, problem: str) -> None:
        super().__init__(parameter + problem, parameter)
        self.problem = problem


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Prefixes the parameter of any `ArgumentError` raised inside with `name` and a dot."""
    try:
        yield
    except ArgumentError as error:
        raise ArgumentError(f"{name}.{error.key}", error.problem) from error


class FaultyEnvironmentError(UserError):
    """An environment did or returned something invalid: its author must correct that, not the user of the command.

    Args:
        name: of the environment.
        fault: what it did, and what would be right.
    """

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(f"{name}: {fault}")
        self.fault = fault


def changed_environment(name: str, seen: str, maybe: str = "") -> UserError:
    """The error for a run whose environment, replayed, differs from what it was.

    Args:
        name: of the environment.
        seen: what differs.
        maybe: another possible reason.
    """
    reasons = "it or its package was changed, or it draws from something that is not seeded"
    if maybe:
        reasons += f", or {maybe}"
    return UserError(
        f"{name} is not the environment that this run has played: {seen}; {reasons}; resume with the "
        "versions that the run began with, or start a new run next to it with fresh=true"
    )


def nearest(name: str, valid: Iterable[str], count: int = 3) -> list[str]:
    """Up to `count` valid names that `name` most likely means, best first; empty only if `valid` is.

    Names may be dotted keys. The first wrong part of `name` decides: first come its siblings by similarity, then the
    same or a similar name in another place (`gamma` for `algo.gamma`). `lr` and `learn` count as abbreviations.
    """
    names = sorted(set(valid))
    known, parts = set(names), name.split(".")
    depth = next((n for n in range(len(parts)) if ".".join(parts[: n + 1]) not in known), len(parts) - 1)
    parent, rest = ".".join(parts[:depth]), "".join(f".{part}" for part in parts[depth + 1 :])
    scores: dict[str, float] = {}
    for candidate in names:
        above, _, last = candidate.rpartition(".")
        if above == parent:
            whole = candidate + rest
            scores[whole if whole in known else candidate] = likeness(parts[depth], last)
        elsewhere = _ELSEWHERE * likeness(parts[-1], last)
        if elsewhere >= _LIKELY * _ELSEWHERE:
            scores[candidate] = max(elsewhere, scores.get(candidate, 0.0))
    ordered = sorted(scores, key=lambda candidate: (-scores[candidate], candidate)) or names
    return ([candidate for candidate in ordered if scores.get(candidate, 0.0) >= 0.5] or ordered)[:count]


def likeness(name: str, candidate: str) -> float:
    """How similar two names are, from 0 to 1."""
    name, candidate = name.lower(), candidate.lower()
    ratio = difflib.SequenceMatcher(None, name, candidate).ratio()
    words = candidate.split("_")
    if len(words) > 1 and name == "".join(word[0] for word in words if word):
        return max(ratio, _ABBREVIATED)
    if len(name) >= 3 and (name in words or candidate.startswith(name)):
        return max(ratio, _LIKELY)
    others = (difflib.SequenceMatcher(None, name, other).ratio() for other in _ALSO_CALLED.get(candidate, ()))
    return max([ratio, *(other for other in others if other >= _THE_OTHER_NAME)])
