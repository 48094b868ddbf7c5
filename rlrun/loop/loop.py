"""The loop. One for every agent: it never learns whether the agent replays, plans or counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from rlrun.files import disk_errors_as_user_errors
from rlrun.loop.collect import Collector
from rlrun.loop.evaluations import Evaluations
from rlrun.loop.rows import Rows
from rlrun.loop.run import NO_SESSION, Result, Run, Session
from rlrun.loop.saving import Saver, restore
from rlrun.protocols import Agent
from rlrun.runs.interruption import StopRequest
from rlrun.runs.manifest import write_result
from rlrun.types import Progress


def iterate(agent: Agent, collector: Collector, total_steps: int, start: int = 0) -> Iterator[Progress]:
    """Alternates acting and learning; yields after every `learn`."""
    step = start
    while step < total_steps and not agent.finished:  # a planner's rollout is empty and counts one sweep
        rollout = collector.collect(agent)
        metrics = agent.learn(rollout)
        step += rollout.num_steps
        yield Progress(step, rollout.num_env_steps, rollout.episodes, metrics)


def train(run: Run, session: Session = NO_SESSION) -> Result:
    """Resumes if it can, trains to `total_steps`, evaluates, saves and records.

    Raises:
        Interrupted: if a signal asked the run to stop; it has been saved.
        UserError: if no checkpoint is sound, training diverged, or the disk is full or read-only.
    """
    with disk_errors_as_user_errors(run.directory), StopRequest() as stop, closing(run.collector.recorder):
        course = restore(run)
        session.began(course.step)
        with closing(Rows(run, course)) as rows:
            saver = Saver(run, course, rows, session, stop)
            evaluations = Evaluations(run, course, rows, saver, stop)
            evaluations.make_if_due()  # what was due when the run was stopped
            saver.stop_if_asked()
            for progress in iterate(run.agent, run.collector, run.total_steps, course.step):
                before = course.advance(progress)
                rows.write_if_due(before)
                evaluations.make_if_due(before)
                saver.stop_if_asked()
                saver.save_if_due()
            saver.save_last()  # before the last evaluation: a longer run resumes here as if this one had never ended
            rows.write_rest()
            evaluation = evaluations.make_last()
            run.artifacts.save(course.step, rows.logger)
            run.collector.recorder.close()  # before there is a result: whoever has one is not opened again
            result = Result(course.step, course.counts(), run.total_steps, evaluation)
            write_result(run.directory, result.as_json())
            stop.pass_on()  # a signal that came in the last moments changes nothing here, but others wait for it
            return result
