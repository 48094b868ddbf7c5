"""Output whose reader may go away: `rlrun ... | head` and a lost connection end no training."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TextIO


class PatientOutput:
    """Passes everything on to `stream`; once nobody reads it any more, what is written is lost and nothing is raised.

    Args:
        stream: standard output or standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes if somebody reads."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._give_up()
            return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes all of them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flushes if somebody reads."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._give_up()

    def _give_up(self) -> None:
        """The descriptor leads nowhere from now on, so that what is still buffered can be flushed there at exit."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
