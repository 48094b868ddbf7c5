"""A job of a pool: a command, and what on disk says whether it is finished. Most are runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from rlrun.errors import UserError
from rlrun.runs.directory import check_same_experiment, finished_result
from rlrun.runs.lock import owner


class Job(Protocol):
    """What a pool does in a process of its own."""

    @property
    def name(self) -> str:
        """In messages, such as `seed 3`; no two jobs of a pool have the same."""
        ...

    @property
    def command(self) -> Sequence[str]:
        """A whole command that starts it, or resumes it."""
        ...

    @property
    def directory(self) -> Path:
        """Of the run that it is about."""
        ...

    @property
    def log(self) -> Path:
        """A file for what its processes print."""
        ...

    @property
    def total_steps(self) -> int:
        """How long that run is, in agent steps."""
        ...

    @property
    def num_threads(self) -> int:
        """How many cores it keeps busy."""
        ...

    @property
    def memory_bytes(self) -> int:
        """How much memory it will take, as far as is known."""
        ...

    def result(self) -> Mapping[str, Any] | None:
        """What came of it, as it is kept on disk; None if it is not finished."""
        ...

    def owner(self) -> str | None:
        """The process that is busy with it, if any is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJob:
    """One run.

    Args:
        name: in messages, such as `seed 3`.
        command: a whole command that starts the run, or resumes it.
        directory: of the run.
        seed: of the run.
        experiment: what defines the experiment.
        total_steps: agent steps.
        num_threads: how many cores it keeps busy.
        memory_bytes: how much memory it will take, as far as is known.
    """

    name: str
    command: Sequence[str]
    directory: Path
    seed: int
    experiment: Mapping[str, Any]
    total_steps: int
    num_threads: int = 1
    memory_bytes: int = 0

    @property
    def log(self) -> Path:
        """What its processes print: a file beside the directory, which the run itself makes."""
        return self.directory.with_name(f"{self.directory.name}.log")

    def result(self) -> dict[str, Any] | None:
        """The result of the run, if it is finished.

        What is wrong with a directory is told by the run itself when it is started, so here that is not finished.
        """
        try:
            check_same_experiment(self.directory, self.experiment, self.seed)
            return finished_result(self.directory, self.total_steps)
        except UserError:
            return None

    def owner(self) -> str | None:
        """The process that is running it, if any is."""
        return owner(self.directory)


State = Literal["finished", "failed", "stopped", "held"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job.

    Args:
        job: the job.
        state: `held`: another process is running it; `stopped`: saved because a signal asked for it, or not begun.
        result: of a finished run, as in its `result.json`.
        line: what went wrong, or who holds it.
        status: the exit status of its process; None where none was started.
    """

    job: Job
    state: State
    result: Mapping[str, Any] | None = None
    line: str = ""
    status: int | None = None
