"""What other people's environments raise, in words: the error, and the line of theirs at which it came up."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from gymnasium import core

import rlrun

_OURS = Path(rlrun.__file__).parent
_MISSING = re.compile(r"missing \d+ required")


def told(error: BaseException, files: Collection[str]) -> str:
    """An error that ends what was asked for, in its own words, with its place and how to see more; as `in_short`."""
    return f"{in_short(error, files)}; HYDRA_FULL_ERROR=1 shows the traceback"


def in_short(error: BaseException, files: Collection[str]) -> str:
    """An error in its own words, with its place.

    Args:
        error: what was raised.
        files: that define what is played; the innermost of their lines is told, since whoever wrote them knows numpy
            and the like only from there. Without any in the traceback, it is the innermost line of all.
    """
    text = str(error).strip()
    said = f"{type(error).__name__}: {first_line(error)}" if text else type(error).__name__
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and not Path(frame.filename).is_relative_to(_OURS)
    ]
    theirs = [frame for frame in frames if frame.filename in files] or frames
    place = f", at {Path(theirs[-1].filename).name}, line {theirs[-1].lineno}" if theirs else ""
    return said + place


def files_of(makers: Iterable[object]) -> frozenset[str]:
    """The files that define these classes or functions, and what the classes derive from but for Gymnasium's core."""
    modules = (sys.modules.get(getattr(each, "__module__", "")) for maker in makers for each in _with_bases(maker))
    files = {getattr(module, "__file__", None) for module in modules}
    return frozenset(file for file in files if file is not None and file != core.__file__)


def _with_bases(maker: object) -> Iterator[object]:
    yield from maker.__mro__ if inspect.isclass(maker) else (maker,)


def lacks_arguments(error: BaseException, caller: str) -> bool:
    """Whether the file `caller` did not give all arguments that what it called needs."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, TypeError) and frames[-1].filename == caller and bool(_MISSING.search(str(error)))


def advice(error: BaseException) -> str:
    """How to install what is missing, as far as the error says."""
    extra = re.search(r"gymnasium\[([\w-]+)\]", str(error))
    return f'pip install "gymnasium[{extra[1]}]"' if extra else first_line(error)


def first_line(error: BaseException) -> str:
    """The first line of its text, or its kind where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
