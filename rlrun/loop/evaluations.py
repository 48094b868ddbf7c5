"""Evaluations while a run trains, and the last one: when they are due, their rows, and which agent was the best."""

from __future__ import annotations

from time import perf_counter

from rlrun.loop.course import Course
from rlrun.loop.evaluate import Evaluation, EvaluationStopped
from rlrun.loop.rows import Rows
from rlrun.loop.run import Run
from rlrun.loop.saving import Saver
from rlrun.numerics.schedules import crosses
from rlrun.runs.interruption import StopRequest


class Evaluations:
    """Evaluates a run every `evaluation.every_steps`.

    Args:
        run: whose agent is evaluated.
        course: how far it is; keeps whether an evaluation is due.
        rows: takes their rows.
        saver: keeps the best agent.
        stop: an evaluation during which it comes is not one: it stays due.
    """

    def __init__(self, run: Run, course: Course, rows: Rows, saver: Saver, stop: StopRequest) -> None:
        self._run, self._course, self._rows, self._saver, self._stop = run, course, rows, saver, stop

    def make_if_due(self, before: int | None = None) -> None:
        """Evaluates if one is still due, or a multiple of the period was crossed since step `before`.

        Not at the end, where the last one is made. The best agent so far is kept.
        """
        course = self._course
        if before is not None and crosses(before, course.step, self._run.evaluation.every_steps):
            course.evaluation_due = True
        if not course.evaluation_due or course.step >= self._run.total_steps:
            return
        with self._rows.apart():
            evaluation = self._make()
            if evaluation is not None:
                course.evaluations += 1
                course.evaluation_due = False
                if self._is_best(evaluation):
                    course.best = evaluation.mean
                    self._saver.save(best=True)

    def make_last(self) -> Evaluation:
        """The evaluation of the finished agent.

        Raises:
            Interrupted: if it was stopped; what was saved is the agent that it would have been of.
        """
        evaluation = self._make()
        if evaluation is None:
            raise self._saver.interrupted()
        self._saver.check_still_ours()
        if self._is_best(evaluation):
            self._run.checkpoints.mark_best(self._course.step)
        return evaluation

    def _is_best(self, evaluation: Evaluation) -> bool:
        return self._course.best is None or evaluation.mean > self._course.best

    def _make(self) -> Evaluation | None:
        started = perf_counter()
        try:
            evaluation = self._run.evaluator.evaluate(
                self._run.agent, self._course.evaluations, lambda: self._stop.came is not None
            )
        except EvaluationStopped:
            return None
        row = {
            **evaluation.means(),
            "eval/episode_length": float(evaluation.lengths.mean()),
            "time/eval_seconds": perf_counter() - started,
        }
        self._rows.write(row, evaluation.in_words())
        return evaluation
