"""Signals that ask a run to stop: it saves at the next safe point instead of dying where it is.

Batch systems warn before they kill (Slurm with `--signal`, by SIGTERM or a user's signal), people press Ctrl-C, and a
terminal that goes away (a lost connection, a closed window) says so by SIGHUP.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import ClassVar

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_NOT_OURS = (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler)  # they would end the process, or do nothing

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
        self.begins_anew = False  # whether the words that were given would begin another run (`fresh=true`)


class StopRequest:
    """Remembers that one of `ASKING` came, while it is entered. A second SIGINT raises KeyboardInterrupt at once.

    `pass_on` calls the handlers that were there before, once everything is saved: batch launchers install their own.
    Only a process's main thread can have handlers; elsewhere entering does nothing. There is one at a time: entering
    another one inside gives the outer one, so that a command can take the signals before it imports anything slow.
    Where SIGHUP is ignored it stays so: that is how `nohup` asks to go on without the terminal.
    """

    _entered: ClassVar[StopRequest | None] = None

    def __init__(self) -> None:
        self._came: tuple[int, FrameType | None] | None = None
        self._passed_on = False
        self._previous: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> StopRequest:
        """Takes the signals over, unless an outer one has them."""
        if StopRequest._entered is not None:
            return StopRequest._entered
        StopRequest._entered = self
        for number in ASKING:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            try:
                self._previous[number] = signal.signal(number, self._note)
            except ValueError:  # not the main thread: whoever started it is in charge of signals
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Gives the signals back, if it is this one that has them."""
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
        """The name of the signal that came first, if one did."""
        return None if self._came is None else signal.Signals(self._came[0]).name

    def pass_on(self) -> None:
        """Calls the handler that the first signal had before, once."""
        if self._came is None or self._passed_on:
            return
        self._passed_on = True
        number, frame = self._came
        handler = self._previous.get(number)
        if callable(handler) and handler not in _NOT_OURS:
            handler(number, frame)
