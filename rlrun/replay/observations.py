"""How a replay keeps observations: the contract, and the plain way, which stores every observation twice."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from rlrun.ring import newest, refill
from rlrun.types import EnvSpec, Rollout, State


class ObservationStore(Protocol):
    """Keeps the observations of the newest L times of B slots. Times count from 0 and never wrap.

    Times must be written without gaps; only the newest L may be read.
    """

    def extend(self, start: int, rollout: Rollout) -> None:
        """Writes times start ... start + T - 1, where T <= L."""
        ...

    def gather(self, first: Tensor, final: Tensor, slot: Tensor) -> tuple[Tensor, Tensor]:
        """What was seen at times `first` [N], and the true successors of times `final` [N], in slots `slot` [N].

        Callers that look one step ahead pass one tensor as both, which may be cheaper.

        Returns:
            obs [N, ...] and next_obs [N, ...], which may share memory.
        """
        ...

    def tensors(self) -> list[Tensor]:
        """Everything it allocated."""
        ...

    def state_dict(self, stop: int) -> State:
        """The state when `stop` times were written, as rings that share memory with the store."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Continues exactly; the state is copied."""
        ...


def observation_dtype(spec: EnvSpec) -> torch.dtype:
    """The torch dtype of an environment's observations."""
    dtype: torch.dtype = getattr(torch, str(spec.observation.dtype))
    return dtype


class PlainObservations:
    """Observation and true successor of every step, side by side: simple, and the yardstick for anything cleverer.

    Args:
        length: L, how many times are kept.
        spec: shape and dtype of observations, and the number of slots B.
        device: where they are kept.
    """

    def __init__(self, *, length: int, spec: EnvSpec, device: torch.device) -> None:
        self._length = length
        self._num_envs = spec.num_envs
        shape = (length, spec.num_envs, *spec.obs_shape)
        self._obs = torch.empty(shape, dtype=observation_dtype(spec), device=device)  # [L, B, ...]
        self._next_obs = torch.empty_like(self._obs)  # [L, B, ...]

    def extend(self, start: int, rollout: Rollout) -> None:
        """Writes times start ... start + T - 1."""
        num_steps = rollout.obs.shape[0]
        row = torch.arange(start, start + num_steps, device=self._obs.device) % self._length
        self._obs[row] = rollout.obs
        self._next_obs[row] = rollout.next_obs

    def gather(self, first: Tensor, final: Tensor, slot: Tensor) -> tuple[Tensor, Tensor]:
        """See `ObservationStore.gather`."""

        def pick(source: Tensor, time: Tensor) -> Tensor:
            return source.flatten(0, 1).index_select(0, time % self._length * self._num_envs + slot)

        return pick(self._obs, first), pick(self._next_obs, final)

    def tensors(self) -> list[Tensor]:
        """Everything it allocated."""
        return [self._obs, self._next_obs]

    def state_dict(self, stop: int) -> State:
        """The rows written so far."""
        return {"obs": newest(self._obs, stop), "next_obs": newest(self._next_obs, stop)}

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        for mine, saved in ((self._obs, state["obs"]), (self._next_obs, state["next_obs"])):
            refill(mine, saved)
