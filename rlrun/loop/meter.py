"""Raw episode returns and lengths, for training and evaluation alike.

Observations and rewards of every environment pass through here; values that are not finite are an error before they
are learned from or logged. The Gymnasium adapter checks more, against the declared spaces.
"""

from __future__ import annotations

import numpy as np

from rlrun.errors import FaultyEnvironmentError
from rlrun.numerics.finite import first_unfit, fits_float32
from rlrun.types import Array, BoolArray, Episodes, Float64Array, ObsArray, State, TimeStep, map_obs


class EpisodeMeter:
    """Sums raw rewards and lengths per slot, and reports the episodes that end.

    Args:
        name: of the environment, for messages.
        num_envs: slots, B.
        num_players: of two, returns are those of whoever moves first in an episode; rewards are the mover's.
    """

    def __init__(self, name: str, num_envs: int, num_players: int = 1) -> None:
        self._name, self._num_players = name, num_players
        self.mover = np.ones(num_envs)  # 1 where the first player is to move, -1 where the second one is
        self.running_return = np.zeros(num_envs, np.float64)
        self.running_length = np.zeros(num_envs, np.int64)
        self._ended: list[Episodes] = []

    def record(self, time_step: TimeStep, counts: BoolArray) -> Episodes:
        """Adds one step of every slot; returns the episodes that ended with it, in the slots of the mask `counts` [B].

        Raises:
            FaultyEnvironmentError: if a reward or an observation is not finite.
        """
        self.running_length += 1
        self._check("reward", time_step.reward)
        map_obs(self._check_obs, time_step.next_obs)
        if self._num_players == 1:
            self.running_return += time_step.reward
        else:
            self.running_return += self.mover * time_step.reward
            self.mover[time_step.discount < 0] *= -1.0
        if not time_step.last.any():
            return Episodes.none()
        (slots,) = np.nonzero(time_step.last & counts)
        ended = Episodes(self.running_return[slots], self.running_length[slots], slots)
        self._ended.append(ended)
        self.begun(time_step.obs, time_step.last)
        return ended

    def begun(self, obs: ObsArray, slots: BoolArray) -> None:
        """Episodes begin with `obs` [B, ...] in the slots of the mask [B].

        Raises:
            FaultyEnvironmentError: if an observation is not finite.
        """
        self.running_return[slots] = 0.0
        self.running_length[slots] = 0
        self.mover[slots] = 1.0
        map_obs(self._check_obs, obs)

    def _check_obs(self, obs: Array) -> None:
        self._check("observation", obs)

    def _check(self, what: str, numbers: Array) -> None:
        if fits_float32(numbers):
            return
        slot, *_ = index = first_unfit(numbers)
        time = self.running_length[slot]
        where = f"slot {slot}, step {time} of its episode" if time else f"slot {slot}, at the beginning of an episode"
        raise FaultyEnvironmentError(
            self._name,
            f"its {what} is {numbers[index]:g} ({where}); rewards and observations must be finite in float32",
        )

    def pop(self) -> Episodes:
        """The episodes that ended since the last call."""
        ended, self._ended = self._ended, []
        if not ended:
            return Episodes.none()
        return Episodes(*(np.concatenate(parts) for parts in zip(*ended, strict=True)))

    def state_dict(self) -> State:
        """The running episodes."""
        return {"return": self.running_return.copy(), "length": self.running_length.copy(), "mover": self.mover.copy()}

    def load_state_dict(self, state: State) -> None:
        """Continues in the middle of them."""
        self.running_return, self.running_length, self.mover = state["return"], state["length"], state["mover"]


class DiscountedReturns:
    """The discounted returns of whole episodes from their beginning, to compare with the values that an agent claims.

    Args:
        gamma: discount factor per agent step.
        num_envs: slots, B.
    """

    def __init__(self, gamma: float, num_envs: int) -> None:
        self._gamma = gamma
        self._running, self._weight = np.zeros(num_envs), np.ones(num_envs)
        self._ended: list[Float64Array] = []

    def record(self, time_step: TimeStep, counts: BoolArray) -> None:
        """Adds one step of every slot; episodes that end count in the slots of the mask [B]."""
        self._running += self._weight * time_step.reward
        self._weight *= self._gamma
        last = time_step.last
        if last.any():
            self._ended.append(self._running[last & counts])
            self._running[last], self._weight[last] = 0.0, 1.0

    def all(self) -> Float64Array:
        """Of the episodes that have ended, in this order."""
        return np.concatenate(self._ended)
