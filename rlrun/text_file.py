"""Text files of people: UTF-8, and the byte order mark that some editors write before it is no part of the text."""

from __future__ import annotations

from pathlib import Path

BYTE_ORDER_MARK = "\ufeff".encode()


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        OSError: if it cannot be read.
        UnicodeDecodeError: if it is not UTF-8.
    """
    return path.read_text(encoding="utf-8-sig")
