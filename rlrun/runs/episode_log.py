"""The file of all actions taken in training, from which any episode can be replayed.

The layout is `MAGIC`, a line of JSON, and blocks: a length (4 bytes), then that many bytes of zlib data. A
block holds T rows of actions, one action per slot, and the events at those rows: episodes that ended, and restarts
within a stream. Rows are numbered from 0 through the whole file. Everything is little-endian.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlrun.errors import UserError
from rlrun.types import Array, Int64Array

FILE = "episodes.log"
MAGIC = b"rlrun episodes 1\n"
RESTARTED = -1  # in a history: the running episode was abandoned here by request
_LEVEL = 6  # of zlib; 9 takes ten times as long for the same size
_LENGTH, _COUNTS = struct.Struct("<I"), struct.Struct("<III")  # of a block; of its rows, episodes and restarts
_EPISODE = np.dtype(
    [
        ("slot", "<i4"),
        ("stream", "<i8"),  # its number within the slot
        ("before", "<i8"),  # rows of the stream before the episode
        ("length", "<i8"),  # rows of the episode
        ("last_row", "<i8"),  # where it ended
        ("step", "<i8"),  # agent steps of the run, over all slots, when it ended
        ("episode_return", "<f8"),
    ]
)
_RESTART = np.dtype([("row", "<i8"), ("slot", "<i4")])  # before the action of this row
_ASCENDING = ("last_row", "step", "row")  # columns that are stored as differences
Records = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Header:
    """What is needed to read a log: the numbers of slots and actions, and the seed of the environment."""

    num_envs: int
    num_actions: int
    seed: int

    @property
    def action_dtype(self) -> np.dtype[Any]:
        """The smallest unsigned type that holds every action."""
        return np.min_scalar_type(max(self.num_actions - 1, 0)).newbyteorder("<")

    def check(self) -> None:
        """Checks that it is a valid header.

        Raises:
            ValueError: if not.
        """
        for name, least in (("num_envs", 1), ("num_actions", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"its header has {name}={value!r}")

    def encoded(self) -> bytes:
        """The beginning of the file."""
        fields = {"num_envs": self.num_envs, "num_actions": self.num_actions, "seed": self.seed}
        return MAGIC + json.dumps(fields).encode() + b"\n"


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive rows, and the events at them."""

    actions: Array  # [T, B]
    episodes: Records  # [N], ordered by time, then slot
    restarts: Records  # [R], ordered by time, then slot

    def encoded(self) -> bytes:
        """With its length in front; slot by slot and column by column, byte planes in order, which compresses best."""
        parts = [_COUNTS.pack(len(self.actions), len(self.episodes), len(self.restarts)), self.actions.T.tobytes()]
        parts += [_planes(records, name) for records in (self.episodes, self.restarts) for name in _names(records)]
        data = zlib.compress(b"".join(parts), _LEVEL)
        return _LENGTH.pack(len(data)) + data


def no_episodes(count: int = 0) -> Records:
    """Empty records for `count` episodes."""
    return np.zeros(count, _EPISODE)


def restarts_at(row: int, slots: Int64Array) -> Records:
    """Records of restarts before the action of `row`."""
    records = np.zeros(len(slots), _RESTART)
    records["row"], records["slot"] = row, slots
    return records


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """An episode, and all actions of its slot since the beginning of its stream."""

    number: int  # from 1, in the order in which they ended; those masked by a rollout are not numbered
    slot: int
    stream: int  # the stream's number within the slot
    step: int  # agent steps of the run, over all slots, when it ended
    episode_return: float  # sum of raw rewards, undiscounted
    length: int  # agent steps
    history: Int64Array  # [K] actions since the stream began, up to the episode's last; `RESTARTED` between them
    start: int  # how many entries of `history` precede the episode


@dataclass(frozen=True, slots=True, eq=False)
class EpisodeLog:
    """The content of a file."""

    path: Path
    header: Header
    actions: Array  # [T, B]
    episodes: Records  # [N]
    restarts: Records  # [R]

    def __len__(self) -> int:
        """The number of episodes."""
        return len(self.episodes)

    @property
    def best(self) -> int:
        """The number of the first episode with the highest return."""
        return int(np.argmax(self.episodes["episode_return"])) + 1

    def episode(self, number: int) -> Episode:
        """The episode with this number, from 1."""
        record = self.episodes[number - 1]
        slot, stop = int(record["slot"]), int(record["last_row"]) + 1
        first = stop - int(record["length"])
        begun = first - int(record["before"])
        ours = self.restarts["row"][self.restarts["slot"] == slot]
        ours = ours[(ours > begun) & (ours < stop)]
        history = np.insert(self.actions[begun:stop, slot].astype(np.int64), ours - begun, RESTARTED)
        return Episode(
            number=number,
            slot=slot,
            stream=int(record["stream"]),
            step=int(record["step"]),
            episode_return=float(record["episode_return"]),
            length=stop - first,
            history=history,
            start=first - begun + int((ours <= first).sum()),
        )


def read_episode_log(path: Path) -> EpisodeLog:
    """Reads a file as far as it was written; an incomplete last block is left out.

    A truncated file looks the same as one that is still being written.

    Raises:
        UserError: if it is not an episode log, or damaged.
    """
    data = path.read_bytes()
    end = data.find(b"\n", len(MAGIC)) + 1
    if not data.startswith(MAGIC) or end == 0:
        raise UserError(f"{path} is not an episode log of this version of rlrun, or it is damaged")
    try:
        header = Header(**json.loads(data[len(MAGIC) : end]))
        header.check()
        blocks = [_decoded(block, header) for block in _blocks(data, end)]
    except (zlib.error, ValueError, TypeError, struct.error) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    nothing = Block(np.zeros((0, header.num_envs), header.action_dtype), no_episodes(), np.zeros(0, _RESTART))
    return EpisodeLog(
        path,
        header,
        np.concatenate([block.actions for block in [nothing, *blocks]]),
        np.concatenate([block.episodes for block in [nothing, *blocks]]),
        np.concatenate([block.restarts for block in [nothing, *blocks]]),
    )


def _blocks(data: bytes, place: int) -> Iterator[bytes]:
    while place + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        stream = zlib.decompressobj()  # it finds its own end: the length itself may be damaged
        block = stream.decompress(data[place : place + length])
        place += length
        if not stream.eof and place > len(data):
            return
        if not stream.eof or stream.unused_data or place > len(data):
            raise ValueError(f"a block does not have the length given at byte {place - length - _LENGTH.size:,}")
        yield block


def _decoded(data: bytes, header: Header) -> Block:
    rows, episodes, restarts = _COUNTS.unpack_from(data)
    place = _COUNTS.size
    actions = np.frombuffer(data, header.action_dtype, rows * header.num_envs, place)
    place += actions.nbytes
    found, place = _records(data, place, _EPISODE, episodes)
    restarted, _ = _records(data, place, _RESTART, restarts)
    return Block(actions.reshape(header.num_envs, rows).T, found, restarted)


def _records(data: bytes, place: int, dtype: np.dtype[Any], count: int) -> tuple[Records, int]:
    records = np.zeros(count, dtype)
    for name in _names(records):
        dtype = records[name].dtype
        planes = np.frombuffer(data, np.uint8, count * dtype.itemsize, place).reshape(dtype.itemsize, count)
        column = np.ascontiguousarray(planes.T).view(dtype)[:, 0] if count else np.zeros(0, dtype)
        records[name] = np.cumsum(column) if name in _ASCENDING else column
        place += planes.size
    return records, place


def _planes(records: Records, name: str) -> bytes:
    """A column as byte planes: the first bytes of all numbers, then the second ones, and so on."""
    column = np.ascontiguousarray(records[name])
    if name in _ASCENDING:
        column = np.diff(column, prepend=np.zeros(1, column.dtype))
    return column.view(np.uint8).reshape(len(column), column.dtype.itemsize).T.tobytes()


def _names(records: Records) -> tuple[str, ...]:
    names = records.dtype.names
    assert names is not None
    return names
