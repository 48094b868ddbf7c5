"""Rows of numbers, for the run's files, its logger and the display."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from time import perf_counter

from rlrun.loop.collect import Collector
from rlrun.loop.run import Run
from rlrun.loop.run_state import RunState, Window
from rlrun.numerics.schedules import crosses
from rlrun.runs.loggers import JsonLines, Written


class TimeSplit:
    """Wall time since the last row, by phase."""

    def __init__(self, collector: Collector, step: int) -> None:
        self._collector = collector
        self._mark(step)

    def _mark(self, step: int) -> None:
        self._step, self._started, self._excluded = step, perf_counter(), 0.0
        self._seconds = dict(self._collector.seconds)

    def exclude(self, seconds: float) -> None:
        """Excludes evaluation and saving from the training speed."""
        self._excluded += seconds

    def row(self, step: int) -> dict[str, float]:
        """Steps per second and the share of each phase since the last call; the rest is learning."""
        total = max(perf_counter() - self._started - self._excluded, 1e-9)
        shares = {name: (self._collector.seconds[name] - self._seconds[name]) / total for name in self._seconds}
        row = {
            "time/steps_per_second": (step - self._step) / total,
            "time/env_share": shares["env"],
            "time/act_share": shares["act"],
            "time/learn_share": 1.0 - shares["env"] - shares["act"],
        }
        self._mark(step)
        return row


class Rows:
    """Writes a row every `log_every_steps`, and those of evaluations.

    Args:
        run: has the directory, the logger, the display and the period.
        run_state: how far the run is; each row empties its window.
    """

    def __init__(self, run: Run, run_state: RunState) -> None:
        self._run_state, self._every_steps, self._display = run_state, run.log_every_steps, run.display
        with ExitStack() as stack:
            self._numbers, self.logger = JsonLines(run.directory, run_state.written), run.logger
            stack.callback(self._numbers.close)
            stack.callback(self.logger.close)
            self._numbers.begin()
            self.logger.begin(self._numbers.rows())
            run.display.begin(run_state.step, run.total_steps)
            stack.pop_all()
        self._split = TimeSplit(run.collector, run_state.step)

    def write_if_due(self, before: int) -> None:
        """Writes a row, if a multiple of the period was crossed since step `before`."""
        if crosses(before, self._run_state.step, self._every_steps):
            self._write_window()

    def write_rest(self) -> None:
        """Writes a last row, if anything happened since the row before."""
        if self._run_state.window.metrics:
            self._write_window()

    def _write_window(self) -> None:
        self.write({**self._run_state.window.row(), **self._split.row(self._run_state.step)})
        self._run_state.window = Window()

    def write(self, values: Mapping[str, float], line: str | None = None) -> None:
        """Writes a row at the current step, and `line` on the display."""
        step, row = self._run_state.step, {**self._run_state.counts(), **values}
        self.note(row)
        self._display.update(step, row)
        if line is not None:
            self._display.say(f"step {step:,}: {line}")

    def note(self, values: Mapping[str, float]) -> None:
        """Writes `values` alone at the current step, and nothing on the display."""
        self._numbers.write(self._run_state.step, values)
        self.logger.write(self._run_state.step, values)

    def written(self) -> Written:
        """How far the run's files are written."""
        return self._numbers.written()

    @contextmanager
    def untimed(self) -> Iterator[None]:
        """Excludes the time spent inside from speeds: it is not training."""
        started = perf_counter()
        yield
        seconds = perf_counter() - started
        self._split.exclude(seconds)
        self._display.exclude(seconds)

    def close(self) -> None:
        """Closes the display and the loggers."""
        with ExitStack() as stack:  # all of them, even if one fails
            for each in (self._numbers, self.logger, self._display):
                stack.callback(each.close)
