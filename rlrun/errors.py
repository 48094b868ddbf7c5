"""The one exception that means "what you asked for cannot be done": the command line prints it and exits with 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

_ELSEWHERE = 0.9  # a name in another place counts a little less than one in the place that was named
_LIKELY = 0.8  # of names in another place, only such are worth mentioning
_ABBREVIATED = 0.9
_ALSO_CALLED: Mapping[str, tuple[str, ...]] = {  # what people who come from elsewhere write
    "algo": ("agent", "algorithm", "method"),
    "env": ("environment", "task"),
    "network": ("model", "net"),
}
_THE_OTHER_NAME = 0.85  # as like that one must be to be meant, so that misspelt ones count too

__all__ = ["DoesNotFitError", "UserError"]


class UserError(Exception):
    """Bad input. The message is one readable line: what is wrong, and what would be right.

    Args:
        message: the line.
        details: more lines, for people: where it came from, what the nearest names mean.
    """

    def __init__(self, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)


class DoesNotFitError(UserError):
    """An agent cannot be used with an environment: the message says what it needs, whoever builds them names both."""


class WrongKeyError(UserError):
    """Bad input that is about one key of the config.

    Args:
        message: the line.
        key: the dotted key that is wrong.
        details: more lines, for people.
    """

    def __init__(self, message: str, key: str, details: Sequence[str] = ()) -> None:
        super().__init__(message, details)
        self.key = key


class UnknownKeyError(WrongKeyError):
    """A key that nothing takes."""


class ArgumentError(WrongKeyError):
    """An argument of a constructor is wrong, or does not go with another.

    A constructor knows its own parameters and not where it stands in a config: whoever calls it says so with `inside`.

    Args:
        parameter: its name.
        problem: what is wrong, as it follows the name: "=0 is too small".
    """

    def __init__(self, parameter: str, problem: str) -> None:
        super().__init__(parameter + problem, parameter)
        self.problem = problem


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Puts `name` and a dot before the parameter of an `ArgumentError` that is raised here."""
    try:
        yield
    except ArgumentError as error:
        raise ArgumentError(f"{name}.{error.key}", error.problem) from error


class FaultyEnvironmentError(UserError):
    """What an environment did or showed cannot be used: whoever wrote it must correct it, not who typed the command.

    Args:
        name: of the environment.
        fault: what it did, and what would be right.
    """

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(f"{name}: {fault}")
        self.fault = fault


def changed_environment(name: str, seen: str, maybe: str = "") -> UserError:
    """For a run whose environment, played again, is not what it was.

    Args:
        name: of the environment.
        seen: what is not the same.
        maybe: another reason that there may be.
    """
    reasons = "it or its package was changed, or it draws from something that is not seeded"
    if maybe:
        reasons += f", or {maybe}"
    return UserError(
        f"{name} is not the environment that this run has played: {seen}; {reasons}; go on with what the run began "
        "with, or fresh=true starts a new run next to it"
    )


def nearest(name: str, valid: Iterable[str], count: int = 3) -> list[str]:
    """The up to `count` valid names that `name` most likely stands for, best first; never empty unless `valid` is.

    Names may be dotted keys. The first wrong part of `name` decides: its neighbours come first by likeness, then the
    same or a similar name in another place (`gamma` for `algo.gamma`). `lr` and `learn` are taken for abbreviations.
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
    """How like two names are, from 0 to 1."""
    name, candidate = name.lower(), candidate.lower()
    ratio = difflib.SequenceMatcher(None, name, candidate).ratio()
    words = candidate.split("_")
    if len(words) > 1 and name == "".join(word[0] for word in words if word):
        return max(ratio, _ABBREVIATED)
    if len(name) >= 3 and (name in words or candidate.startswith(name)):
        return max(ratio, _LIKELY)
    others = (difflib.SequenceMatcher(None, name, other).ratio() for other in _ALSO_CALLED.get(candidate, ()))
    return max([ratio, *(other for other in others if other >= _THE_OTHER_NAME)])
