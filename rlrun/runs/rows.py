"""One line of `metrics.jsonl` or `timings.jsonl`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rlrun.errors import UserError


def parse_row(line: bytes, path: Path) -> dict[str, Any]:
    """A line of `path` as a row; it has an integer `step`.

    Raises:
        UserError: if it is none.
    """
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UserError(f"{path} is damaged: a line of it is no row") from error
    if not isinstance(row, dict) or not isinstance(row.get("step"), int):
        raise UserError(f"{path} is damaged: a line of it is no row")
    return row
