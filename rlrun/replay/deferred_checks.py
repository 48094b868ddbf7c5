"""Checks of a replay's input: at once, or on a GPU later, since reading a result means waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor

_AT_MOST = 256  # calls of `read_sometimes` before results are read


class DeferredChecks:
    """Checks that raise ValueError.

    Args:
        device: where the tensors are.
        later: only `read` raises, and `read_sometimes` now and then.
    """

    def __init__(self, device: torch.device, *, later: bool) -> None:
        self._device = device
        self._later = later
        self._wrong: dict[str, Tensor] = {}  # message -> bool []
        self._waiting = 0

    def equal(self, one: Tensor, other: Tensor, message: str) -> None:
        """Both must be equal."""
        if not self._later or one.shape != other.shape:
            if not torch.equal(one, other):
                raise ValueError(message)
            return
        self._note((one != other).any(), message)

    def all(self, flags: Tensor, message: str) -> None:
        """All must be true."""
        if self._later:
            self._note(~flags.all(), message)
        elif not bool(flags.all()):
            raise ValueError(message)

    def _note(self, wrong: Tensor, message: str) -> None:
        before = self._wrong.get(message)
        self._wrong[message] = wrong if before is None else before | wrong

    def read_sometimes(self) -> None:
        """Every so often, raises ValueError if a check has failed."""
        self._waiting += 1
        if self._waiting >= _AT_MOST:
            self.read()

    def read(self) -> None:
        """Raises ValueError if a check has failed since the last reading."""
        noted, self._wrong, self._waiting = self._wrong, {}, 0
        if noted:
            for message, wrong in zip(noted, torch.stack(list(noted.values())).tolist(), strict=True):
                if wrong:
                    raise ValueError(message)
