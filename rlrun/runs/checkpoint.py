"""Checkpoints of a run: the last few, verified before they are loaded, replays saved incrementally.

    checkpoints/step-5000.state     everything that training depends on, except the contents of replays
    checkpoints/replay-5000-1.part  the rows added to replays since the previous checkpoint

A checkpoint names the parts that it needs, with their digests. Parts are written before the checkpoint that needs them
and removed after the last one that did, so a kill at any moment leaves only whole checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from rlrun.errors import UserError
from rlrun.files import sync_directory, why_not_written
from rlrun.replay.ring import Ring
from rlrun.runs.state_file import DamagedFileError, leaves, peek_state, read_ahead, read_state, verify, write_state
from rlrun.types import State

FORMAT = 2  # of the content; 1 had neither the intended length of the run nor digests of what streams showed
_NAME = re.compile(r"step-(\d+)\.state")
ROWS = "__rows__"  # a dict with this key stands for a ring whose rows are stored in parts
_PIECE_BYTES = 1 << 25  # of one array in a part: the unit of compression


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSettings:
    """How often to save (`checkpoint` in the config).

    Args:
        every_seconds: wall time between checkpoints; longer where saving would take more than 3% of the time.
        keep: how many of the newest checkpoints are kept.
    """

    every_seconds: Annotated[float, Field(gt=0)]
    keep: Annotated[int, Field(gt=0)]


@dataclass(frozen=True, slots=True)
class Part:
    """A file of rows, and which rows of which ring: `holds[ring] = (first, stop)`."""

    name: str
    digest: str
    holds: Mapping[str, tuple[int, int]]

    def as_plain(self) -> State:
        """As stored in a checkpoint."""
        return {"name": self.name, "digest": self.digest, "holds": dict(self.holds)}


@dataclass(frozen=True, slots=True, eq=False)
class SavedRows:
    """The rows of one ring, read from its parts one piece at a time."""

    ring: str
    first: int
    stop: int
    parts: tuple[Path, ...]  # oldest first

    def pieces(self) -> Iterator[tuple[int, Tensor]]:
        """Oldest first, without rows that are no longer needed."""
        saved = [piece for path in self.parts for piece in peek_state(path)[self.ring]]
        for (number, _), rows in zip(saved, read_ahead(unread for _, unread in saved), strict=True):
            assert isinstance(rows, Tensor)
            skip = max(0, self.first - number)
            if skip < rows.shape[0]:
                yield number + skip, rows[skip:]


class Checkpoints:
    """The checkpoints of one run.

    Args:
        directory: of the run; its folder `checkpoints` is created with the first one.
        belongs_to: identifies the run: the experiment's hash and the seed.
        keep: how many of the newest are kept.
    """

    def __init__(self, directory: Path, belongs_to: Mapping[str, Any], keep: int) -> None:
        self.folder = directory / "checkpoints"
        self._belongs_to = dict(belongs_to)
        self._keep = keep
        self._parts: list[Part] = []  # of the newest checkpoint
        self._needs: dict[str, list[str]] = {}  # names of parts, by name of the checkpoint that needs them

    def save(self, step: int, state: State) -> None:
        """Writes the checkpoint of `step`, then removes what is no longer needed.

        Raises:
            UserError: if it cannot be written; earlier ones are unchanged.
        """
        try:
            if not self.folder.exists():
                self.folder.mkdir()
                sync_directory(self.folder.parent)
            rings = {_joined(path): leaf for path, leaf in leaves(state) if isinstance(leaf, Ring)}
            self._parts = self._still_needed(rings) + self._new_part(step, rings)
            path = self.folder / f"step-{step}.state"
            content = {
                "format": FORMAT,
                "belongs_to": self._belongs_to,
                "step": step,
                "parts": [part.as_plain() for part in self._parts],
                "state": _without_rings(state, ()),
            }
            write_state(path, content, compress=False)
            self._needs[path.name] = [part.name for part in self._parts]
            self._tidy()
        except OSError as error:
            raise UserError(why_not_written(f"the checkpoint of step {step:,} in {self.folder}", error)) from error

    def _still_needed(self, rings: Mapping[str, Ring]) -> list[Part]:
        return [
            part
            for part in self._parts
            if any(name in rings and stop > rings[name].first for name, (_, stop) in part.holds.items())
        ]

    def _new_part(self, step: int, rings: Mapping[str, Ring]) -> list[Part]:
        saved = {
            name: max((part.holds[name][1] for part in self._parts if name in part.holds), default=0) for name in rings
        }
        holds = {
            name: (max(ring.first, saved[name]), ring.stop)
            for name, ring in rings.items()
            if ring.stop > max(ring.first, saved[name])
        }
        if not holds:
            return []
        content = {name: list(_cut(rings[name], first)) for name, (first, _) in holds.items()}
        names = (f"replay-{step}-{number}.part" for number in count(1))
        name = next(name for name in names if not (self.folder / name).exists())  # an existing part may still be needed
        return [Part(name, write_state(self.folder / name, content, compress=True), holds)]

    def _tidy(self) -> None:
        """Removes old checkpoints, then parts that no checkpoint needs."""
        for old in self.paths()[: -self._keep]:
            old.unlink()
        needed = {name for path in self.paths() for name in self._needed_by(path)}
        for path in self.folder.glob("*.part"):
            if path.name not in needed:
                path.unlink()
        for path in self.folder.glob("*.tmp"):
            path.unlink()

    def _needed_by(self, path: Path) -> list[str]:
        if path.name not in self._needs:  # from before this process
            try:
                self._needs[path.name] = [part["name"] for part in read_state(path)["parts"]]
            except DamagedFileError:
                self._needs[path.name] = []  # it is unusable either way
        return self._needs[path.name]

    def paths(self) -> list[Path]:
        """All checkpoint files, oldest first, whether sound or not."""
        found = [(int(match[1]), path) for path in self.folder.glob("*") if (match := _NAME.fullmatch(path.name))]
        return [path for _, path in sorted(found)]

    def newest_sound(
        self,
        warn: Callable[[str], object],
        accept: Callable[[State], object] = lambda state: None,
        *,
        move_aside: bool = True,
    ) -> State | None:
        """The newest checkpoint that is intact and belongs to this run; None if there are no checkpoints at all.

        Each one that is skipped is reported by `warn(line)`.

        Args:
            warn: called for each that cannot be used.
            accept: raises UserError for a state that is unusable for other reasons.
            move_aside: renames newer ones that cannot be used, which the resumed run would otherwise collide with.

        Raises:
            UserError: if there are checkpoints, and none is sound.
        """
        problems: list[tuple[Path, UserError]] = []
        for path in reversed(self.paths()):
            try:
                content = self._checked(path)
                accept(content["state"])
            except UserError as error:
                problems.append((path, error))
                continue
            for _, problem in problems:
                warn(f"{problem}; resuming from step {content['step']:,}")
            if move_aside and problems:
                self._set_aside([bad for bad, _ in problems])
            self._parts = [Part(part["name"], part["digest"], part["holds"]) for part in content["parts"]]
            state: State = self._with_rows(content["state"], self._parts)
            return state
        if problems:
            raise UserError(f"no checkpoint can be used: {problems[0][1]}; fresh=true starts a new run next to it")
        return None

    def _set_aside(self, bad: list[Path]) -> None:
        """Keeps unusable checkpoints for inspection, and only the latest of them."""
        for older in self.folder.glob("*.damaged"):
            older.unlink()
        for path in bad:
            path.rename(path.with_name(path.name + ".damaged"))

    def _checked(self, path: Path) -> State:
        content = read_state(path)
        if content.get("format") != FORMAT:
            raise UserError(f"{path} is a checkpoint of another version of rlrun")
        for key, mine in self._belongs_to.items():
            theirs = content["belongs_to"].get(key)
            if theirs != mine:
                raise UserError(f"{path} belongs to another run: its {key} is {theirs}, not {mine}")
        for part in content["parts"]:
            if verify(self.folder / part["name"]) != part["digest"]:
                raise DamagedFileError(f"{self.folder / part['name']} is not the file that {path.name} refers to")
        return content

    def _with_rows(self, value: Any, parts: list[Part]) -> Any:
        if isinstance(value, dict):
            if set(value) == {ROWS}:
                ring, first, stop = value[ROWS]
                files = tuple(self.folder / part.name for part in parts if ring in part.holds)
                return SavedRows(ring, first, stop, files)
            return {key: self._with_rows(item, parts) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._with_rows(item, parts) for item in value)
        return value


def _cut(ring: Ring, number: int) -> Iterator[tuple[int, Tensor]]:
    """Pieces from row `number`, small enough to be compressed in parallel."""
    for start, rows in ring.pieces_from(number):
        together = max(1, _PIECE_BYTES // max(1, rows[0].nbytes))
        for offset in range(0, rows.shape[0], together):
            yield start + offset, rows[offset : offset + together]


def _joined(path: tuple[str | int, ...]) -> str:
    return "/".join(map(str, path))


def _without_rings(value: Any, path: tuple[str | int, ...]) -> Any:
    if isinstance(value, Ring):
        return {ROWS: [_joined(path), value.first, value.stop]}
    if isinstance(value, dict):
        return {key: _without_rings(item, (*path, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_without_rings(item, (*path, number)) for number, item in enumerate(value))
    return value
