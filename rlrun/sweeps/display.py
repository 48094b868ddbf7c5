"""How far many runs are: on a terminal a line for each that is running and one for all, plain lines elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from rlrun.errors import UserError
from rlrun.loop.progress import RecentSpeed, shown_values, summarise
from rlrun.runs.directory import last_step
from rlrun.runs.rows import parse_row
from rlrun.sweeps.jobs import Job

_LOG = logging.getLogger(__name__)

_PLAIN_LINE_SECONDS = 10.0  # between plain lines: a log file should stay short


class Display(Protocol):
    """Shows how far the jobs of a pool are."""

    def begin(self, jobs: Sequence[Job]) -> None:
        """These are all of them."""
        ...

    def started(self, job: Job) -> None:
        """A process is working on it."""
        ...

    def ended(self, job: Job) -> None:
        """None is any more, or none needs to."""
        ...

    def draw(self) -> None:
        """Some time has passed."""
        ...

    def say(self, line: str) -> None:
        """Prints a line that stays."""
        ...

    def close(self) -> None:
        """Restores the terminal."""
        ...


class Followed:
    """A run that another process is working on, followed in its `metrics.jsonl`.

    Args:
        job: whose run it is.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._path = job.directory / "metrics.jsonl"
        self._position = _size(self._path)
        try:
            self.step = last_step(job.directory)
        except UserError:  # the run itself will say it
            self.step = 0
        self.values: dict[str, float] = {}
        self.speed = RecentSpeed(self.step, job.total_steps)

    def look(self) -> None:
        """Reads what has been written since the last look.

        A run that resumes may have cut the file and written it again, so that the last position is inside a line: what
        is not a row is skipped.
        """
        if _size(self._path) <= self._position:
            self._position = min(self._position, _size(self._path))
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            *lines, _ = file.read().split(b"\n")
        for line in lines:
            self._position += len(line) + 1
            with suppress(UserError):
                row = parse_row(line, self._path)
                self.step = row["step"]
                self.values |= shown_values(
                    {key: value for key, value in row.items() if isinstance(value, int | float)}
                )
        self.speed.update(self.step)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


class _Progress:
    """Of all jobs, in agent steps."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._ended = {job.name: False for job in jobs}
        self.running: dict[str, Followed] = {}
        self.total_steps = sum(job.total_steps for job in jobs)
        self._steps = {job.name: 0 for job in jobs}
        self._speed: RecentSpeed | None = None

    def started(self, job: Job) -> None:
        self.running[job.name] = Followed(job)

    def ended(self, job: Job) -> None:
        self.running.pop(job.name, None)
        self._ended[job.name] = True
        if job.result() is not None:
            self._steps[job.name] = job.total_steps

    def look(self) -> None:
        for followed in self.running.values():
            followed.look()
            self._steps[followed.job.name] = min(followed.step, followed.job.total_steps)  # the last one may cross it
        if self._speed is None:
            self._speed = RecentSpeed(self.step, self.total_steps)
        self._speed.update(self.step)

    @property
    def step(self) -> int:
        return sum(self._steps.values())

    @property
    def speed(self) -> str:
        return "" if self._speed is None else str(self._speed)

    @property
    def ended_of_all(self) -> str:
        return f"{sum(self._ended.values())} of {len(self._ended)}"


class LiveDisplay:
    """A bar for all jobs, and below it one for each that is running."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def begin(self, jobs: Sequence[Job]) -> None:
        """Draws the bar of all."""
        self._bars = Progress(
            TextColumn("{task.description}"),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[speed]}", style="cyan"),
            TextColumn("{task.fields[summary]}", style="green"),
            console=self._console,
            auto_refresh=False,  # no second thread
        )
        self._tasks: dict[str, TaskID] = {}
        self._all = _Progress(jobs)
        self._task = self._bars.add_task(self._all.ended_of_all, total=self._all.total_steps, speed="", summary="")
        self._bars.start()

    def started(self, job: Job) -> None:
        """Adds a bar."""
        self._all.started(job)
        step = self._all.running[job.name].step
        self._tasks[job.name] = self._bars.add_task(
            job.name, total=job.total_steps, completed=step, speed="starting", summary=""
        )

    def ended(self, job: Job) -> None:
        """Takes its bar away."""
        self._all.ended(job)
        if job.name in self._tasks:
            self._bars.remove_task(self._tasks.pop(job.name))

    def draw(self) -> None:
        """Moves the bars."""
        self._all.look()
        for name, followed in self._all.running.items():
            self._bars.update(
                self._tasks[name],
                completed=followed.step,
                speed=str(followed.speed),
                summary=summarise(followed.values),
            )
        self._bars.update(
            self._task, description=self._all.ended_of_all, completed=self._all.step, speed=self._all.speed
        )
        self._bars.refresh()

    def say(self, line: str) -> None:
        """Prints above the bars."""
        self._bars.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Stops redrawing."""
        try:
            self.draw()
        finally:
            self._bars.stop()


class PlainDisplay:
    """A line for every start, and one for all jobs every 10 seconds, for files and batch jobs."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def begin(self, jobs: Sequence[Job]) -> None:
        """Prints nothing yet."""
        self._all = _Progress(jobs)
        self._printed = monotonic()

    def started(self, job: Job) -> None:
        """Says so."""
        self._all.started(job)
        step = self._all.running[job.name].step
        self.say(f"{job.name}: " + (f"resumed near step {step:,}" if 0 < step < job.total_steps else "started"))

    def ended(self, job: Job) -> None:
        """Counts it."""
        self._all.ended(job)

    def draw(self) -> None:
        """Prints a line if the last one is old enough."""
        self._all.look()
        if monotonic() - self._printed >= _PLAIN_LINE_SECONDS:
            self._printed = monotonic()
            steps = f"{self._all.step:,}/{self._all.total_steps:,} steps"
            self.say(f"{self._all.ended_of_all} finished  {steps}  {self._all.speed}")

    def say(self, line: str) -> None:
        """Prints a line."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Nothing is open."""


class Harmless:
    """A display whose errors end no process: after the first one nothing is shown any more.

    Args:
        display: what shows.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._is_broken = False

    def begin(self, jobs: Sequence[Job]) -> None:
        """See `Display`."""
        self._try(lambda: self._display.begin(jobs))

    def started(self, job: Job) -> None:
        """See `Display`."""
        self._try(lambda: self._display.started(job))

    def ended(self, job: Job) -> None:
        """See `Display`."""
        self._try(lambda: self._display.ended(job))

    def draw(self) -> None:
        """See `Display`."""
        self._try(self._display.draw)

    def say(self, line: str) -> None:
        """See `Display`."""
        self._try(lambda: self._display.say(line))

    def close(self) -> None:
        """See `Display`; also after an error, since the terminal must be restored."""
        with suppress(Exception):
            self._display.close()

    def _try(self, show: Callable[[], None]) -> None:
        if self._is_broken:
            return
        try:
            show()
        except Exception:
            self._is_broken = True
            _LOG.exception("the display has failed; the runs go on without it")


def make_display() -> Display:
    """The live display if standard output is a terminal, plain lines otherwise; its errors end no run."""
    console = Console()
    return Harmless(LiveDisplay(console) if console.is_terminal else PlainDisplay(console))
