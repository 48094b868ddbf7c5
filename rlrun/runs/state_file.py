"""A file of nested dicts, lists, numbers and arrays: nothing in it can be executed, and a changed byte is detected.

The layout is `MAGIC`, the bytes of the arrays one after another, an index in JSON, its length (8 bytes), and the
BLAKE2b-256 digest of all that. The index is the tree itself, in which an array is represented by its kind, dtype,
shape, codec and position. It comes last, so that a file can be written while it is being compressed.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import torch
from torch import Tensor

from rlrun.errors import UserError
from rlrun.files import write_atomically
from rlrun.types import Array, State

MAGIC = b"rlrun state 1\n"
_DIGEST = 32  # bytes
_LENGTH = 8  # bytes of the index's length
_BLOCK = 1 << 22  # bytes read at a time
_LONG_ROW = 512  # bytes
_In = TypeVar("_In")
_Out = TypeVar("_Out")
_MARK = "$"  # a dict of the index with this key stands for something that JSON lacks


class DamagedFileError(UserError):
    """The file is not what was written."""


def write_state(path: Path, state: State, *, compress: bool) -> str:
    """Writes `state` to `path`, whole or not at all, and returns its digest.

    Args:
        path: of the file; its folder exists.
        state: nested dicts, lists and tuples of None, bool, int, float, str, tensors, and numpy arrays and scalars.
        compress: whether to compress arrays (level 1), those of bytes as differences between rows; uses several cores.

    Raises:
        TypeError: if `state` holds anything else.
        OSError: if it cannot be written; `path` is then unchanged.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST)

    def write(file: BinaryIO) -> None:
        position = 0

        def put(data: bytes | memoryview) -> int:
            nonlocal position
            file.write(data)
            digest.update(data)
            position += len(data)
            return position

        put(MAGIC)
        arrays: list[tuple[dict[str, Any], Tensor | Array]] = []
        index = _encode(state, arrays)
        for (entry, _), packed in zip(arrays, _packed_in_order([value for _, value in arrays], compress), strict=True):
            entry |= {**packed.about, "at": position, "size": len(packed.data)}
            put(packed.data)
        text = json.dumps(index, separators=(",", ":")).encode()
        put(text)
        put(len(text).to_bytes(_LENGTH, "little"))
        file.write(digest.digest())

    write_atomically(path, write)
    return digest.hexdigest()


def read_state(path: Path) -> State:
    """Reads a whole file back: tensors as tensors on the CPU, arrays as arrays, tuples as tuples.

    Raises:
        DamagedFileError: if a byte has changed, or it is not a state file.
    """
    with _opened(path) as file:
        verify(path, file)
        return _index(file, lambda entry: _array(file, entry))


@dataclass(frozen=True, slots=True)
class Unread:
    """An array that is still in its file."""

    path: Path
    entry: Mapping[str, Any]

    def read(self) -> Tensor | Array:
        """The array."""
        with _opened(self.path) as file:
            return _array(file, self.entry)


def read_ahead(unread: Iterable[Unread]) -> Iterator[Tensor | Array]:
    """Reads them in order, a few at a time in parallel: decompression is the slow part."""
    yield from _in_parallel(Unread.read, unread)


def _in_parallel(work: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
    """`work` of each, in order, by a few threads, with only a few in memory."""
    workers = min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[_Out]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def peek_state(path: Path) -> State:
    """The tree with every array `Unread`; nothing is verified, so call `verify` before."""
    with _opened(path) as file:
        return _index(file, lambda entry: Unread(path, entry))


def verify(path: Path, file: BinaryIO | None = None) -> str:
    """Makes sure that no byte has changed, and returns the digest.

    Raises:
        DamagedFileError: if not.
    """
    if file is None:
        with _opened(path) as opened:
            return verify(path, opened)
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        raise DamagedFileError(f"{path} is not a state file of this version of rlrun, or it is damaged")
    digest = hashlib.blake2b(MAGIC, digest_size=_DIGEST)
    left = size - len(MAGIC) - _DIGEST
    while left > 0:
        block = file.read(min(_BLOCK, left))
        if not block:
            break
        digest.update(block)
        left -= len(block)
    if left != 0 or file.read() != digest.digest():
        raise DamagedFileError(f"{path} is damaged: it is not what was written")
    return digest.hexdigest()


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise DamagedFileError(f"{path} cannot be read: {error.strerror}") from error


def _index(file: BinaryIO, array: Callable[[dict[str, Any]], Any]) -> State:
    end = os.fstat(file.fileno()).st_size - _DIGEST - _LENGTH
    file.seek(end)
    length = int.from_bytes(file.read(_LENGTH), "little")
    file.seek(end - length)
    state: State = _decode(json.loads(file.read(length)), array)
    return state


def _encode(value: Any, arrays: list[tuple[dict[str, Any], Tensor | Array]]) -> Any:
    """`value` as JSON; arrays are collected, each with the entry that will say where it is stored."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor | np.ndarray):
        return _deferred(value, arrays)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list):
        return [_encode(item, arrays) for item in value]
    if isinstance(value, tuple):
        return {_MARK: "tuple", "items": [_encode(item, arrays) for item in value]}
    if isinstance(value, dict):
        if all(isinstance(key, str) and key != _MARK for key in value):
            return {key: _encode(item, arrays) for key, item in value.items()}
        return {_MARK: "dict", "items": [[_encode(key, arrays), _encode(item, arrays)] for key, item in value.items()]}
    raise TypeError(f"a state cannot hold a {type(value).__name__}")


def _deferred(value: Tensor | Array, arrays: list[tuple[dict[str, Any], Tensor | Array]]) -> dict[str, Any]:
    entry: dict[str, Any] = {_MARK: "array"}
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        entry = {_MARK: "tensor", "dtype": dtype, "order": _axes_by_stride(value)}
    arrays.append((entry, value))
    return entry


def _as_array(value: Tensor | Array) -> Array:
    """On the CPU, in memory order."""
    if isinstance(value, Tensor):
        tensor = value.detach().cpu().permute(_axes_by_stride(value)).contiguous()
        array: Array = (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
        return array
    return np.ascontiguousarray(value).reshape(value.shape)


@dataclass(frozen=True, slots=True)
class _Packed:
    """The bytes of an array, and what else is needed to read them."""

    about: Mapping[str, Any]
    data: bytes | memoryview


def _packed_in_order(values: list[Tensor | Array], compress: bool) -> Iterator[_Packed]:
    """In order, with only a few at a time in memory, since they may come from a GPU."""
    if compress:
        return _in_parallel(partial(_packed, compress=True), values)
    return (_packed(value, compress=False) for value in values)


def _axes_by_stride(tensor: Tensor) -> list[int]:
    """The axes in memory order, slowest first.

    Kernels choose by strides, and a fused optimizer walks parameter and moments by address: a tensor
    restored with another memory order would train differently, or wrongly.
    """
    strides = tensor.stride()
    return sorted(range(tensor.ndim), key=lambda axis: (-strides[axis], axis))


def _bytes(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _packed(value: Tensor | Array, *, compress: bool) -> _Packed:
    """Consecutive frames hardly change, so their differences are mostly zeros."""
    array = _as_array(value)
    about = {"stored": array.dtype.str, "shape": list(array.shape)}
    if not compress:
        return _Packed({**about, "codec": "raw"}, _bytes(array))
    if array.dtype == np.uint8 and array.ndim > 1 and len(array) > 1:
        difference = array.copy()
        difference[1:] ^= array[:-1]
        return _Packed({**about, "codec": "xor+zlib"}, zlib.compress(_bytes(difference), 1))
    return _Packed({**about, "codec": "zlib"}, zlib.compress(_bytes(array), 1))


def _array(file: BinaryIO, entry: Mapping[str, Any]) -> Tensor | Array:
    file.seek(entry["at"])
    data = file.read(entry["size"])
    if entry["codec"] != "raw":
        data = zlib.decompress(data)
    array = np.frombuffer(bytearray(data), np.dtype(entry["stored"])).reshape(entry["shape"])
    if entry["codec"] == "xor+zlib":
        _undo_differences(array)
    if entry[_MARK] == "array":
        return array
    tensor = torch.from_numpy(array)
    if entry["dtype"] == "bfloat16":
        tensor = tensor.view(torch.bfloat16)
    return tensor.permute([entry["order"].index(axis) for axis in range(tensor.ndim)])


def _undo_differences(array: Array) -> None:
    """Row by row if rows are long: NumPy's `accumulate` works column by column, ten times slower."""
    if array[0].nbytes < _LONG_ROW:
        np.bitwise_xor.accumulate(array, axis=0, out=array)
        return
    for row in range(1, len(array)):
        np.bitwise_xor(array[row], array[row - 1], out=array[row])


def _decode(value: Any, array: Callable[[dict[str, Any]], Any]) -> Any:
    if isinstance(value, list):
        return [_decode(item, array) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(_MARK)
    if kind is None:
        return {key: _decode(item, array) for key, item in value.items()}
    if kind == "tuple":
        return tuple(_decode(item, array) for item in value["items"])
    if kind == "dict":
        return {_decode(key, array): _decode(item, array) for key, item in value["items"]}
    return array(value)


def leaves(state: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every leaf of nested dicts, lists and tuples, with the path of keys to it."""
    if isinstance(state, dict):
        for key, value in state.items():
            yield from leaves(value, (*path, key))
    elif isinstance(state, list | tuple):
        for number, value in enumerate(state):
            yield from leaves(value, (*path, number))
    else:
        yield path, state
