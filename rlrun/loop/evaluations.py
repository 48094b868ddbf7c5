"""Evaluations during and after training: when they are due, their rows, and which agent was the best."""

from __future__ import annotations

from time import perf_counter

from rlrun.loop.evaluate import Evaluation, EvaluationStopped
from rlrun.loop.rows import Rows
from rlrun.loop.run import Run
from rlrun.loop.run_state import RunState
from rlrun.loop.saving import Saver
from rlrun.numerics.schedules import crosses
from rlrun.runs.interruption import StopRequest
from rlrun.runs.policies import BEST, FINAL


class Evaluations:
    """Evaluates a run every `evaluation.every_steps`.

    Args:
        run: whose agent is evaluated.
        run_state: how far it is, and whether an evaluation is due.
        rows: where their rows go.
        saver: saves the best agent.
        stop: abandons an evaluation, which stays due.
    """

    def __init__(self, run: Run, run_state: RunState, rows: Rows, saver: Saver, stop: StopRequest) -> None:
        self._run, self._run_state, self._rows, self._saver, self._stop = run, run_state, rows, saver, stop

    def make_if_due(self, before: int | None = None) -> None:
        """Evaluates if one is due, or a multiple of the period was crossed since step `before`; saves the best agent.

        Not at `total_steps`, where `make_last` does.
        """
        run_state = self._run_state
        if before is not None and crosses(before, run_state.step, self._run.evaluation.every_steps):
            run_state.evaluation_due = True
        if not run_state.evaluation_due or run_state.step >= self._run.total_steps:
            return
        with self._rows.untimed():
            evaluation = self._make()
            if evaluation is not None:
                run_state.evaluations += 1
                run_state.evaluation_due = False
                if self._is_best(evaluation):
                    run_state.best = evaluation.mean
                    self._saver.keep_policy(BEST, evaluation.mean)
                    self._saver.save()

    def make_last(self) -> Evaluation:
        """The evaluation of the finished agent.

        Raises:
            Interrupted: if the run was asked to stop; the finished agent has been saved.
        """
        evaluation = self._make()
        if evaluation is None:
            raise self._saver.interrupted()
        self._saver.check_still_ours()
        if self._is_best(evaluation):
            self._saver.keep_policy(BEST, evaluation.mean)
        self._saver.keep_policy(FINAL, evaluation.mean)
        return evaluation

    def _is_best(self, evaluation: Evaluation) -> bool:
        return self._run_state.best is None or evaluation.mean > self._run_state.best

    def _make(self) -> Evaluation | None:
        started = perf_counter()
        try:
            evaluation = self._run.evaluator.evaluate(
                self._run.agent, self._run_state.evaluations, lambda: self._stop.came is not None
            )
        except EvaluationStopped:
            return None
        row = {
            **evaluation.means(),
            "eval/episode_length": float(evaluation.lengths.mean()),
            "time/eval_seconds": perf_counter() - started,
        }
        self._rows.write(row, evaluation.as_text())
        return evaluation
