"""Output that may be lost: `rlrun ... | head`, a lost connection and a full disk under a log file end no training."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO


class PatientOutput:
    """Passes everything on to `stream`; once that cannot be written any more, output is lost and nothing is raised.

    Args:
        stream: standard output or standard error.
        name: what people call it.
        tell: is told, in a line, why `stream` is given up; a reader who went away (`| head`) is not worth one.
    """

    def __init__(self, stream: TextIO, name: str, tell: Callable[[str], object]) -> None:
        self._stream = stream
        self._name = name
        self._tell = tell

    def write(self, text: str) -> int:
        """Writes if it can."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes all of them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flushes if it can."""
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """The descriptor leads nowhere from now on, so that what is still buffered can be flushed there at exit."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            self._tell(f"rlrun: {self._name} cannot be written any more ({error.strerror}); the command continues\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def be_patient() -> None:
    """Makes both streams of this process patient; each tells the other one why it was given up."""
    sys.stdout = PatientOutput(_or_nowhere(sys.stdout), "standard output", lambda line: _say(sys.stderr, line))
    sys.stderr = PatientOutput(_or_nowhere(sys.stderr), "standard error", lambda line: _say(sys.stdout, line))


def _or_nowhere(stream: TextIO | None) -> TextIO:
    """`stream`, but Python has none where a shell closed it (`>&-`): then what is said goes nowhere."""
    return open(os.devnull, "w") if stream is None else stream


def _say(stream: TextIO, line: str) -> None:
    stream.write(line)
    stream.flush()
