"""Logs the actions of every slot's running stream: the checkpoint of an environment that cannot save its own state.

What a slot shows is a pure function of (stream seed, actions and restarts since), so a seed and a list of actions is a
complete state, and resuming replays them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlrun.types import BoolArray, Int64Array, State

RESTARTED = -1  # in a history: the running episode was abandoned here by request
_WAITED = -2  # in a row of the log: other slots restarted, not this one


class StreamLog:
    """The seed, the number and the history of each slot's running stream.

    Rows [B] go into one growing table; where a stream began is an offset into it. When the table is full, rows that no
    stream needs any more are dropped first, so it stays at about twice the length of the longest running stream.

    Args:
        num_envs: slots, B.
    """

    def __init__(self, num_envs: int) -> None:
        self.seeds: Int64Array = np.zeros(num_envs, np.int64)  # [B] the seed each running stream began with
        self.numbers: Int64Array = np.zeros(num_envs, np.int64)  # [B] which of its slot's streams is running
        self._steps: Int64Array = np.zeros(num_envs, np.int64)
        self._starts: Int64Array = np.zeros(num_envs, np.int64)  # row at which the stream began
        self._rows: NDArray[np.int32] = np.empty((64, num_envs), np.int32)
        self._length = 0

    def begin(self, slots: BoolArray, seeds: Int64Array, numbers: Int64Array) -> None:
        """New streams begin in the slots of the mask [B]; one seed and one number for each of those, in order."""
        self.seeds[slots] = seeds
        self.numbers[slots] = numbers
        self._steps[slots] = 0
        self._starts[slots] = self._length

    def record(self, action: Int64Array) -> None:
        """Every slot played its action [B]."""
        self._append()[:] = action
        self._steps += 1

    def record_restart(self, slots: BoolArray) -> None:
        """The slots of the mask [B] abandoned their episodes and began new ones inside their streams."""
        self._append()[:] = np.where(slots, RESTARTED, _WAITED)

    def steps_since(self) -> Int64Array:
        """How many actions each running stream has seen, [B]."""
        return self._steps.copy()

    def history(self, slot: int) -> Int64Array:
        """The slot's actions since its stream began, in order, with `RESTARTED` where it restarted."""
        rows = self._rows[self._starts[slot] : self._length, slot]
        history: Int64Array = rows[rows != _WAITED].astype(np.int64)
        return history

    def _append(self) -> NDArray[np.int32]:
        """A free row at the end of the table."""
        if self._length == len(self._rows):
            needed = self._needed()
            self._rows = np.empty((max(64, 2 * len(needed)), len(self.seeds)), np.int32)
            self._rows[: len(needed)] = needed
            self._starts -= self._length - len(needed)
            self._length = len(needed)
        self._length += 1
        row: NDArray[np.int32] = self._rows[self._length - 1]
        return row

    def _needed(self) -> NDArray[np.int32]:
        return self._rows[self._starts.min() : self._length]

    def state_dict(self) -> State:
        """Numpy arrays: seeds, numbers, steps and starts [B], and the rows [N, B] that some stream needs."""
        return {
            "seeds": self.seeds.copy(),
            "numbers": self.numbers.copy(),
            "steps": self._steps.copy(),
            "starts": self._starts - self._starts.min(),
            "rows": self._needed().copy(),
        }

    def load_state_dict(self, state: State) -> None:
        """Continues the log that `state` was taken from; the number of slots must be the same."""
        if state["seeds"].shape != self.seeds.shape:
            raise ValueError(f"the log of {len(state['seeds'])} slots cannot continue in {len(self.seeds)}")
        self.seeds = state["seeds"].copy()
        self.numbers = state["numbers"].copy()
        self._steps = state["steps"].copy()
        self._starts = state["starts"].copy()
        self._rows = state["rows"].copy()
        self._length = len(self._rows)
