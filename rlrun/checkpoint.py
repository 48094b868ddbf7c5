"""Checkpoints: one file, written atomically, read back without unpickling anything but tensors and plain values."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from rlrun.errors import UserError
from rlrun.types import State

_NAME = re.compile(r"checkpoint-(\d+)\.pt")
_ARRAY = "__ndarray__"


def _without_numpy(value: Any) -> Any:
    """Arrays as marked tensors, numpy scalars as numbers: what `weights_only` loading accepts."""
    if isinstance(value, np.ndarray):
        return {_ARRAY: torch.from_numpy(np.ascontiguousarray(value)).reshape(value.shape)}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _without_numpy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_without_numpy(item) for item in value)
    return value


def _with_numpy(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {_ARRAY}:
            return value[_ARRAY].numpy()
        return {key: _with_numpy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_with_numpy(item) for item in value)
    return value


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Calls `write(file)` on a temporary neighbour, syncs it and renames it: `path` is whole or not there."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def checkpoints(directory: Path) -> list[Path]:
    """The checkpoints in `directory`, oldest first."""
    found = [
        (int(match[1]), path) for path in directory.glob("checkpoint-*.pt") if (match := _NAME.fullmatch(path.name))
    ]
    return [path for _, path in sorted(found)]


def save_checkpoint(directory: Path, step: int, state: State, keep: int) -> Path:
    """Writes the checkpoint of `step` and then removes all but the newest `keep`."""
    path = directory / f"checkpoint-{step}.pt"
    write_atomically(path, lambda file: torch.save(_without_numpy(state), file))
    for old in checkpoints(directory)[:-keep]:
        old.unlink()
    return path


def load_checkpoint(path: Path) -> State:
    """Reads a checkpoint; only tensors and plain values are accepted from the file.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        state: State = _with_numpy(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise UserError(f"{path} cannot be read as a checkpoint ({error}); remove it to use the one before") from error
    return state
