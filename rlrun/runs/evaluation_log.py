"""`eval.jsonl` of a run: the evaluations made of its policies after training, one line each."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rlrun.errors import UserError

EVALUATIONS = "eval.jsonl"


def append_evaluation(directory: Path, row: Mapping[str, Any]) -> None:
    """Adds a line, whole or not at all but for a crash of the machine.

    Raises:
        UserError: if it cannot be written.
    """
    path = directory / EVALUATIONS
    line = json.dumps(row, allow_nan=False).encode() + b"\n"
    try:
        with path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            cut_off = size > 0 and file.read(1) != b"\n"  # by a crash or a full disk
            file.write(b"\n" + line if cut_off else line)  # one write: two processes do not mix their lines
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error


def read_evaluations(directory: Path) -> list[dict[str, Any]]:
    """All that are whole, oldest first; none if there is no such file. A line that was cut off is left out."""
    path = directory / EVALUATIONS
    rows = []
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        with suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict) and "protocol" in row:
                rows.append(row)
    return rows
