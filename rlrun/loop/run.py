"""What a run is made of, what it meets outside, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from rlrun.loop.collect import Collector
from rlrun.loop.evaluate import Evaluation, EvaluationSettings, Evaluator
from rlrun.loop.progress import Display
from rlrun.protocols import Agent
from rlrun.runs.checkpoint import Checkpoints, CheckpointSettings
from rlrun.runs.loggers import Logger


class Session(Protocol):
    """One process's work on a run's directory."""

    def began(self, step: int) -> None:
        """Training goes on from `step`; told before anything is written."""
        ...

    def check_still_ours(self) -> None:
        """Raises UserError if the directory is not this process's any more."""
        ...


class NoSession:
    """Of a run on whose directory nobody else works."""

    def began(self, step: int) -> None:
        """Does nothing, on purpose."""

    def check_still_ours(self) -> None:
        """It is."""


NO_SESSION: Final = NoSession()


class Artifacts(Protocol):
    """What a finished run leaves besides its numbers."""

    def save(self, step: int, logger: Logger) -> None:
        """Writes it, and shows `logger` what can be looked at; `step` is the last one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything one run needs, ready to go."""

    agent: Agent
    collector: Collector
    evaluator: Evaluator
    directory: Path
    total_steps: int
    log_every_steps: int
    evaluation: EvaluationSettings
    checkpoint: CheckpointSettings
    checkpoints: Checkpoints
    logger: Logger
    display: Display
    artifacts: Artifacts


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended."""

    step: int
    counts: Mapping[str, int]  # `Course.counts` at the end
    total_steps: int  # what it was meant to reach; a planner may need fewer, and a last rollout makes a few more
    evaluation: Evaluation

    def as_json(self) -> dict[str, float | int | list[float]]:
        """What `result.json` holds, apart from its digest."""
        return {
            "step": self.step,
            **self.counts,
            "total_steps": self.total_steps,
            **self.evaluation.as_json(),
        }
