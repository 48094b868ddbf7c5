"""Raw episode returns and lengths, counted in one place for training and evaluation alike."""

from __future__ import annotations

import numpy as np

from rlrun.types import BoolArray, Episodes, TimeStep


class EpisodeMeter:
    """Adds up raw rewards and lengths per slot, and reports the episodes that end."""

    def __init__(self, num_envs: int) -> None:
        self.running_return = np.zeros(num_envs, np.float64)
        self.running_length = np.zeros(num_envs, np.int64)
        self._ended: list[Episodes] = []

    def record(self, time_step: TimeStep, counts: BoolArray) -> Episodes:
        """Adds one step of every slot; returns the episodes that ended with it, of slots in `counts` [B] only."""
        self.running_return += time_step.reward
        self.running_length += 1
        if not time_step.last.any():
            return Episodes.none()
        (slots,) = np.nonzero(time_step.last & counts)
        ended = Episodes(self.running_return[slots], self.running_length[slots], slots)
        self._ended.append(ended)
        self.forget(time_step.last)
        return ended

    def forget(self, slots: BoolArray) -> None:
        """Starts from nothing in the slots of the mask [B]."""
        self.running_return[slots] = 0.0
        self.running_length[slots] = 0

    def pop(self) -> Episodes:
        """The episodes that ended since the last call."""
        ended, self._ended = self._ended, []
        if not ended:
            return Episodes.none()
        return Episodes(*(np.concatenate(parts) for parts in zip(*ended, strict=True)))
