"""Memory that torch frees is kept for its next tensors, instead of going back to the system and being cleared anew."""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)
_MOST_KEPT_BYTES = 1 << 30  # more than that, free at the end of the heap, goes back all the same
_LARGEST_KEPT_BYTES = 1 << 28  # larger tensors, as a replay's, are mapped by themselves and go back when they are freed


def keep_freed_memory() -> None:
    """Tells the GNU C library's allocator to; others stay as they are.

    It gives large blocks back to the system as soon as they are free, and a new one is a page fault for every 4 KiB.
    In a turn of actor-critic on Pong these were thousands; a test counts those of large tensors.
    """
    if "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}) or not os.confstr("CS_GNU_LIBC_VERSION"):
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_TRIM_THRESHOLD, _MOST_KEPT_BYTES)
    mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
