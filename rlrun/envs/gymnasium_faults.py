"""Messages about errors that third-party environments raise: the error, and the line of their code that raised it."""

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


def describe_error(error: BaseException, files: Collection[str]) -> str:
    """Like `brief_error`, for an error that ends the command: says how to see the traceback."""
    return f"{brief_error(error, files)}; HYDRA_FULL_ERROR=1 shows the traceback"


def brief_error(error: BaseException, files: Collection[str]) -> str:
    """An error's type and message, with its place.

    Args:
        error: what was raised.
        files: that define the environment; the innermost line in them is shown, since that is where their author can
            correct it. Without any in the traceback, it is the innermost line of all.
    """
    text = str(error).strip()
    message = f"{type(error).__name__}: {first_line(error)}" if text else type(error).__name__
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and not Path(frame.filename).is_relative_to(_OURS)
    ]
    shown = [frame for frame in frames if frame.filename in files] or frames
    place = f", at {Path(shown[-1].filename).name}, line {shown[-1].lineno}" if shown else ""
    return message + place


def files_of(makers: Iterable[object]) -> frozenset[str]:
    """The files that define these classes or functions and the bases of the classes, except Gymnasium's core."""
    modules = (sys.modules.get(getattr(each, "__module__", "")) for maker in makers for each in _with_bases(maker))
    files = {getattr(module, "__file__", None) for module in modules}
    return frozenset(file for file in files if file is not None and file != core.__file__)


def _with_bases(maker: object) -> Iterator[object]:
    yield from maker.__mro__ if inspect.isclass(maker) else (maker,)


def lacks_arguments(error: BaseException, caller: str) -> bool:
    """Whether the error is a call from the file `caller` that lacks required arguments."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, TypeError) and frames[-1].filename == caller and bool(_MISSING.search(str(error)))


def advice(error: BaseException) -> str:
    """How to install what is missing, as far as the error says."""
    extra = re.search(r"gymnasium\[([\w-]+)\]", str(error))
    return f'pip install "gymnasium[{extra[1]}]"' if extra else first_line(error)


def first_line(error: BaseException) -> str:
    """The first line of its message, or its type without one."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
