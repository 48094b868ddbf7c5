"""The loop. One for every agent: it never learns whether the agent replays, plans or counts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Annotated

import torch
from pydantic import Field

from rlrun.errors import UserError
from rlrun.files import disk_trouble_told
from rlrun.loop.collect import Collector
from rlrun.loop.course import Course, Window, crosses
from rlrun.loop.evaluate import Evaluation, EvaluationStopped, Evaluator
from rlrun.loop.progress import Display
from rlrun.protocols import Agent
from rlrun.runs.checkpoint import Checkpoints
from rlrun.runs.interruption import Interrupted, StopRequest
from rlrun.runs.loggers import JsonLines, Logger, Several, Written
from rlrun.runs.manifest import write_result
from rlrun.types import Progress

_LOG = logging.getLogger(__name__)
_MOST_TIME_SAVING = 0.03  # of wall time


def iterate(agent: Agent, collector: Collector, total_steps: int, start: int = 0) -> Iterator[Progress]:
    """Alternates acting and learning; yields after every `learn`."""
    step = start
    while step < total_steps and not agent.finished:  # a planner's rollout is empty and counts one sweep
        rollout = collector.collect(agent)
        metrics = agent.learn(rollout)
        step += rollout.num_steps
        yield Progress(step, rollout.num_env_steps, rollout.episodes, metrics)


def train(run: Run) -> Result:
    """Restores if it can, trains to `total_steps`, evaluates, saves and records.

    Raises:
        Interrupted: if a signal asked the run to stop; it has been saved.
        UserError: if no checkpoint is sound, training diverged, or the disk is full or read-only.
    """
    with (
        disk_trouble_told(run.directory),
        StopRequest() as stop,
        closing(run.collector.recorder),
        _Recorder(run, restore(run), stop) as recorder,
    ):
        course = recorder.course
        if course.step < run.total_steps:  # a longer run than the one that was saved, or one that was interrupted
            recorder.evaluate_if_due()
            recorder.stop_if_asked()  # or the next turn would come before what is due
        for progress in iterate(run.agent, run.collector, run.total_steps, course.step):
            before = course.advance(progress)
            if crosses(before, course.step, run.log_every_steps):
                recorder.log()
            course.evaluation_due = course.evaluation_due or crosses(before, course.step, run.evaluation.every_steps)
            if course.step < run.total_steps:
                recorder.evaluate_if_due()
            recorder.stop_if_asked()
            recorder.save_if_due()
        return recorder.finish()


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """When and how long to evaluate (`evaluation` in the config).

    Args:
        every_steps: agent steps between evaluations; None: only at the end.
        episodes: whole episodes each time.
        num_envs: environments side by side.
        max_episode_frames: emulator frames after which an episode of an evaluation is cut off; None: as in training.
        greedy_episodes: how many more are played greedily each time, by an agent that draws its actions; 0: none.
        greedy_limit_steps: agent steps after which one of those counts as far as it came.
    """

    every_steps: Annotated[int, Field(gt=0)] | None
    episodes: Annotated[int, Field(gt=0)]
    num_envs: Annotated[int, Field(gt=0)]
    max_episode_frames: Annotated[int, Field(gt=0)] | None  # and as the environment wants it
    greedy_episodes: Annotated[int, Field(ge=0)]
    greedy_limit_steps: Annotated[int, Field(gt=0)]

    @property
    def environment(self) -> dict[str, int]:
        """Arguments with which its environments are made otherwise than the training one."""
        limit = {} if self.max_episode_frames is None else {"max_episode_frames": self.max_episode_frames}
        return {"num_envs": self.num_envs, **limit}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSettings:
    """How often to save (`checkpoint` in the config).

    Args:
        every_seconds: wall time between checkpoints; longer where that would take more than 3% of it.
        keep: newest checkpoints kept.
    """

    every_seconds: Annotated[float, Field(gt=0)]
    keep: Annotated[int, Field(gt=0)]


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
    open_logger: Callable[[Path, int], Logger]  # (directory, step to resume from)
    open_display: Callable[[int, int], Display]  # (start, total_steps)
    began: Callable[[int], None]  # is told the step from which training goes on, before anything is written
    still_ours: Callable[[], None]  # raises UserError if the directory is not this process's any more
    keep: Callable[[int, Logger], None]  # (last step, logger): what a finished run leaves besides its numbers


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


class TimeSplit:
    """Wall time since the last row, by phase."""

    def __init__(self, collector: Collector, step: int) -> None:
        self._collector = collector
        self._mark(step)

    def _mark(self, step: int) -> None:
        self._step, self._started, self._elsewhere = step, perf_counter(), 0.0
        self._seconds = dict(self._collector.seconds)

    def exclude(self, seconds: float) -> None:
        """Takes evaluation and saving out of the training speed."""
        self._elsewhere += seconds

    def row(self, step: int) -> dict[str, float]:
        """Steps per second and the share of each phase since the last call; the rest is learning."""
        total = max(perf_counter() - self._started - self._elsewhere, 1e-9)
        shares = {name: (self._collector.seconds[name] - self._seconds[name]) / total for name in self._seconds}
        row = {
            "time/steps_per_second": (step - self._step) / total,
            "time/env_share": shares["env"],
            "time/act_share": shares["act"],
            "time/learn_share": 1.0 - shares["env"] - shares["act"],
        }
        self._mark(step)
        return row


def restore(run: Run) -> Course:
    """Loads the newest sound checkpoint, and returns how far it is; a new course if there is none.

    Raises:
        UserError: if no checkpoint is sound, the run was meant to be longer, or the environment or the agent is not
            the one that it was.
    """
    state = run.checkpoints.newest_sound(
        _LOG.warning, lambda state: Course.from_state(state["course"]).check_written(run.directory)
    )
    course = Course() if state is None else Course.from_state(state["course"])
    course.go_on_to(run.total_steps)
    if state is None:
        return course
    run.collector.load_state_dict(state["collector"])  # first, since it knows whether the environment is the same
    try:
        run.agent.load_state_dict(state["agent"])
    except (RuntimeError, ValueError, KeyError) as error:  # other shapes are torch's RuntimeError
        if isinstance(error, torch.cuda.OutOfMemoryError):
            raise
        raise UserError(
            f"the agent in the checkpoint of step {course.step:,} does not fit the one that was built "
            f"({' '.join(str(error).split())}); rlrun or a class of your own was changed; go on with what the run "
            "began with, or fresh=true starts anew beside it"
        ) from error
    _LOG.info(f"resuming at step {course.step:,}")
    return course


class _Recorder:
    """What surrounds the loop: rows, evaluations, checkpoints, and the end."""

    def __init__(self, run: Run, course: Course, stop: StopRequest) -> None:
        self._run, self.course, self._stop = run, course, stop
        run.began(course.step)
        self._numbers = JsonLines(run.directory, course.written)
        try:
            self._logger = Several([self._numbers, run.open_logger(run.directory, course.step)])
        except BaseException:
            self._numbers.close()
            raise
        self._display = run.open_display(course.step, run.total_steps)
        self._split = TimeSplit(run.collector, course.step)
        self._saved_at, self._save_seconds = perf_counter(), 0.0

    def __enter__(self) -> _Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._display.close()
        self._logger.close()

    def log(self) -> None:
        """Writes the row of what happened since the last one."""
        step = self.course.step
        row = {**self.course.counts(), **self.course.window.row(), **self._split.row(step)}
        self._logger.write(step, row)
        self._display.update(step, row)
        self.course.window = Window()

    def evaluate_if_due(self) -> None:
        """Evaluates, and keeps the agent if it is the best so far; if it is asked to stop, it stays due."""
        if not self.course.evaluation_due:
            return
        with self._apart():
            evaluation = self._evaluate()
            if evaluation is not None:
                self.course.evaluations += 1
                self.course.evaluation_due = False
                if self.course.best is None or evaluation.mean > self.course.best:
                    self.course.best = evaluation.mean
                    self._save(best=True)

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """What is done inside is no training: speeds leave its time out."""
        started = perf_counter()
        yield
        seconds = perf_counter() - started
        self._split.exclude(seconds)
        self._display.exclude(seconds)

    def _evaluate(self) -> Evaluation | None:
        step, started = self.course.step, perf_counter()
        try:
            evaluation = self._run.evaluator.evaluate(
                self._run.agent, self.course.evaluations, lambda: self._stop.came is not None
            )
        except EvaluationStopped:
            return None
        row = {
            **self.course.counts(),
            **evaluation.means(),
            "eval/episode_length": float(evaluation.lengths.mean()),
            "time/eval_seconds": perf_counter() - started,
        }
        self._logger.write(step, row)
        self._display.update(step, row)
        self._display.say(f"step {step:,}: {evaluation.in_words()}")
        return evaluation

    def stop_if_asked(self) -> None:
        """Saves and raises `Interrupted` if a signal came."""
        name = self._stop.came
        if name is None:
            return
        self._save()
        self._stop.pass_on()
        saved, directory = self._run.collector.env.spec.resumable, self._run.directory
        raise Interrupted(name, self.course.step, saved=saved, directory=directory)

    def save_if_due(self) -> None:
        """Saves when `every_seconds` have passed, and so many more that saving stays a small part of the time."""
        period = max(self._run.checkpoint.every_seconds, self._save_seconds / _MOST_TIME_SAVING)
        if perf_counter() - self._saved_at >= period:
            with self._apart():
                self._save()

    def _written(self) -> Written:
        return Written({**self._numbers.written().files, **self._run.collector.recorder.written()})

    def _save(self, *, best: bool = False) -> None:
        if not self._run.collector.env.spec.resumable:
            return
        self._run.still_ours()
        started = perf_counter()
        state = {
            "course": self.course.state_dict(self._written()),
            "agent": self._run.agent.state_dict(),
            "collector": self._run.collector.state_dict(),
        }
        self._run.checkpoints.save(self.course.step, state, best=best)
        self._saved_at = perf_counter()
        self._save_seconds = self._saved_at - started
        self._logger.write(self.course.step, {"time/save_seconds": self._save_seconds})

    def finish(self) -> Result:
        """Saves, and then writes the last row, evaluates and records the result.

        What is saved is not yet finished: a longer run goes on from there as if this one had never ended.
        """
        with self._apart():
            self._save()
        if not self._run.collector.env.spec.resumable:
            self._run.agent.state_dict()  # nothing is saved, but late refusals are told before there is a result
        if self.course.window.metrics:
            self.log()
        evaluation = self._evaluate()
        if evaluation is None:
            self._stop.pass_on()
            saved, directory = self._run.collector.env.spec.resumable, self._run.directory
            raise Interrupted(str(self._stop.came), self.course.step, saved=saved, directory=directory)
        self._run.still_ours()
        if self.course.best is None or evaluation.mean > self.course.best:
            self._run.checkpoints.mark_best(self.course.step)
        self._run.keep(self.course.step, self._logger)
        self._run.collector.recorder.close()  # before the result: whoever has one is not opened again
        result = Result(self.course.step, self.course.counts(), self._run.total_steps, evaluation)
        write_result(self._run.directory, result.as_json())
        self._stop.pass_on()  # a signal that came in the last moments changes nothing here, but others wait for it
        return result
