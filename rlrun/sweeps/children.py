"""Processes that a pool starts: each ends with the pool, also with one that is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import TextIO

import psutil  # type: ignore[import-untyped]

from rlrun.errors import UserError
from rlrun.files import make_directories
from rlrun.sweeps.jobs import Job

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_TAIL_BYTES = 1 << 14


class Child:
    """The process of a job.

    It is in a process group of its own: a Ctrl-C at the terminal reaches the pool alone, which forwards it once.

    Args:
        job: the job.

    Raises:
        UserError: if the process cannot be started.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        try:
            make_directories(job.log.parent, exist_ok=True)
            self._log: TextIO = job.log.open("a", encoding="utf-8")
            with self._log as log:
                self._start = log.tell()
                self._process = subprocess.Popen(
                    job.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    process_group=0,
                    preexec_fn=_ends_with_parent(),  # safe: this process has one thread of Python
                )
        except OSError as error:
            raise UserError(f"{job.name} cannot be started: {error.strerror} ({error.filename})") from error

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def send(self, number: int) -> None:
        """Sends it a signal, unless it has ended."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Ends it at once, and waits until it is gone."""
        self._process.kill()
        self._process.wait()

    def memory_bytes(self) -> int:
        """How much memory it takes now."""
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def last_line(self) -> str:
        """The last line that it has printed, without rlrun's own prefix."""
        try:
            with self.job.log.open("rb") as file:
                file.seek(max(self._start, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError as error:
            return f"{self.job.log} cannot be read: {error.strerror}"
        said = [line.strip() for line in lines if line.strip()]
        error_line = next((line for line in reversed(said) if line.startswith("rlrun: error: ")), None)
        return (error_line or (said[-1] if said else "it printed nothing")).removeprefix("rlrun: error: ")


def _ends_with_parent() -> Callable[[], None] | None:
    """Called in the new process: the kernel kills it when this one ends, however that happens. Linux only."""
    if sys.platform != "linux":
        return None
    parent, prctl = os.getpid(), ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the kernel was asked
            os._exit(1)

    return ask
