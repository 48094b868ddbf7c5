"""Keeps memory that torch frees for its next tensors, instead of returning it to the system to be cleared again."""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)
_MOST_KEPT_BYTES = 1 << 30  # more than that, free at the end of the heap, is still returned
_LARGEST_KEPT_BYTES = (
    1 << 28
)  # larger tensors, such as a replay's, have their own mapping, returned when they are freed


def keep_freed_memory() -> None:
    """Configures the GNU C library's allocator; others are unchanged.

    By default it returns large blocks to the system as soon as they are free, and a new block is a page fault for every
    4 KiB: thousands in one iteration of actor-critic on Pong. A test counts those of large tensors.
    """
    if "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}) or not os.confstr("CS_GNU_LIBC_VERSION"):
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_TRIM_THRESHOLD, _MOST_KEPT_BYTES)
    mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
