"""The loop. One for every agent, whatever it learns from the rollouts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from rlrun.files import disk_errors_as_user_errors
from rlrun.loop.collect import Collector
from rlrun.loop.evaluations import Evaluations
from rlrun.loop.rows import Rows
from rlrun.loop.run import NULL_SESSION, Result, Run, Session
from rlrun.loop.saving import Saver, restore
from rlrun.protocols import Agent
from rlrun.runs.interruption import StopRequest
from rlrun.runs.manifest import write_result
from rlrun.types import Progress


def iterate(agent: Agent, collector: Collector, total_steps: int, start: int = 0) -> Iterator[Progress]:
    """Alternates acting and learning; yields after every `learn`."""
    step = start
    while step < total_steps and not agent.finished:  # a planner's rollout is empty and counts as one sweep
        rollout = collector.collect(agent)
        metrics = agent.learn(rollout)
        step += rollout.num_steps
        yield Progress(step, rollout.num_env_steps, rollout.episodes, metrics)


def train(run: Run, session: Session = NULL_SESSION) -> Result:
    """Resumes if there is a checkpoint, trains to `total_steps`, evaluates, saves and records.

    Raises:
        Interrupted: if a signal asked the run to stop; it has been saved.
        UserError: if no checkpoint is sound, training diverged, or the disk is full or read-only.
    """
    with disk_errors_as_user_errors(run.directory), StopRequest() as stop, closing(run.collector.recorder):
        run_state = restore(run)
        session.began(run_state.step)
        with closing(Rows(run, run_state)) as rows:
            saver = Saver(run, run_state, rows, session, stop)
            evaluations = Evaluations(run, run_state, rows, saver, stop)
            evaluations.make_if_due()  # one that was due when the run was stopped
            saver.stop_if_asked()
            for progress in iterate(run.agent, run.collector, run.total_steps, run_state.step):
                before = run_state.advance(progress)
                rows.write_if_due(before)
                evaluations.make_if_due(before)
                saver.stop_if_asked()
                saver.save_if_due()
            saver.save_last()  # before the last evaluation: an extended run resumes here as if it had never ended
            rows.write_rest()
            evaluation = evaluations.make_last()
            run.artifacts.save(run_state.step, rows.logger)
            run.collector.recorder.close()  # before there is a result: a finished run is not opened again
            result = Result(run_state.step, run_state.counts(), run.total_steps, evaluation)
            write_result(run.directory, result.as_json())
            rows.logger.finish()
            stop.pass_on()  # a late signal has no effect here, but other handlers wait for it
            return result
