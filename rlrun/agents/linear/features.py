"""Features of observations for linear functions: one-hot, the observation itself, tile coding, or a user's class.

`Features` maps obs [B, ...] to f(s) [B, F]; `PairFeatures` maps it to f(s, a) for every action, [B, A, F]. A user's
class needs `num_features` and `__call__` or `of_pairs`, and may take `spec` and `device` as keyword arguments; numbers
may have any type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Protocol

import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field
from torch import Tensor

from rlrun.errors import DoesNotFitError, UserError
from rlrun.types import EnvSpec

_MOST_FEATURES = 10_000_000  # 80 MB for each slot and step
_STATES_AT_ONCE = 1000  # computed together; one-hot features of all states at once would take the square of them


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


def count_features(features: Features | PairFeatures) -> int:
    """How many features `features` has.

    Raises:
        UserError: if `num_features` is missing or invalid.
    """
    count: object = getattr(features, "num_features", None)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UserError(
            f"features: {type(features).__name__} must have an attribute num_features that is an integer above 0, not "
            f"{count}"
        )
    return count


def with_bias(state: Tensor) -> Tensor:
    """f(s) with a 1 for the bias: [B, F] to [B, F + 1] float64."""
    state = state.to(torch.float64)
    return torch.cat([state, torch.ones_like(state[:, :1])], dim=1)


def of_states(function: Callable[[Tensor], Tensor], states: Tensor) -> Tensor:
    """`function` of many states [S], a thousand at a time."""
    return torch.cat([function(part) for part in torch.split(states, _STATES_AT_ONCE)])


class OneHot:
    """1 at the state's number: a linear function of it is a table.

    Args:
        spec: with numbered states.

    Raises:
        DoesNotFitError: if states are not numbered.
        UserError: if there are too many.
    """

    def __init__(self, *, spec: EnvSpec) -> None:
        if not isinstance(spec.obs_space, spaces.Discrete):
            raise DoesNotFitError(
                f"one-hot features need numbered states, and {spec.name} shows {spec.shown}: choose observations "
                "that are state numbers, if the environment has them, or other features (Flat, TileCoding)"
            )
        self.num_features = int(spec.obs_space.n)
        if self.num_features > _MOST_FEATURES:
            raise UserError(
                f"{spec.name} has {self.num_features:,} states, but at most {_MOST_FEATURES:,} one-hot features "
                "fit: choose an agent with a network, or wrappers that show less"
            )

    def __call__(self, obs: Tensor) -> Tensor:
        """Obs [B] to [B, F] float64."""
        return torch.nn.functional.one_hot(obs, self.num_features).to(torch.float64)


class Flat:
    """The observation itself, flattened; bytes (pictures, memory) are divided by the largest, as for networks.

    Args:
        spec: with boxes as observations.

    Raises:
        UserError: if observations are not boxes.
    """

    def __init__(self, *, spec: EnvSpec) -> None:
        if not isinstance(spec.obs_space, spaces.Box):
            raise UserError(
                f"flat features need vectors, and {spec.name} shows {spec.shown}: choose the features OneHot"
            )
        self.num_features = int(np.prod(spec.obs_shape))
        self._largest = float(spec.largest_byte)

    def __call__(self, obs: Tensor) -> Tensor:
        """Obs [B, ...] to [B, F] float64."""
        return obs.reshape(len(obs), -1).to(torch.float64) / self._largest


class TileCoding:
    """Overlapping grids over a box, each shifted a little; 1 for the tile of each grid that contains the point.

    Tiling t is shifted by t (1, 3, 5, ...) / T of a tile along the dimensions, modulo one tile, which spreads tilings
    evenly (Sutton and Barto 2018, section 9.5.4). One more row of tiles covers what the shift moves out.

    Args:
        num_tilings: T; exactly T features are 1 at a time. A power of two that is at least 4 times the dimensions is
            good; a dimension whose odd number shares a divisor with T has fewer different shifts.
        tiles: along each dimension.
        low: the lower bounds of the box, one for each dimension; None: the observation space's.
        high: the upper bounds; points outside are moved to the border.
        spec: with vectors as observations.
        device: where observations live.

    Raises:
        UserError: if the box is unbounded, or the numbers do not fit it.
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
        space = spec.obs_space
        if not isinstance(space, spaces.Box) or len(spec.obs_shape) != 1:
            raise UserError(f"tile coding needs vectors, and {spec.name} shows {spec.shown}")
        ends = []
        for key, given, default in (("low", low, space.low), ("high", high, space.high)):
            if given is not None and len(given) != spec.obs_shape[0]:
                raise UserError(
                    f"{key} of tile coding has {len(given)} numbers, but observations have {spec.obs_shape[0]}"
                )
            ends.append(np.asarray(default if given is None else given, np.float64))
        lows, highs = ends
        if not (np.isfinite(lows) & np.isfinite(highs)).all() or (np.abs(ends) > 1e30).any():
            raise UserError(f"observations of {spec.name} are unbounded: set low and high of tile coding")
        if not (lows < highs).all():
            raise UserError("low of tile coding must be below high in every dimension")
        dimensions = spec.obs_shape[0]
        side = tiles + 1
        per_tiling: int = side**dimensions
        self.num_features = num_tilings * per_tiling
        if self.num_features > _MOST_FEATURES:
            raise UserError(
                f"{num_tilings} tilings of {side}^{dimensions} tiles are {self.num_features:,} features, but at most "
                f"{_MOST_FEATURES:,} fit: choose fewer tiles, or choose an agent with a network"
            )
        self.num_tilings = num_tilings
        self._low = torch.from_numpy(lows).to(device)
        self._scale = torch.from_numpy(tiles / (highs - lows)).to(device)
        self._tiles = tiles
        odd = torch.arange(1, 2 * dimensions, 2, dtype=torch.float64)
        shift: Tensor = torch.arange(num_tilings, dtype=torch.float64)[:, None] * odd / num_tilings
        self._shift = shift.remainder(1.0).to(device)  # [T, D], in tiles
        self._stride = torch.tensor([side**dimension for dimension in range(dimensions)], device=device)
        self._tiling = (torch.arange(num_tilings) * per_tiling).to(device)

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
        self.num_features = count_features(features) * spec.num_actions

    def of_pairs(self, obs: Tensor) -> Tensor:
        """Obs [B, ...] to [B, A, A F]."""
        state = self._features(obs)  # [B, F]
        blocks = torch.eye(self._num_actions, dtype=state.dtype, device=state.device)[None, :, :, None]  # [1, A, A, 1]
        return (blocks * state[:, None, None, :]).flatten(2)
