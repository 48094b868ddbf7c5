"""Reading the words after a verb."""

from __future__ import annotations

import argparse
from typing import NoReturn

from rlrun.errors import UserError


class Words(argparse.ArgumentParser):
    """argparse, but what is wrong is one line and status 2 like everywhere else."""

    def error(self, message: str) -> NoReturn:
        """Raises what the command line prints."""
        raise UserError(f"{message}; {' '.join(self.format_usage().split())}")


def positive(text: str) -> int:
    """A whole number from 1, for `add_argument(type=...)`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1")
    return int(text)
