"""The newest rows of a file of JSON lines, read from its end, however long the file has grown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlrun.errors import UserError
from rlrun.runs.rows import parse_row

_BLOCK = 1 << 14  # bytes


def newest_rows(path: Path, most_bytes: int = 1 << 20) -> Iterator[dict[str, Any]]:
    """Whole rows, newest first; a last line that was cut off is left out.

    Args:
        path: of the file; nothing comes if it is not there.
        most_bytes: how far back to look.

    Raises:
        UserError: at a whole line that is no row.
    """
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        position = file.seek(0, os.SEEK_END)
        lowest = max(0, position - most_bytes)
        begun = b""  # the end of a line whose beginning was not read yet
        is_tail = True  # whether it is what follows the last newline: no whole row
        while position > lowest:
            start = max(lowest, position - _BLOCK)
            file.seek(start)
            begun, *lines = (file.read(position - start) + begun).split(b"\n")
            position = start
            if is_tail and lines:
                is_tail = False
                lines.pop()
            yield from (parse_row(line, path) for line in reversed(lines))
        if position == 0 and begun and not is_tail:
            yield parse_row(begun, path)


def newest_value(path: Path, key: str) -> float | None:
    """What the newest row that knows `key` says of it.

    Raises:
        UserError: if it is no number, or a line on the way is no row.
    """
    return newest_values(path, key)[0]


def newest_values(path: Path, key: str, *beside: str) -> tuple[float | None, ...]:
    """What the newest row that knows `key` says of it and of others beside; None for what it does not know.

    Raises:
        UserError: if one is no number, or a line on the way is no row.
    """
    row = next((row for row in newest_rows(path) if key in row), {})
    for name in (key, *beside):
        if not isinstance(row.get(name, 0), int | float):
            raise UserError(f"{path} is damaged: {name} is no number in it")
    return tuple(row.get(name) for name in (key, *beside))
