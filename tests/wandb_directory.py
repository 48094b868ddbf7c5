"""Reads what wandb wrote offline: records in LevelDB's log format, each a protobuf message of wandb's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any

_HEADER, _BLOCK, _RECORD = 7, 1 << 15, 7  # bytes: of the file, of a block, before a piece of a record
_WHOLE, _FIRST, _LAST = 1, 2, 4


def records(directory: Path) -> list[Any]:
    """The records of the only run that was logged offline in `directory`, once wandb's process has written the last."""
    for _ in range(600):
        found = list(_records(directory))
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        sleep(0.1)
    raise TimeoutError(f"wandb has not ended its file: {[record.WhichOneof('record_type') for record in found]}")


def _records(directory: Path) -> Iterator[Any]:
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]  # it is made when it is imported

    (path,) = directory.glob("wandb/offline-run-*/*.wandb")
    data = path.read_bytes()
    assert data.startswith(b":W&B")
    position, begun = _HEADER, b""
    while position + _RECORD <= len(data):
        if _BLOCK - position % _BLOCK < _RECORD:  # a piece never begins so close to the end of a block
            position += _BLOCK - position % _BLOCK
            continue
        length, kind = int.from_bytes(data[position + 4 : position + 6], "little"), data[position + 6]
        if kind == 0:
            return
        piece = data[position + _RECORD : position + _RECORD + length]
        position += _RECORD + length
        begun = piece if kind in (_WHOLE, _FIRST) else begun + piece
        if kind in (_WHOLE, _LAST):
            record = Record()
            record.ParseFromString(begun)
            yield record


def history(directory: Path) -> list[dict[str, Any]]:
    """Rows with their `_step`, without wandb's own clocks."""
    rows = []
    for record in records(directory):
        if record.WhichOneof("record_type") == "history":
            items = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            items.setdefault("_step", record.history.step.num)
            rows.append({key: items[key] for key in items if key not in ("_timestamp", "_runtime")})
    return rows
