"""`eval.jsonl` of a run: the evaluations made of its policies after training, one line each."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
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
        with path.open("ab") as file:
            file.write(line)  # one write of the operating system: two processes do not mix their lines
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error


def read_evaluations(directory: Path) -> list[dict[str, Any]]:
    """All of them, oldest first; none if there is no such file.

    Raises:
        UserError: if a line is damaged.
    """
    path = directory / EVALUATIONS
    if not path.is_file():
        return []
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise UserError(f"{path} is damaged: one of its lines is not JSON") from error
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} is damaged: one of its lines is not an evaluation")
    return rows
