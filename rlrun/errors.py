"""The one exception that means "what you asked for cannot be done": the command line prints it and exits with 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

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
    """The up to `count` valid names most like `name`, best first; never empty unless `valid` is."""
    names = sorted(set(valid))
    lowered = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=count, cutoff=0.5)
    return [lowered[match] for match in close] or names[:count]
