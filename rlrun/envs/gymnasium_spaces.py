"""From Gymnasium's spaces to those that agents know, and from what an environment shows to what agents see."""

from __future__ import annotations

import operator
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from rlrun.errors import UserError
from rlrun.types import Array


class Encoding(Protocol):
    """How observations of one space are handed to agents."""

    @property
    def space(self) -> spaces.Box | spaces.Discrete:
        """What agents see."""
        ...

    def encode(self, obs: Any) -> Array:
        """One observation of the environment as an element of `space`: [...] or, for an index, []."""
        ...


class AsArray:
    """Observations that are arrays already; anything but bytes becomes float32.

    Args:
        space: the environment's.
    """

    def __init__(self, space: spaces.Box) -> None:
        floats = spaces.Box(space.low.astype(np.float32), space.high.astype(np.float32), dtype=np.float32)
        self.space: spaces.Box = space if space.dtype == np.uint8 else floats

    def encode(self, obs: Any) -> Array:
        """The same numbers."""
        return np.asarray(obs, self.space.dtype)


class AsIndex:
    """Discrete observations, counted from 0.

    Args:
        space: the environment's.
        env_id: for messages.
    """

    def __init__(self, space: spaces.Discrete, env_id: str) -> None:
        self.space = spaces.Discrete(int(space.n))
        self._first = int(space.start)
        self._env_id = env_id

    def encode(self, obs: Any) -> Array:
        """Counted from 0. Tables would take -1 for their last row, and networks see nothing in what is too large.

        Raises:
            UserError: if it is no index of the space.
        """
        with suppress(TypeError):  # a fraction, a tuple
            index = operator.index(obs) - self._first
            if 0 <= index < self.space.n:
                return np.asarray(index, np.int64)
        raise UserError(
            f"env.id={self._env_id} shows {obs}, which is not in its observation_space ({self.space.n} "
            f"indices from {self._first}): correct the environment"
        )


def encoding_of(space: spaces.Space[Any], env_id: str) -> Encoding:
    """How observations of `space` are handed to agents.

    Raises:
        UserError: if they cannot be.
    """
    if isinstance(space, spaces.Discrete):
        return AsIndex(space, env_id)
    if isinstance(space, spaces.Box):
        return AsArray(space)
    raise UserError(f"env.id={env_id} has observations {space}; only Box and Discrete ones are supported")


def actions_of(space: spaces.Space[Any], env_id: str) -> tuple[spaces.Discrete, int]:
    """The actions as agents count them, from 0, and what to add to get the environment's.

    Raises:
        UserError: if they are not discrete.
    """
    if not isinstance(space, spaces.Discrete):
        raise UserError(f"env.id={env_id} has actions {space}; only Discrete actions are supported")
    return spaces.Discrete(int(space.n)), int(space.start)
