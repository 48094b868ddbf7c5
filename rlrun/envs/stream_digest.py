"""A digest of what every slot's running stream has shown: whether a replayed stream is the same one."""

from __future__ import annotations

from struct import Struct
from zlib import crc32

import numpy as np

from rlrun.errors import changed_environment
from rlrun.types import Array, BoolArray, Int64Array

_SCALARS = Struct("<dq")


class StreamDigest:
    """One number for each slot, over everything added since its stream began.

    CRC-32, because it is fast on a few bytes, and it only has to detect changes, not forgery.

    Args:
        num_envs: slots, B.
    """

    def __init__(self, num_envs: int) -> None:
        self._values = [0] * num_envs

    def begin(self, slots: BoolArray) -> None:
        """New streams begin in the slots of the mask [B]."""
        for slot in np.flatnonzero(slots).tolist():
            self._values[slot] = 0

    def add(self, slot: int, reward: float, code: int, shown: Array | None = None) -> None:
        """Adds a step of the slot.

        Args:
            slot: below B.
            reward: unchanged.
            code: everything else that happened, as one number.
            shown: the observation then, in C order; None where reading it would take too long.
        """
        value = crc32(_SCALARS.pack(reward, code), self._values[slot])
        self._values[slot] = value if shown is None else crc32(shown.data, value)

    def values(self) -> Int64Array:
        """[B] a copy."""
        return np.array(self._values, np.int64)

    def check(self, name: str, saved: Int64Array, maybe: str = "") -> None:
        """Checks that the environment called `name` has shown the same as when `saved` [B] was taken.

        Args:
            name: of the environment.
            saved: [B].
            maybe: another possible reason.

        Raises:
            UserError: if it has not.
        """
        (other,) = np.nonzero(self.values() != saved)
        if other.size:
            raise changed_environment(name, f"replayed, slot {other[0]} shows something else", maybe)
