"""Where a run computes: which device, with how many threads."""

from __future__ import annotations

from typing import Annotated, Literal

import psutil  # type: ignore[import-untyped]
import torch
from pydantic import Field

from rlrun.errors import UserError


class Device:
    """A computing device, checked for being there.

    Args:
        kind: `auto` is a GPU if there is one, otherwise the CPU.
        num_threads: CPU threads; None is 1 for vector observations (small networks are faster on one) and every
            available core for images.
        deterministic: on a GPU, only kernels that give equal bits from equal runs; the CPU's do anyway.
        compile: `none` runs eagerly.

    Raises:
        UserError: if a GPU is asked for where there is none, or more threads than there are cores.
    """

    def __init__(
        self,
        *,
        kind: Literal["auto", "cpu", "cuda"],
        num_threads: Annotated[int, Field(gt=0)] | None,
        deterministic: bool,
        compile: Literal["none"],  # noqa: A002 (the key that a user reads)
    ) -> None:
        del compile  # one choice so far
        has_cuda = torch.cuda.is_available()
        if kind == "cuda" and not has_cuda:
            raise UserError("device=cuda, but torch finds no NVIDIA GPU here; use device=cpu or device=auto")
        cores = available_cores()
        if num_threads is not None and num_threads > cores:
            raise UserError(f"device.num_threads={num_threads}, but there are {cores} cores available here")
        self.torch_device = torch.device("cuda" if has_cuda and kind != "cpu" else "cpu")
        self._num_threads = num_threads
        self._deterministic = deterministic

    def threads_for(self, obs_shape: tuple[int, ...]) -> int:
        """How many CPU threads suit observations of this shape; images have three dimensions."""
        if self._num_threads is not None:
            return self._num_threads
        return available_cores() if len(obs_shape) >= 3 else 1

    def keep_threads(self, num_threads: int) -> None:
        """Takes as many threads as a run began with, even where there are fewer cores: another number, other bits."""
        self._num_threads = num_threads

    def activate(self, obs_shape: tuple[int, ...]) -> None:
        """Sets up this process for a run with such observations."""
        torch.set_num_threads(self.threads_for(obs_shape))
        if self.torch_device.type == "cuda":
            torch.use_deterministic_algorithms(self._deterministic)
            torch.backends.cudnn.benchmark = not self._deterministic


def available_cores() -> int:
    """Cores that this process may use (fewer than the machine has under `taskset` and batch systems)."""
    process = psutil.Process()
    allowed = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or allowed
    return max(1, min(allowed, physical))
