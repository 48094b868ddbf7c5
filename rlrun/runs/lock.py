"""One process at a time in a run's directory: a lock that the kernel frees when its owner ends, however it ends.

`.lock` is locked (`flock`) as long as its owner lives, so that kill -9 frees it. It also names the owner, for people
and for file systems without locks (docs/runs.md).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import sleep
from typing import TextIO

from rlrun.errors import UserError

_LOG = logging.getLogger(__name__)
_LOCK = ".lock"
_TRIES, _PAUSE_SECONDS = 10, 0.02  # `owner` holds the lock for a moment, which must not count as busy


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that works on a run."""

    host: str
    pid: int

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, on this machine."""
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        """Whether there is such a process on this machine."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


_UNKNOWN = "another process"


@contextmanager
def locked(directory: Path) -> Iterator[Callable[[], None]]:
    """Keeps every other process out of `directory`.

    The lock is on an open file, but a run writes by path: if the directory is removed meanwhile, another process may
    create and lock a new one. So call what is yielded before anything is written: it raises UserError if the
    directory's lock is no longer this one.

    Raises:
        UserError: if another process has locked it.
        OSError: if the file cannot be created.
    """
    with (directory / _LOCK).open("a+", encoding="utf-8") as file:
        before = _noted(file)

        def still_ours() -> None:
            if not _is_at(file, directory / _LOCK):
                raise UserError(
                    f"{directory} was removed or replaced while this process was running it: no more is written there"
                )

        has_lock = _take(file, directory)
        if not has_lock:
            _check_note(before, directory)
        still_ours()
        if has_lock and before is not None and not before.is_here:
            _LOG.warning(
                f"{before} may still be running this: it did not sign off, and this file system's locks may not reach "
                "other machines; if it is, stop one of the two"
            )
        _note(file, json.dumps(asdict(Owner(socket.gethostname(), os.getpid()))))
        try:
            yield still_ours
        finally:
            _note(file, "")


def _is_at(file: TextIO, path: Path) -> bool:
    """Whether the open `file` is the one at `path`."""
    try:
        found = path.stat()
    except OSError:
        return False
    return os.path.samestat(os.fstat(file.fileno()), found)


def owner(directory: Path) -> str | None:
    """Which process is running the run in `directory`; None if none is, as far as can be seen from here."""
    try:
        file = (directory / _LOCK).open(encoding="utf-8")
    except OSError:
        return None
    with file:
        noted = _noted(file)
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return str(noted or _UNKNOWN)
        except OSError:  # a file system without locks
            return str(noted) if noted is not None and (not noted.is_here or noted.is_alive) else None
        return None


def refuse_if_running(directory: Path) -> None:
    """Raises early what `locked` would raise.

    Raises:
        UserError: if a process is running the run in `directory`.
    """
    busy = owner(directory)
    if busy is not None:
        raise _busy(directory, busy)


def _busy(directory: Path, busy: str) -> UserError:
    return UserError(
        f"{directory} is being run by {busy}: wait for it or stop it, or start a new run next to it with fresh=true"
    )


def _take(file: TextIO, directory: Path) -> bool:
    """Locks `file`; False where the file system has no locks."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sleep(_PAUSE_SECONDS)
        except OSError as error:
            _LOG.warning(f"{directory} cannot be locked ({error.strerror}): do not start a second process on this run")
            return False
        else:
            return True
    raise _busy(directory, str(_noted(file) or _UNKNOWN))


def _check_note(before: Owner | None, directory: Path) -> None:
    if before is None:
        return
    if before.is_here and before.is_alive and before.pid != os.getpid():
        raise _busy(directory, str(before))
    if not before.is_here:
        raise UserError(
            f"{directory} may be in use: its lock file names {before}, and this file system has no locks to check; if "
            f"that process has ended, remove {directory / _LOCK}"
        )


def _note(file: TextIO, text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()


def _noted(file: TextIO) -> Owner | None:
    file.seek(0)
    try:
        content = json.loads(file.read())
        return Owner(str(content["host"]), int(content["pid"]))
    except (ValueError, KeyError, TypeError):
        return None
