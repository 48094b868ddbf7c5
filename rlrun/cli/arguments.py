"""Parsers of what follows `rlrun` and each verb: they refuse in one line, and say what Tab may offer."""

from __future__ import annotations

import argparse
import math
from typing import Any, Literal, NamedTuple, NoReturn

from rlrun.errors import UserError

# What an argument is, where neither its choices nor its flag say so: `overrides` are group=option and key=value,
# `keys` may stand without a value too, and `run overrides` are those of the run that was named before.
Kind = Literal["", "run", "directory", "file", "overrides", "keys", "run overrides"]


class Taken(NamedTuple):
    """An argument of a parser."""

    action: argparse.Action
    kind: Kind

    @property
    def has_value(self) -> bool:
        """Whether a flag is followed by something."""
        return self.action.nargs != 0


class Arguments(argparse.ArgumentParser):
    """argparse, but what is wrong is one line and status 2 like everywhere else.

    Args:
        program: what is typed before the arguments.
        description: what it does, in a line.
    """

    def __init__(self, program: str, description: str) -> None:
        self.taken: list[Taken] = []  # in the order in which they were added; `--help` is the first
        super().__init__(program, description=description, allow_abbrev=False)

    def add_argument(self, *names: str, kind: Kind = "", **settings: Any) -> argparse.Action:
        """As argparse's; `kind` is for completion."""
        action = super().add_argument(*names, **settings)
        self.taken.append(Taken(action, kind))
        return action

    def error(self, message: str) -> NoReturn:
        """Raises what the command line prints."""
        raise UserError(f"{message}; {' '.join(self.format_usage().split())}")


def positive(text: str) -> int:
    """An integer from 1, for `add_argument(type=...)`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} must be an integer from 1")
    return int(text)


def positive_number(text: str) -> float:
    """A number above 0, for `add_argument(type=...)`."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} must be a number above 0")
    return number


def natural(text: str) -> int:
    """An integer from 0, for `add_argument(type=...)`."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} must be an integer from 0")
    return int(text)


def run_arguments() -> Arguments:
    """What follows `rlrun` where no verb does."""
    parser = Arguments("rlrun", "trains, evaluates and records one experiment, or with -m a sweep of them")
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", kind="overrides")
    parser.add_argument("-m", "--multirun", action="store_true", help="a sweep: a run for every combination of values")
    parser.add_argument("-c", "--cfg", choices=("job",), help="print the configuration and stop")
    parser.add_argument("--resolve", action="store_true", help="with --cfg: references replaced by their values")
    parser.add_argument("-cd", "--config-dir", metavar="DIR", help="config files of your own", kind="directory")
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    return parser
