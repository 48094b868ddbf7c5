"""Rows of numbers: into the run's files, to its logger, and onto the display."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from time import perf_counter

from rlrun.loop.collect import Collector
from rlrun.loop.course import Course, Window
from rlrun.loop.run import Run
from rlrun.numerics.schedules import crosses
from rlrun.runs.loggers import JsonLines, Logger, Several, Written


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


class Rows:
    """Writes a row every `log_every_steps`, and those that others hand it.

    Args:
        run: gives the directory, the logger, the display and how often.
        course: how far the run is; its window is emptied into each row.
    """

    def __init__(self, run: Run, course: Course) -> None:
        self._course, self._every_steps, self._display = course, run.log_every_steps, run.display
        with ExitStack() as stack:
            self._numbers = JsonLines(run.directory, course.written)
            self.logger: Logger = Several([self._numbers, run.logger])  # the run's files first: others read them
            stack.callback(self.logger.close)
            self.logger.begin(course.step)
            run.display.begin(course.step, run.total_steps)
            stack.pop_all()
        self._split = TimeSplit(run.collector, course.step)

    def write_if_due(self, before: int) -> None:
        """Writes what happened since the last row, if a multiple of the period was crossed since step `before`."""
        if crosses(before, self._course.step, self._every_steps):
            self._write_window()

    def write_rest(self) -> None:
        """Writes what happened since the last row, if anything did."""
        if self._course.window.metrics:
            self._write_window()

    def _write_window(self) -> None:
        self.write({**self._course.window.row(), **self._split.row(self._course.step)})
        self._course.window = Window()

    def write(self, values: Mapping[str, float], line: str | None = None) -> None:
        """Writes a row at the present step; `line` is what the display says of it."""
        step, row = self._course.step, {**self._course.counts(), **values}
        self.logger.write(step, row)
        self._display.update(step, row)
        if line is not None:
            self._display.say(f"step {step:,}: {line}")

    def written(self) -> Written:
        """How far the run's files are written."""
        return self._numbers.written()

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is done inside is no training: speeds leave its time out."""
        started = perf_counter()
        yield
        seconds = perf_counter() - started
        self._split.exclude(seconds)
        self._display.exclude(seconds)

    def close(self) -> None:
        """Nothing more will come."""
        self._display.close()
        self.logger.close()
