"""How far a run has come, and what it has yet to log: what a checkpoint holds besides agent and collector."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rlrun.errors import UserError
from rlrun.runs.episode_log import FILE
from rlrun.runs.loggers import Written
from rlrun.types import Metrics, Progress, State


@dataclass(slots=True)
class Window:
    """Metrics and episodes since the last row; metrics are read from the device only when a row is due."""

    metrics: list[Metrics] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)

    def add(self, progress: Progress) -> None:
        """Adds one iteration of the loop."""
        self.metrics.append(progress.metrics)
        self.returns.extend(progress.episodes.returns.tolist())
        self.lengths.extend(progress.episodes.lengths.tolist())

    def state_dict(self) -> State:
        """What the next row is computed from; metrics as float64, in which means are taken."""
        metrics = [{key: float(value) for key, value in metrics.items()} for metrics in self.metrics]
        return {"metrics": metrics, "returns": self.returns, "lengths": self.lengths}

    def load_state_dict(self, state: State) -> None:
        """Restores the row in progress."""
        self.metrics = list(state["metrics"])
        self.returns, self.lengths = list(state["returns"]), list(state["lengths"])

    def row(self) -> dict[str, float]:
        """Means over iterations and over episodes.

        Raises:
            UserError: if one of them is not finite.
        """
        row: dict[str, float] = {}
        if self.returns:
            row["train/episode_return"] = float(np.mean(self.returns))
            row["train/episode_length"] = float(np.mean(self.lengths))
            row["train/episodes"] = float(len(self.returns))
        for key in {key: None for metrics in self.metrics for key in metrics}:
            row[key] = _mean([metrics[key] for metrics in self.metrics if key in metrics])
            if not isfinite(row[key]):
                raise UserError(f"training has diverged: {key} is {row[key]}; a lower learning rate may help")
        return row


def _mean(values: list[Tensor | float]) -> float:
    tensors = [value for value in values if isinstance(value, Tensor)]  # read together: each read waits for the GPU
    read = iter(torch.stack(tensors).double().tolist() if tensors else ())
    numbers = [
        next(read) if isinstance(value, Tensor) else value for value in values
    ]  # both kinds occur after a resume
    return float(torch.tensor(numbers, dtype=torch.float64).mean())


@dataclass(slots=True)
class RunState:
    """How far a run has come; part of every checkpoint."""

    step: int = 0
    evaluations: int = 0  # how many were made
    evaluation_due: bool = False  # one was due, or in progress, at the checkpoint
    best: float | None = None  # the best mean return of an evaluation
    window: Window = field(default_factory=Window)
    written: Written | None = None  # how far the files of rows were written
    total_steps: int = 0  # the intended length of the run at the checkpoint
    env_steps: int = 0  # interactions so far, masked ones too

    def advance(self, progress: Progress) -> int:
        """Adds one iteration of the loop, and returns the step before it."""
        before, self.step = self.step, progress.step
        self.env_steps += progress.num_env_steps
        self.window.add(progress)
        return before

    def counts(self) -> dict[str, int]:
        """What every row has besides the agent step."""
        return {"env_steps": self.env_steps}

    def state_dict(self, written: Written) -> State:
        """Plain values."""
        return {
            "step": self.step,
            **self.counts(),
            "total_steps": self.total_steps,
            "evaluations": self.evaluations,
            "evaluation_due": self.evaluation_due,
            "best": self.best,
            "window": self.window.state_dict(),
            "written": dict(written.files),
        }

    def check_written(self, directory: Path) -> None:
        """Makes sure that the rows written so far are in `directory`.

        Raises:
            UserError: if they are not.
        """
        if self.written is not None:
            self.written.check(directory, unneeded=[FILE])

    def extend_to(self, total_steps: int) -> None:
        """Sets the length of the run to `total_steps`.

        Raises:
            UserError: if it was longer.
        """
        if total_steps < self.total_steps:
            raise UserError(
                f"the checkpoint of step {self.step:,} is of a run with total_steps={self.total_steps}: it "
                f"may be raised, not lowered to {total_steps}; fresh=true starts a new run next to it"
            )
        self.total_steps = total_steps

    @staticmethod
    def from_state(state: State) -> RunState:
        """The inverse of `state_dict`."""
        window = Window()
        window.load_state_dict(state["window"])
        return RunState(
            state["step"],
            state["evaluations"],
            state["evaluation_due"],
            state["best"],
            window,
            Written(state["written"]),
            state["total_steps"],
            state["env_steps"],
        )
