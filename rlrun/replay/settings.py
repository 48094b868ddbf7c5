"""A replay's settings: how much it keeps and where, and how often it is learned from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from rlrun.annotations import BEFORE_END, AtMost, Takes, used_when
from rlrun.errors import ArgumentError
from rlrun.replay.disk import StorageFolder, StorageKind, open_storage
from rlrun.replay.memory import estimate_bytes, observation_bytes
from rlrun.replay.uniform import UniformReplay
from rlrun.types import EnvSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings:
    """A replay memory, to be opened for an environment, and the ratio at which an agent learns from it.

    Args:
        capacity_steps: capacity, in agent steps.
        batch_size: transitions per update.
        ratio: transitions learned from per transition collected; batch 32 and one update per 4 steps make 8.
        learning_starts_steps: agent steps before the first update.
        storage: where observations are kept: in the device's `memory`, or in a file on `disk`, which may be larger.
        folder: a directory whose disk holds the file of `storage=disk`; None: the disk of the run.
        learns: False for an agent that only acts: as little room as possible is taken, and nothing is kept.

    Raises:
        ArgumentError: if a batch is larger than the replay.
    """

    capacity_steps: Annotated[int, Field(gt=0), Takes(10)]
    batch_size: Annotated[int, Field(gt=0), AtMost("capacity_steps")]
    ratio: Annotated[float, Field(gt=0)]
    learning_starts_steps: Annotated[int, Field(ge=1), BEFORE_END]
    storage: StorageKind
    folder: Annotated[StorageFolder | None, used_when(storage="disk")]
    learns: bool = True

    def __post_init__(self) -> None:
        if self.batch_size > self.capacity_steps:
            raise ArgumentError(
                "batch_size", f"={self.batch_size} is more than capacity_steps={self.capacity_steps} holds"
            )

    def memory_bytes(self, spec: EnvSpec) -> int:
        """The bytes of memory that it takes, for observations of `spec`."""
        everything = estimate_bytes(spec, self.capacity_steps)
        return everything if self.storage == "memory" else everything - observation_bytes(spec, self.capacity_steps)

    def open(
        self,
        spec: EnvSpec,
        device: torch.device,
        directory: Path,
        *,
        n_step: int,
        gamma: float,
        keep: Collection[str] = (),
    ) -> UniformReplay:
        """The replay itself, empty.

        Args:
            spec: the environment's.
            device: of the batches.
            directory: of the run.
            n_step: rewards summed before bootstrapping.
            gamma: discount factor per agent step.
            keep: names of extras of `spec` that the agent learns from.

        Raises:
            ArgumentError: if learning would start before a transition is complete, or there is not enough room.
        """
        if self.learning_starts_steps < n_step * spec.num_envs:
            raise ArgumentError(
                "learning_starts_steps",
                f"={self.learning_starts_steps} is too early: {n_step}-step returns in {spec.num_envs} environments "
                f"need at least {n_step * spec.num_envs} steps",
            )
        return UniformReplay(
            capacity_steps=self.capacity_steps if self.learns else n_step * spec.num_envs,
            n_step=n_step,
            gamma=gamma,
            spec=spec,
            device=device,
            storage=open_storage(self.storage if self.learns else "memory", self.folder, directory, device),
            keep=keep,
            fixed_shapes=device.type == "cuda",
        )


class UpdatesDue:
    """Counts the updates that are due.

    Args:
        settings: the ratio and the start.
    """

    def __init__(self, settings: ReplaySettings) -> None:
        self._starts_steps = settings.learning_starts_steps
        self._per_step = settings.ratio / settings.batch_size
        self.owed = 0.0  # the fraction of an update carried over

    def after(self, num_steps: int, steps: int) -> int:
        """How many are due after `num_steps` more steps, `steps` in total; no burst at the start."""
        if steps < self._starts_steps:
            return 0
        self.owed += num_steps * self._per_step
        due = int(self.owed)
        self.owed -= due
        return due
