"""Features of observations for linear functions: one-hot, the observation itself, tile coding, or a user's class.

`Features` maps obs [B, ...] to f(s) [B, F]; `PairFeatures` maps it to f(s, a) for every action, [B, A, F]. A class of
the user's needs `num_features` and `__call__` or `of_pairs`, and may take `spec` and `device` as keyword arguments.
"""

from __future__ import annotations

from typing import Annotated, Protocol

import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field
from torch import Tensor

from rlrun.errors import UserError
from rlrun.types import EnvSpec


class Features(Protocol):
    """f(s)."""

    @property
    def num_features(self) -> int:
        """F."""
        ...

    def __call__(self, obs: Tensor) -> Tensor:
        """Obs [B, ...] to [B, F]."""
        ...


class PairFeatures(Protocol):
    """f(s, a) for every action at once."""

    @property
    def num_features(self) -> int:
        """F."""
        ...

    def of_pairs(self, obs: Tensor) -> Tensor:
        """Obs [B, ...] to [B, A, F]."""
        ...


class OneHot:
    """1 at the number of the state: a linear function of it is a table.

    Args:
        spec: with numbered states.

    Raises:
        UserError: if observations are no numbers.
    """

    def __init__(self, *, spec: EnvSpec) -> None:
        if not isinstance(spec.observation, spaces.Discrete):
            raise UserError(f"one-hot features need numbered states, and {spec.name} shows {spec.observation}")
        self.num_features = int(spec.observation.n)

    def __call__(self, obs: Tensor) -> Tensor:
        """Obs [B] to [B, F] float64."""
        return torch.nn.functional.one_hot(obs, self.num_features).to(torch.float64)


class Flat:
    """The observation itself, flattened.

    Args:
        spec: with boxes as observations.

    Raises:
        UserError: if observations are no boxes.
    """

    def __init__(self, *, spec: EnvSpec) -> None:
        if not isinstance(spec.observation, spaces.Box):
            raise UserError(
                f"flat features need vectors, and {spec.name} shows {spec.observation}; use one-hot features"
            )
        self.num_features = int(np.prod(spec.obs_shape))

    def __call__(self, obs: Tensor) -> Tensor:
        """Obs [B, ...] to [B, F] float64."""
        return obs.reshape(len(obs), -1).to(torch.float64)


class TileCoding:
    """Overlapping grids laid over a box, each shifted a little; 1 in the tile of each that holds the point.

    The shifts are odd multiples (1, 3, 5, ...) of a fraction of a tile along the dimensions, which spreads them evenly
    (Sutton and Barto 2018, section 9.5.4). One more row of tiles takes what the shift pushes out.

    Args:
        num_tilings: T; exactly T features are 1 at a time.
        tiles: along each dimension.
        low: where the box begins, for every dimension; None: as the observation space says.
        high: where it ends; points outside count as on the border.
        spec: with vectors as observations.
        device: where observations live.

    Raises:
        UserError: if the box has no ends, or the numbers do not fit it.
    """

    def __init__(
        self,
        *,
        num_tilings: Annotated[int, Field(gt=0)],
        tiles: Annotated[int, Field(gt=0)],
        low: list[float] | None,
        high: list[float] | None,
        spec: EnvSpec,
        device: torch.device,
    ) -> None:
        space = spec.observation
        if not isinstance(space, spaces.Box) or len(spec.obs_shape) != 1:
            raise UserError(f"tile coding needs vectors, and {spec.name} shows {space}")
        ends = []
        for key, given, default in (("low", low, space.low), ("high", high, space.high)):
            if given is not None and len(given) != spec.obs_shape[0]:
                raise UserError(f"{key} of tile coding has {len(given)} numbers, and observations {spec.obs_shape[0]}")
            ends.append(np.asarray(default if given is None else given, np.float64))
        lows, highs = ends
        if not (np.isfinite(lows) & np.isfinite(highs)).all() or (np.abs(ends) > 1e30).any():
            raise UserError(f"observations of {spec.name} have no ends: give low and high of tile coding")
        if not (lows < highs).all():
            raise UserError("low of tile coding must be below high in every dimension")
        dimensions = spec.obs_shape[0]
        self.num_tilings = num_tilings
        self._low = torch.from_numpy(lows).to(device)
        self._scale = torch.from_numpy(tiles / (highs - lows)).to(device)
        self._tiles = tiles
        odd = 2 * torch.arange(dimensions, dtype=torch.float64) + 1
        shift = torch.arange(num_tilings, dtype=torch.float64)[:, None] * odd / num_tilings
        self._shift = (shift % 1.0).to(device)  # [T, D], in tiles
        side = tiles + 1
        self._stride = (side ** torch.arange(dimensions)).to(device)
        self._tiling = (torch.arange(num_tilings) * side**dimensions).to(device)
        self.num_features = num_tilings * side**dimensions

    def tiles_of(self, obs: Tensor) -> Tensor:
        """Which features are 1: obs [B, D] to [B, T] int64."""
        place = ((obs.to(torch.float64) - self._low) * self._scale).clamp(0.0, self._tiles * (1.0 - 1e-12))  # [B, D]
        cell = (place[:, None, :] + self._shift).floor().to(torch.int64)  # [B, T, D]
        return (cell * self._stride).sum(dim=2) + self._tiling

    def __call__(self, obs: Tensor) -> Tensor:
        """Obs [B, D] to [B, F] float64."""
        features = torch.zeros(len(obs), self.num_features, dtype=torch.float64, device=obs.device)
        features.scatter_(1, self.tiles_of(obs), 1.0)
        return features


class Paired:
    """f(s, a): the features of the state in the block of the action, zeros elsewhere; the bridge to w · f(s, a).

    Args:
        features: of the state.
        spec: the environment's.
    """

    def __init__(self, *, features: Features, spec: EnvSpec) -> None:
        self._features = features
        self._num_actions = spec.num_actions
        self.num_features = features.num_features * spec.num_actions

    def of_pairs(self, obs: Tensor) -> Tensor:
        """Obs [B, ...] to [B, A, A F]."""
        state = self._features(obs)  # [B, F]
        blocks = torch.eye(self._num_actions, dtype=state.dtype, device=state.device)[None, :, :, None]  # [1, A, A, 1]
        return (blocks * state[:, None, None, :]).flatten(2)
