"""What a run consists of, its interfaces to the outside, and its result."""

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
from rlrun.runs.loggers import Logger, MultiLogger
from rlrun.runs.policies import Policies


class Session(Protocol):
    """One process's work on a run's directory."""

    def began(self, step: int) -> None:
        """Training starts at `step`; called before anything is written."""
        ...

    def check_still_ours(self) -> None:
        """Raises UserError if the directory is no longer this process's."""
        ...


class NullSession:
    """Of a run whose directory no other process uses."""

    def began(self, step: int) -> None:
        """Ignored."""

    def check_still_ours(self) -> None:
        """Never raises."""


NULL_SESSION: Final = NullSession()


class Artifacts(Protocol):
    """Files of a finished run besides its rows, such as tables and pictures."""

    def save(self, step: int, logger: Logger) -> None:
        """Writes them, and passes pictures to `logger`; `step` is the last one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The parts of one run, built."""

    agent: Agent
    collector: Collector
    evaluator: Evaluator
    directory: Path
    total_steps: int
    log_every_steps: int
    evaluation: EvaluationSettings
    checkpoint: CheckpointSettings
    checkpoints: Checkpoints
    policies: Policies
    logger: MultiLogger
    display: Display
    artifacts: Artifacts


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended."""

    step: int
    counts: Mapping[str, int]  # `RunState.counts` at the end
    total_steps: int  # as configured; a planner may need fewer, and a last rollout adds a few
    evaluation: Evaluation

    def as_json(self) -> dict[str, float | int | list[float]]:
        """What `result.json` holds, apart from its digest."""
        return {
            "step": self.step,
            **self.counts,
            "total_steps": self.total_steps,
            **self.evaluation.as_json(),
        }
