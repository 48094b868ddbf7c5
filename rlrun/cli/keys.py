"""Single keys of a terminal, without Enter; the terminal is left as it was."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """Gives a function that waits at most so many seconds for keys, and returns them; "" if none came.

    Ctrl-C raises KeyboardInterrupt as ever; Ctrl-Z does nothing; SIGTERM and SIGHUP end the process in order.
    """
    source = sys.stdin.fileno()
    before = termios.tcgetattr(source)
    handlers = {number: signal.signal(number, _end) for number in _ENDING}
    try:
        tty.setcbreak(source)
        now = termios.tcgetattr(source)
        now[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(source, termios.TCSADRAIN, now)
        yield lambda seconds: _read(source, seconds)
    finally:
        termios.tcsetattr(source, termios.TCSADRAIN, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _read(source: int, seconds: float) -> str:
    ready, _, _ = select.select([source], [], [], max(0.0, seconds))
    if not ready:
        return ""
    read = os.read(source, 1024)
    if not read:
        raise KeyboardInterrupt  # the terminal is gone
    return read.decode(errors="replace")


def _end(number: int, frame: object) -> None:
    del frame
    raise SystemExit(128 + number)
