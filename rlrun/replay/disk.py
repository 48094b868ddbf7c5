"""Observations in a file, so that a replay may be larger than memory: written with `pwrite`, read through a memory map.

The file has no name. So no other run can open it, nothing is left behind however a process ends (even by kill -9), and
nothing needs to be found again: a run resumes from its checkpoint.

Everything is written with `pwrite`, never through the map, for two reasons. A write to a map on a full disk kills the
process (SIGBUS), while `pwrite` returns an error; that matters even for reserved space, which some file systems do not
guarantee (ZFS and btrfs copy on write). And writing through the map would first read a page that is not in memory. On
Linux a file and its shared map are the same pages, so written data is visible at once.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import numpy as np
import torch
from torch import Tensor

from rlrun.annotations import EXECUTION
from rlrun.errors import ArgumentError, UserError
from rlrun.files import why_not_written
from rlrun.replay.memory import (
    available_memory,
    describe,
    estimate_bytes,
    observation_bytes,
    require_disk,
    require_memory_beside_disk,
)
from rlrun.replay.storage import MemoryStorage, Storage
from rlrun.types import EnvSpec

StorageKind = Annotated[Literal["memory", "disk"], EXECUTION]  # equal bits, so not part of what defines an experiment
StorageFolder = Annotated[str, EXECUTION]


def open_storage(kind: Literal["memory", "disk"], folder: str | None, directory: Path, device: torch.device) -> Storage:
    """The storage of a replay.

    Args:
        kind: `memory` (of `device`) or `disk`.
        folder: the file of `disk` is on its file system; None: on that of `directory`.
        directory: of the run; it need not exist yet.
        device: where the agent learns.

    Raises:
        ArgumentError: if `folder` is not a directory.
    """
    if kind == "memory":
        return MemoryStorage(device)
    if folder is None:
        return DiskStorage(_existing(directory))
    chosen = Path(folder).expanduser()
    if not chosen.is_dir():
        raise ArgumentError("folder", f"={folder} is not a directory")
    return DiskStorage(chosen)


def _existing(directory: Path) -> Path:
    """The directory itself or its nearest existing parent, which is on the same file system."""
    directory = directory.absolute()
    while not directory.is_dir():
        directory = directory.parent
    return directory


class DiskStorage:
    """Unnamed files on the file system of `folder`; everything but observations is in the CPU's memory.

    Args:
        folder: must exist.

    Raises:
        UserError: if the operating system does not support them.
    """

    def __init__(self, folder: Path) -> None:
        if not hasattr(os, "posix_fallocate"):
            raise UserError("a replay on disk needs Linux: this system cannot reserve space in a file")
        self.device = torch.device("cpu")
        self._folder = folder

    def describe(self, spec: EnvSpec, capacity_steps: int) -> str:
        """See `Storage.describe`."""
        on_disk = observation_bytes(spec, capacity_steps)
        return describe(capacity_steps, estimate_bytes(spec, capacity_steps) - on_disk, on_disk, self._folder)

    def require_room(self, spec: EnvSpec, capacity_steps: int) -> None:
        """See `Storage.require_room`."""
        require_memory_beside_disk(spec, capacity_steps, available_memory(self.device))
        require_disk(spec, capacity_steps, shutil.disk_usage(self._folder).free, self._folder)

    def allocate(self, shape: tuple[int, ...], dtype: torch.dtype) -> DiskRows:
        """See `Storage.allocate`. The space is reserved, so no other program can use it up later."""
        try:
            descriptor = _nameless_file(self._folder)
            try:
                os.posix_fallocate(descriptor, 0, math.prod(shape) * dtype.itemsize)
                return DiskRows(descriptor, shape, dtype, self._folder)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise _not_kept(self._folder, error) from error


def _nameless_file(folder: Path) -> int:
    """An open file that vanishes when it is closed."""
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)  # O_EXCL: it cannot be given a name later
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):  # file systems without it, such as NFS
            raise
    descriptor, name = tempfile.mkstemp(prefix=".replay-", dir=folder)
    os.unlink(name)
    return descriptor


def _not_kept(folder: Path, error: OSError) -> UserError:
    return UserError(why_not_written(f"the replay in {folder}", error))


class DiskRows:
    """Rows in a file, read through a memory map.

    Args:
        descriptor: of a file with space for all of them; closed with the last reference to this object. The map, and so
            the tensor, outlives it.
        shape: [N, ...].
        dtype: of the tensor.
        folder: where the file is, for messages.

    Raises:
        OSError: if the file cannot be mapped.
    """

    def __init__(self, descriptor: int, shape: tuple[int, ...], dtype: torch.dtype, folder: Path) -> None:
        size = math.prod(shape) * dtype.itemsize
        mapped = mmap.mmap(descriptor, size)  # shared
        mapped.madvise(mmap.MADV_RANDOM)  # no read-ahead around drawn rows: `expect` announces reads
        self.tensor = torch.from_numpy(np.frombuffer(mapped, np.uint8)).view(dtype).view(shape)
        self._descriptor, self._folder = descriptor, folder
        self._row_bytes = size // shape[0]
        weakref.finalize(self, os.close, descriptor)

    def __reduce__(self) -> NoReturn:  # called by `copy` and `pickle`
        raise TypeError("a replay on disk cannot be copied, since it is a file; one in memory can be")

    def write(self, first: int, rows: Tensor) -> None:
        """See `StoredRows.write`."""
        left = rows.contiguous().view(-1).view(torch.uint8).numpy().data
        place = first * self._row_bytes
        try:
            while left:
                count = os.pwrite(self._descriptor, left, place)
                left, place = left[count:], place + count
        except OSError as error:
            raise _not_kept(self._folder, error) from error

    def expect(self, index: Tensor) -> None:
        """Requests all rows at once, so that the disk can serve many requests instead of one page after another.

        Adjacent rows are requested together.
        """
        rows = np.unique(index.numpy())
        first = np.flatnonzero(np.diff(rows, prepend=rows[:1] - 2) > 1)  # where each range begins
        last = np.append(first[1:], len(rows))[: len(first)] - 1
        for start, end in zip(rows[first].tolist(), rows[last].tolist(), strict=True):
            os.posix_fadvise(
                self._descriptor,
                start * self._row_bytes,
                (end + 1 - start) * self._row_bytes,
                os.POSIX_FADV_WILLNEED,
            )
