"""Progress of a running training: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from time import monotonic
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

_PLAIN_LINE_SECONDS = 10.0  # between plain lines: a log file should stay short
_RECENT_SECONDS = 60.0  # of training, over which the speed is averaged


class Display(Protocol):
    """Shows how far a run is."""

    def begin(self, start: int, total_steps: int) -> None:
        """Training starts at step `start` and ends at `total_steps`."""
        ...

    def update(self, step: int, values: Mapping[str, float]) -> None:
        """Shows `step`, and the new `values`."""
        ...

    def exclude(self, seconds: float) -> None:
        """Excludes seconds that were not spent on training from the speed."""
        ...

    def say(self, line: str) -> None:
        """Prints a line that stays."""
        ...

    def close(self) -> None:
        """Restores the terminal."""
        ...


class RecentSpeed:
    """Steps per second over the last minute of training, and the time left at that speed.

    Evaluation and saving are excluded, as in `time/steps_per_second`: the time left is that of training. If updates
    come less than once a minute, the span reaches back to the newest one that is a minute old.

    Args:
        start: the step at which training starts.
        total_steps: where it ends.
    """

    def __init__(self, start: int, total_steps: int) -> None:
        self._total_steps = total_steps
        self._excluded = 0.0  # seconds not spent on training
        self._updates = deque([(monotonic(), start)])  # (seconds of training, step), oldest first

    def exclude(self, seconds: float) -> None:
        """Excludes time that was not spent on training."""
        self._excluded += seconds

    def update(self, step: int) -> None:
        """Training has reached `step`."""
        if step <= self._updates[-1][1]:
            return
        now = monotonic() - self._excluded
        self._updates.append((now, step))
        while self._updates[1][0] <= now - _RECENT_SECONDS:
            self._updates.popleft()

    @property
    def steps_per_second(self) -> float:
        """0 before the first update."""
        (began, first), (now, last) = self._updates[0], self._updates[-1]
        return (last - first) / max(now - began, 1e-9)

    def __str__(self) -> str:
        speed = self.steps_per_second
        if speed == 0.0:
            return "- steps/s"
        left = max(self._total_steps - self._updates[-1][1], 0) / speed
        minutes, seconds = divmod(round(left), 60)
        hours, minutes = divmod(minutes, 60)
        clock = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
        return f"{speed:,.0f} steps/s  {clock} left"


class LiveDisplay:
    """A progress bar with steps/s, the time left, and the newest returns."""

    def __init__(self, console: Console) -> None:
        self._summary: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[speed]}", style="cyan"),
            TextColumn("{task.fields[summary]}", style="green"),
            console=console,
        )

    def begin(self, start: int, total_steps: int) -> None:
        """Draws the bar."""
        self._speed = RecentSpeed(start, total_steps)
        self._task = self._progress.add_task(
            "train", total=total_steps, completed=start, speed=str(self._speed), summary=""
        )
        self._progress.start()

    def update(self, step: int, values: Mapping[str, float]) -> None:
        """Moves the bar."""
        self._speed.update(step)
        self._summary.update(shown_values(values))
        self._progress.update(self._task, completed=step, speed=str(self._speed), summary=summarise(self._summary))

    def exclude(self, seconds: float) -> None:
        """Excludes it from the speed."""
        self._speed.exclude(seconds)

    def say(self, line: str) -> None:
        """Prints above the bar."""
        self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Stops redrawing."""
        self._progress.stop()


class PlainDisplay:
    """A line every 10 seconds, for files and batch jobs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._summary: dict[str, float] = {}

    def begin(self, start: int, total_steps: int) -> None:
        """Prints nothing yet."""
        self._total_steps = total_steps
        self._speed = RecentSpeed(start, total_steps)
        self._printed = monotonic()

    def update(self, step: int, values: Mapping[str, float]) -> None:
        """Prints a line if the last one is old enough, and always at the end."""
        self._speed.update(step)
        self._summary.update(shown_values(values))
        now = monotonic()
        if now - self._printed < _PLAIN_LINE_SECONDS and step < self._total_steps:
            return
        self._printed = now
        self.say(f"{step:,}/{self._total_steps:,} steps  {self._speed}  {summarise(self._summary)}")

    def exclude(self, seconds: float) -> None:
        """Excludes it from the speed."""
        self._speed.exclude(seconds)

    def say(self, line: str) -> None:
        """Prints a line."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Nothing is open."""


_SHOWN = {
    "train/episode_return": "return {:.1f}",
    "eval/episode_return": "eval {:.1f}",
    "eval/greedy_return": "greedy {:.1f}",
    "plan/residual": "residual {:.1e}",
}


def shown_values(row: Mapping[str, float]) -> dict[str, float]:
    """What of a row of numbers is worth showing."""
    return {key: row[key] for key in row if key in _SHOWN}


def summarise(values: Mapping[str, float]) -> str:
    """Values that are worth showing, in words."""
    return "  ".join(_SHOWN[key].format(value) for key, value in values.items())


def make_display() -> Display:
    """The live display if standard output is a terminal, plain lines otherwise."""
    console = Console()
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)
