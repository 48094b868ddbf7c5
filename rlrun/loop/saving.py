"""Checkpoints of a run: their content, when they are saved, and how a run resumes from one."""

from __future__ import annotations

import logging
from time import perf_counter

import torch

from rlrun.errors import UserError
from rlrun.loop.rows import Rows
from rlrun.loop.run import Run, Session
from rlrun.loop.run_state import RunState
from rlrun.runs.interruption import Interrupted, StopRequest
from rlrun.runs.loggers import Written

_LOG = logging.getLogger(__name__)
_MOST_TIME_SAVING = 0.03  # of wall time


def restore(run: Run) -> RunState:
    """Loads the newest sound checkpoint, and returns its run state; a new one if there is no checkpoint.

    Raises:
        UserError: if no checkpoint is sound, the run was longer, or the environment or the agent has changed.
    """
    state = run.checkpoints.newest_sound(
        _LOG.warning, lambda state: RunState.from_state(state["run_state"]).check_written(run.directory)
    )
    run_state = RunState() if state is None else RunState.from_state(state["run_state"])
    run_state.extend_to(run.total_steps)
    if state is None:
        return run_state
    run.collector.load_state_dict(state["collector"])  # first: it checks that the environment is the same
    try:
        run.agent.load_state_dict(state["agent"])
    except (RuntimeError, ValueError, KeyError) as error:  # torch raises RuntimeError for other shapes
        if isinstance(error, torch.cuda.OutOfMemoryError):
            raise
        raise UserError(
            f"the agent in the checkpoint of step {run_state.step:,} does not fit the agent built now "
            f"({' '.join(str(error).split())}); rlrun or a class of your own has changed; resume with the "
            "original code, or fresh=true starts a new run next to it"
        ) from error
    _LOG.info(f"resuming at step {run_state.step:,}")
    return run_state


class Saver:
    """Saves a run: periodically, at its end, and when it is asked to stop.

    Args:
        run: what is saved.
        run_state: how far it is.
        rows: a checkpoint stores the length of their files; the duration of saving is logged there.
        session: checked before anything is written.
        stop: whether the run is asked to stop.
    """

    def __init__(self, run: Run, run_state: RunState, rows: Rows, session: Session, stop: StopRequest) -> None:
        self._run, self._run_state, self._rows, self._session, self._stop = run, run_state, rows, session, stop
        self._resumable = run.collector.env.spec.resumable
        self._saved_at, self._seconds = perf_counter(), 0.0

    def check_still_ours(self) -> None:
        """Raises UserError if the directory is no longer this process's."""
        self._session.check_still_ours()

    def save(self) -> None:
        """Saves a checkpoint; no effect if the environment is not resumable."""
        if not self._resumable:
            return
        self.check_still_ours()
        started = perf_counter()
        written = Written({**self._rows.written().files, **self._run.collector.recorder.written()})
        state = {
            "run_state": self._run_state.state_dict(written),
            "agent": self._run.agent.state_dict(),
            "collector": self._run.collector.state_dict(),
        }
        self._run.checkpoints.save(self._run_state.step, state)
        self._saved_at = perf_counter()
        self._seconds = self._saved_at - started
        self._rows.note({"time/save_seconds": self._seconds})

    def keep_policy(self, name: str, evaluation_mean: float) -> None:
        """Keeps the present policy as the `best` or the `final` one, also where the environment is not resumable."""
        self.check_still_ours()
        self._run.policies.keep(name, self._run.agent, self._run_state.step, evaluation_mean)

    def save_if_due(self) -> None:
        """Saves every `every_seconds`, or less often, so that saving takes at most 3% of the time."""
        period = max(self._run.checkpoint.every_seconds, self._seconds / _MOST_TIME_SAVING)
        if perf_counter() - self._saved_at >= period:
            with self._rows.untimed():
                self.save()

    def save_last(self) -> None:
        """Saves the trained agent; without resumable environments, still raises the errors of its `state_dict`."""
        with self._rows.untimed():
            self.save()
        if not self._resumable:
            self._run.agent.state_dict()

    def stop_if_asked(self) -> None:
        """Saves and raises `Interrupted` if a signal came."""
        if self._stop.came is not None:
            self.save()
            raise self.interrupted()

    def interrupted(self) -> Interrupted:
        """What to raise once everything is saved; passes the signal on."""
        self._stop.pass_on()
        step, directory = self._run_state.step, self._run.directory
        return Interrupted(str(self._stop.came), step, saved=self._resumable, directory=directory)
