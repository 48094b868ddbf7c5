"""Records the actions of training in `episodes.log`, with `record_episodes=true`."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Protocol

import numpy as np

from rlrun.errors import UserError
from rlrun.protocols import Renderable
from rlrun.runs.episode_log import FILE, Block, Header, Records, no_episodes, restarts_at
from rlrun.types import Array, BoolArray, Episodes, Int64Array, State

_LOG = logging.getLogger(__name__)
_BLOCK_ACTIONS = 1 << 15  # in a block: the window of zlib


class Recorder(Protocol):
    """Is told by a collector what it plays."""

    def begin(self, seed: int) -> None:
        """The environment was reset with this seed."""
        ...

    def restarted(self, slots: BoolArray) -> None:
        """The slots of the mask [B] abandoned their episodes and started new ones."""
        ...

    def played(self, action: Int64Array, last: BoolArray, mask: BoolArray, ended: Episodes) -> None:
        """Every slot took its action.

        Args:
            action: [B].
            last: [B] where an episode ended.
            mask: [B] the slots whose steps count.
            ended: the episodes that ended and count.
        """
        ...

    def written(self) -> dict[str, tuple[int, str]]:
        """By file name: how many bytes are safely on disk, and their digest."""
        ...

    def state_dict(self) -> State:
        """What is not in the file yet; to be taken together with `written`."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Continues the file from where `state` was taken; later bytes, which will come again, are dropped."""
        ...

    def close(self) -> None:
        """Writes the rest and syncs it to disk. Closing again has no effect."""
        ...


class NullRecorder:
    """Records nothing."""

    def begin(self, seed: int) -> None:
        """Ignored."""

    def restarted(self, slots: BoolArray) -> None:
        """Ignored."""

    def played(self, action: Int64Array, last: BoolArray, mask: BoolArray, ended: Episodes) -> None:
        """Ignored."""

    def written(self) -> dict[str, tuple[int, str]]:
        """No file."""
        return {}

    def state_dict(self) -> State:
        """Nothing."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Ignored."""

    def close(self) -> None:
        """Nothing is open."""


class EpisodeRecorder:
    """Records the actions of every slot and the episodes that end, in `episodes.log`.

    Blocks end after a fixed number of rows, so the file is the same, byte for byte, however often a run is interrupted.
    A partial block is kept in memory, and in checkpoints.

    Training does not depend on the file. If it is not what the run wrote when the run is resumed, it is set aside and
    nothing more is recorded: rows and episodes are numbered from the start of the run, and streams began earlier.

    Args:
        env: the environment; asked which streams are running.
        directory: of the run; the file is made when the first episode begins.
    """

    def __init__(self, env: Renderable, directory: Path) -> None:
        self._env = env
        self._path = directory / FILE
        num_envs = env.spec.num_envs
        self._header = Header(num_envs, env.spec.num_actions, 0)
        self._rows: Array = np.zeros((max(1, _BLOCK_ACTIONS // num_envs), num_envs), self._header.action_dtype)
        self._filled = 0  # how many of `_rows` hold actions that are not in the file
        self._episodes: list[Records] = []  # that are not in the file
        self._restarts: list[Records] = []  # that are not in the file
        self._row = 0  # the number of the next row
        self._steps = 0  # agent steps that counted
        self._stream: Int64Array = np.zeros(num_envs, np.int64)  # [B] the number of the running stream
        self._stream_row: Int64Array = np.zeros(num_envs, np.int64)  # [B] where it began
        self._first_row: Int64Array = np.zeros(num_envs, np.int64)  # [B] where the running episode began
        self._file: FileIO | None = None  # unbuffered: a failed write is not retried implicitly
        self._lost = False  # the file was missing or changed when the run was resumed
        self._count = 0  # bytes of the header and of whole blocks
        self._digest = hashlib.blake2b(digest_size=16)

    def begin(self, seed: int) -> None:
        """Starts a new file: the environment was reset with this seed."""
        self._header = Header(self._header.num_envs, self._header.num_actions, seed)
        self._open(b"")
        self._write(self._header.encoded())
        self._stream = self._env.stream_numbers()

    def restarted(self, slots: BoolArray) -> None:
        """Records the slots whose streams continue; in the others a new one began."""
        if self._lost:
            return
        numbers = self._env.stream_numbers()
        (inside,) = np.nonzero(slots & (numbers == self._stream))
        if inside.size:
            self._restarts.append(restarts_at(self._row, inside))
        self._begin_episodes(slots, numbers)

    def played(self, action: Int64Array, last: BoolArray, mask: BoolArray, ended: Episodes) -> None:
        """Records one row."""
        if self._lost:
            return
        self._rows[self._filled] = action
        self._filled += 1
        self._steps += int(np.count_nonzero(mask))
        if ended.slots.size:
            self._episodes.append(self._records(ended))
        self._row += 1
        if last.any():
            self._begin_episodes(last, self._env.stream_numbers())
        if self._filled == len(self._rows):
            self._write(self._block().encoded())
            self._filled, self._episodes, self._restarts = 0, [], []

    def _records(self, ended: Episodes) -> Records:
        records = no_episodes(len(ended.slots))
        records["slot"] = ended.slots
        records["stream"] = self._stream[ended.slots]
        records["before"] = self._first_row[ended.slots] - self._stream_row[ended.slots]
        records["length"] = ended.lengths
        records["last_row"] = self._row
        records["step"] = self._steps
        records["episode_return"] = ended.returns
        return records

    def _begin_episodes(self, slots: BoolArray, numbers: Int64Array) -> None:
        self._stream_row[numbers != self._stream] = self._row
        self._stream = numbers
        self._first_row[slots] = self._row

    def _block(self) -> Block:
        """What is not in the file yet."""
        return Block(
            self._rows[: self._filled],
            np.concatenate([no_episodes(), *self._episodes]),
            np.concatenate([restarts_at(0, np.zeros(0, np.int64)), *self._restarts]),
        )

    def _open(self, start: bytes) -> None:
        """Opens the file, which begins with `start`, and truncates it there."""
        self._file = FileIO(self._path, "r+" if self._path.exists() else "w+")
        self._file.truncate(len(start))
        self._file.seek(len(start))
        self._count = len(start)
        self._digest = hashlib.blake2b(start, digest_size=16)

    def _write(self, data: bytes) -> None:
        self._append(data)
        self._digest.update(data)
        self._count += len(data)

    def _append(self, data: bytes) -> None:
        """All of it, or nothing."""
        assert self._file is not None
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(self._count)
                self._file.seek(self._count)
            raise

    def written(self) -> dict[str, tuple[int, str]]:
        """How much of the file is safely on disk."""
        if self._file is None:  # nothing has been played yet, or the file was lost
            return {}
        os.fsync(self._file.fileno())
        return {FILE: (self._count, self._digest.hexdigest())}

    def state_dict(self) -> State:
        """The block that is being filled, and where streams and episodes began; or that the file was lost."""
        if self._lost:
            return {"lost": True}
        block = self._block()
        return {
            "lost": False,
            "count": self._count,
            "digest": self._digest.hexdigest(),
            "seed": self._header.seed,
            "row": self._row,
            "steps": self._steps,
            "stream": self._stream.copy(),
            "stream_row": self._stream_row.copy(),
            "first_row": self._first_row.copy(),
            "actions": block.actions.copy(),
            "episodes": _columns(block.episodes),
            "restarts": _columns(block.restarts),
        }

    def load_state_dict(self, state: State) -> None:
        """Continues the file, if it is the one that `state` was taken with.

        Raises:
            UserError: if nothing was recorded so far.
        """
        if not state:
            raise UserError(
                "this run was started without record_episodes=true, which is not allowed later: leave it out, or start "
                "a new run next to it with fresh=true"
            )
        start = None if state["lost"] else self._start(state["count"], state["digest"])
        if start is None:
            self._give_up()
            return
        self._header = Header(self._header.num_envs, self._header.num_actions, state["seed"])
        self._open(start)
        self._row, self._steps = state["row"], state["steps"]
        self._stream, self._stream_row = state["stream"].copy(), state["stream_row"].copy()
        self._first_row = state["first_row"].copy()
        self._filled = len(state["actions"])
        self._rows[: self._filled] = state["actions"]
        self._episodes = [_from_columns(no_episodes(len(state["episodes"]["slot"])), state["episodes"])]
        self._restarts = [restarts_at(state["restarts"]["row"], state["restarts"]["slot"])]

    def _start(self, count: int, digest: str) -> bytes | None:
        """The first `count` bytes of the file; None if they are not those of the digest."""
        if not self._path.is_file():
            return None
        with self._path.open("rb") as file:
            start = file.read(count)
        return start if hashlib.blake2b(start, digest_size=16).hexdigest() == digest else None

    def _give_up(self) -> None:
        """The run continues without a log. An existing file is damaged or of another run."""
        self._lost = True
        aside = ""
        if self._path.is_file():
            self._path.replace(self._path.with_name(FILE + ".damaged"))
            aside = ", and the file was set aside"
        _LOG.warning(f"{self._path} is not what this run recorded: the rest of this run is not recorded{aside}")

    def close(self) -> None:
        """Writes the partial block; a resumed run writes it again as part of a whole one.

        Raises:
            OSError: if it cannot be written; the file is closed.
        """
        if self._file is None:
            return
        try:
            if self._filled:
                self._append(self._block().encoded())
            os.fsync(self._file.fileno())
        finally:
            self._file.close()
            self._file = None


def _columns(records: Records) -> dict[str, Array]:
    return {name: records[name].copy() for name in records.dtype.names or ()}


def _from_columns(records: Records, columns: dict[str, Array]) -> Records:
    for name, column in columns.items():
        records[name] = column
    return records


NULL_RECORDER = NullRecorder()
