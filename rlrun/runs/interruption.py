"""Signals that ask a run to stop: it saves at the next safe point instead of ending at once.

Batch systems warn before they kill (Slurm with `--signal`, by SIGTERM or a user signal), people press Ctrl-C, and a
terminal that disappears (a lost connection, a closed window) sends SIGHUP.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import ClassVar

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
STOPPED = 75  # EX_TEMPFAIL, the exit status: saved and stopped because a signal asked for it, and can be resumed
_NOT_OURS = (
    signal.SIG_DFL,
    signal.SIG_IGN,
    signal.default_int_handler,
)  # they would end the process, or have no effect

__all__ = ["Interrupted"]


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """A run has saved and stopped because it was asked to.

    Args:
        signal_name: which signal asked.
        step: how far the run is, agent steps.
        saved: whether there is a checkpoint of that step.
        directory: of the run.
    """

    def __init__(self, signal_name: str, step: int, *, saved: bool, directory: Path) -> None:
        super().__init__(f"{signal_name} at step {step:,}")
        self.signal_name, self.step, self.saved, self.directory = signal_name, step, saved, directory
        self.starts_new_run = False  # whether the same command would start another run (`fresh=true`)


class StopRequest:
    """Remembers that one of `ASKING` came, while it is entered. A second SIGINT raises KeyboardInterrupt at once.

    `pass_on` calls the previous handlers once everything is saved: batch launchers install their own. Only the main
    thread can have handlers; elsewhere entering has no effect. There is one at a time: entering another one inside
    returns the outer one, so that a command can handle signals before its slow imports. An ignored SIGHUP stays
    ignored: that is how `nohup` works.
    """

    _entered: ClassVar[StopRequest | None] = None

    def __init__(self) -> None:
        self._came: tuple[int, FrameType | None] | None = None
        self._passed_on = False
        self._previous: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> StopRequest:
        """Installs the handlers, unless an outer one has."""
        if StopRequest._entered is not None:
            return StopRequest._entered
        StopRequest._entered = self
        for number in ASKING:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            try:
                self._previous[number] = signal.signal(number, self._note)
            except ValueError:  # not the main thread: whoever started this one handles signals
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Restores the previous handlers, if this one installed its own."""
        if StopRequest._entered is not self:
            return
        StopRequest._entered = None
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._came is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self._came is None:
            self._came = number, frame

    @property
    def came(self) -> str | None:
        """The name of the first signal that came, if any."""
        return None if self._came is None else signal.Signals(self._came[0]).name

    def pass_on(self) -> None:
        """Calls the previous handler of the first signal, once."""
        if self._came is None or self._passed_on:
            return
        self._passed_on = True
        number, frame = self._came
        handler = self._previous.get(number)
        if callable(handler) and handler not in _NOT_OURS:
            handler(number, frame)
