"""How observations are transferred to the device: whole, or only the new part of stacked frames; bit for bit equal.

The transfers to a GPU are experimental: they have only run in simulation on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rlrun.types import Array, EnvSpec, Obs, ObsArray, TimeStep


def as_tensor(array: Array, device: torch.device) -> Tensor:
    """The only place where numpy becomes torch; uint8 stays uint8."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """The same in pinned memory, if it is bound for a GPU, so that the CPU does not wait for the transfer."""
    return tensor.pin_memory() if device.type == "cuda" and tensor.device.type == "cpu" else tensor


class Upload(Protocol):
    """Brings numpy arrays to a device."""

    def array(self, array: Array) -> Tensor:
        """Any array, whole."""
        ...

    def begun(self, obs: ObsArray) -> Obs:
        """Observations after a reset or a restart, whole: they need not follow earlier ones."""
        ...

    def following(self, obs: Obs, time_step: TimeStep) -> Obs:
        """What to act on next, [B, ...].

        Args:
            obs: [B, ...] on the device: the observations acted on.
            time_step: the result.
        """
        ...


class WholeArrays:
    """Everything whole.

    Args:
        device: the destination.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def array(self, array: Array) -> Tensor:
        """See `Upload.array`."""
        return as_tensor(array, self._device)

    def begun(self, obs: Array) -> Tensor:
        """See `Upload.begun`."""
        return as_tensor(obs, self._device)

    def following(self, obs: Tensor, time_step: TimeStep) -> Tensor:
        """See `Upload.following`."""
        del obs
        return as_tensor(time_step.obs, self._device)


class PinnedArrays:
    """The same through pinned memory, so that the CPU does not wait for the GPU.

    Args:
        device: a GPU; anywhere else there is nothing to wait for.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def array(self, array: Array) -> Tensor:
        """See `Upload.array`."""
        return pinned(as_tensor(array, torch.device("cpu")), self._device).to(self._device, non_blocking=True)

    def begun(self, obs: Array) -> Tensor:
        """See `Upload.begun`."""
        return self.array(obs)

    def following(self, obs: Tensor, time_step: TimeStep) -> Tensor:
        """See `Upload.following`."""
        del obs
        return self.array(time_step.obs)


class EachPart:
    """Observations that are dicts, each part by its own transfer.

    Args:
        parts: transfers, by name.
    """

    def __init__(self, parts: Mapping[str, Upload]) -> None:
        self._parts = parts

    def array(self, array: Array) -> Tensor:
        """See `Upload.array`."""
        return self._parts["obs"].array(array)

    def begun(self, obs: ObsArray) -> Obs:
        """See `Upload.begun`."""
        return {name: part.begun(obs[name]) for name, part in self._parts.items()}

    def following(self, obs: Obs, time_step: TimeStep) -> Obs:
        """See `Upload.following`."""
        shown = time_step.obs
        return {
            name: part.following(obs[name], time_step._replace(obs=shown[name])) for name, part in self._parts.items()
        }


class NewestPlanes:
    """Transfers only the newest of stacked frames [B, S, H, W], 1 / S of the bytes; the device assembles the stack.

    Where an episode ended, the next one's first stack is uploaded whole.

    Args:
        device: see `PinnedArrays`.
    """

    def __init__(self, device: torch.device) -> None:
        self._whole = PinnedArrays(device)
        self._shown: Array | None = None  # [B, S, H, W] the latest observations

    def array(self, array: Array) -> Tensor:
        """See `Upload.array`."""
        return self._whole.array(array)

    def begun(self, obs: Array) -> Tensor:
        """See `Upload.begun`."""
        self._shown = obs
        return self.array(obs)

    def following(self, obs: Tensor, time_step: TimeStep) -> Tensor:
        """See `Upload.following`.

        Raises:
            ValueError: if within an episode an observation is not the previous one shifted by one frame.
        """
        shown, last = time_step.obs, time_step.last
        ended = np.flatnonzero(last)
        if self._shown is not None and not _moved(self._shown, shown, last if len(ended) else None):
            raise ValueError("observations must be stacks: each the previous one, shifted by a frame")
        self._shown = shown
        following = torch.cat([obs[:, 1:], self.array(shown[:, -1])[:, None]], 1)
        if len(ended):
            following.index_copy_(0, self.array(ended), self.array(shown[ended]))
        return following


def _moved(before: Array, after: Array, but: Array | None) -> bool:
    """Whether stacks [B, S, H, W] are the previous ones, shifted by a frame, except in the slots `but` [B]."""
    if but is not None:
        before, after = before[~but], after[~but]
    return np.array_equal(before[:, 1:], after[:, :-1])


def upload_to(device: torch.device, spec: EnvSpec) -> Upload:
    """The fastest transfer for this environment's observations."""
    whole: Upload = PinnedArrays(device) if device.type == "cuda" else WholeArrays(device)
    seen: Upload = NewestPlanes(device) if device.type == "cuda" and spec.frame_stack > 1 else whole
    if not isinstance(spec.observation, Mapping):
        return seen
    return EachPart({name: seen if name == "obs" else whole for name in spec.observation})
