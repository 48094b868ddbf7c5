"""`eval.jsonl` of a run: the evaluations made of its policies after training, one line each."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from rlrun.errors import UserError

EVALUATIONS = "eval.jsonl"
_KEYS = {"protocol", "changed", "checkpoint", "step"}  # of every line


def append_evaluation(directory: Path, row: Mapping[str, Any]) -> None:
    """Adds a line, in place of a last one that was never finished.

    Raises:
        UserError: if it cannot be written.
    """
    path = directory / EVALUATIONS
    line = json.dumps(row, allow_nan=False).encode() + b"\n"
    try:
        with path.open("a+b") as file:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)  # what looks unfinished is not what another process is writing
            _cut_unfinished(file)
            file.write(line)  # one write of the operating system: two processes do not mix their lines
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error


def _cut_unfinished(file: BinaryIO) -> None:
    """Removes what follows the last newline: a crash or a full disk left it, and the next line would be glued to it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 1))
    if file.read(1) not in (b"\n", b""):
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def read_evaluations(directory: Path) -> list[dict[str, Any]]:
    """All of them, oldest first, without a last line that was never finished; none if there is no such file.

    Raises:
        UserError: if the file cannot be read or a complete line is damaged.
    """
    path = directory / EVALUATIONS
    try:
        *lines, _ = path.read_bytes().split(b"\n")
        rows = [json.loads(line) for line in lines]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged: one of its lines is not JSON") from error
    if not all(isinstance(row, dict) and row.keys() >= _KEYS for row in rows):
        raise UserError(f"{path} is damaged: one of its lines is not an evaluation")
    return rows
