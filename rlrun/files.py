"""Files that are complete or absent, however the process or the machine ends, and text files that people write."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rlrun.errors import UserError

BYTE_ORDER_MARK = "\ufeff".encode()  # some editors write it; it is not part of the text

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FAILING = {errno.EROFS, errno.EIO, errno.ESTALE}
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.EACCES}  # for a file outside the directory these are not about the disk


@contextmanager
def disk_errors_as_user_errors(directory: Path) -> Iterator[None]:
    """Turns errors of a full, read-only, failing or missing disk of `directory` into one readable line; others pass.

    Raises:
        UserError: if writing failed because of the disk.
    """
    try:
        yield
    except OSError as error:
        if not _is_trouble_with(directory, error):
            raise
        raise UserError(why_not_written(str(directory), error)) from error


def _is_trouble_with(directory: Path, error: OSError) -> bool:
    if isinstance(error.filename, str | bytes | os.PathLike):
        inside = Path(os.fsdecode(error.filename)).absolute().is_relative_to(directory.absolute())
        return inside and error.errno in _FULL | _FAILING | _GONE
    return error.errno in _FULL | _FAILING  # an error of an open file names none; a run writes only its own


def why_not_written(what: str, error: OSError) -> str:
    """One line that says why, and when the same command resumes the run."""
    when = "there is room again" if error.errno in _FULL else "it can be written"
    return (
        f"{what} cannot be written ({error.strerror}); once {when}, the same command resumes from the last checkpoint"
    )


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Calls `write(file)` on a temporary file next to it, syncs and renames that: `path` is complete or absent."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # leave nothing behind on a full disk
        raise
    sync_directory(path.parent)


def make_directories(directory: Path, *, exist_ok: bool) -> None:
    """Makes it and its missing parents, durably.

    Raises:
        OSError: if it cannot be made, or exists and `exist_ok` is false.
    """
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=exist_ok)
    for path in missing:
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Makes renames in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_text(path: Path) -> str:
    """The UTF-8 text of a file, without a byte order mark.

    Raises:
        OSError: if it cannot be read.
        UnicodeDecodeError: if it is not UTF-8.
    """
    return path.read_text(encoding="utf-8-sig")
