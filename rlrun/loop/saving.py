"""Checkpoints of a run: what they hold, when they are made, and how one is resumed from."""

from __future__ import annotations

import logging
from time import perf_counter

import torch

from rlrun.errors import UserError
from rlrun.loop.course import Course
from rlrun.loop.rows import Rows
from rlrun.loop.run import Run, Session
from rlrun.runs.interruption import Interrupted, StopRequest
from rlrun.runs.loggers import Written

_LOG = logging.getLogger(__name__)
_MOST_TIME_SAVING = 0.03  # of wall time


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
            f"({' '.join(str(error).split())}); rlrun or a class of your own was changed; resume with what the run "
            "began with, or fresh=true starts a new run next to it"
        ) from error
    _LOG.info(f"resuming at step {course.step:,}")
    return course


class Saver:
    """Saves a run: now and then, at its end, and when it is asked to stop.

    Args:
        run: what is saved.
        course: how far it is.
        rows: whose files a checkpoint knows the length of; takes how long saving took.
        session: told before anything is written.
        stop: whether the run is asked to stop.
    """

    def __init__(self, run: Run, course: Course, rows: Rows, session: Session, stop: StopRequest) -> None:
        self._run, self._course, self._rows, self._session, self._stop = run, course, rows, session, stop
        self._resumable = run.collector.env.spec.resumable
        self._saved_at, self._seconds = perf_counter(), 0.0

    def check_still_ours(self) -> None:
        """Raises UserError if another process works on the run by now."""
        self._session.check_still_ours()

    def save(self, *, best: bool = False) -> None:
        """Makes a checkpoint; nothing where the environment cannot be resumed."""
        if not self._resumable:
            return
        self.check_still_ours()
        started = perf_counter()
        written = Written({**self._rows.written().files, **self._run.collector.recorder.written()})
        state = {
            "course": self._course.state_dict(written),
            "agent": self._run.agent.state_dict(),
            "collector": self._run.collector.state_dict(),
        }
        self._run.checkpoints.save(self._course.step, state, best=best)
        self._saved_at = perf_counter()
        self._seconds = self._saved_at - started
        self._rows.logger.write(self._course.step, {"time/save_seconds": self._seconds})

    def save_if_due(self) -> None:
        """Saves when `every_seconds` have passed, and so many more that saving stays a small part of the time."""
        period = max(self._run.checkpoint.every_seconds, self._seconds / _MOST_TIME_SAVING)
        if perf_counter() - self._saved_at >= period:
            with self._rows.apart():
                self.save()

    def save_last(self) -> None:
        """Saves the trained agent; where that cannot be, late refusals of its state are told all the same."""
        with self._rows.apart():
            self.save()
        if not self._resumable:
            self._run.agent.state_dict()

    def stop_if_asked(self) -> None:
        """Saves and raises `Interrupted` if a signal came."""
        if self._stop.came is not None:
            self.save()
            raise self.interrupted()

    def interrupted(self) -> Interrupted:
        """What to raise once everything is saved; others who wait for the signal are told."""
        self._stop.pass_on()
        step, directory = self._course.step, self._run.directory
        return Interrupted(str(self._stop.came), step, saved=self._resumable, directory=directory)
