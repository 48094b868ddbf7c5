"""What a person watches while a run goes on: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_PLAIN_LINE_SECONDS = 10.0  # between plain lines; a log file is read later, so few lines say more


class Display(Protocol):
    """Shows how far a run is."""

    def update(self, step: int, values: Mapping[str, float]) -> None:
        """Shows `step`, and what is new in `values`."""
        ...

    def say(self, line: str) -> None:
        """Prints a line that stays."""
        ...

    def close(self) -> None:
        """Leaves the terminal as it was."""
        ...


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} steps/s" if task.speed else "- steps/s", style="cyan")


class LiveDisplay:
    """A progress bar with steps/s, the time left, and the newest returns."""

    def __init__(self, console: Console, start: int, total_steps: int) -> None:
        self._progress = Progress(
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            BarColumn(bar_width=20),
            _Speed(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[summary]}", style="green"),
            console=console,
            speed_estimate_period=60.0,
        )
        self._summary: dict[str, float] = {}
        self._task = self._progress.add_task("train", total=total_steps, completed=start, summary="")
        self._progress.start()

    def update(self, step: int, values: Mapping[str, float]) -> None:
        """Moves the bar."""
        self._summary.update({key: value for key, value in values.items() if key in _SHOWN})
        self._progress.update(self._task, completed=step, summary=_summarise(self._summary))

    def say(self, line: str) -> None:
        """Prints above the bar."""
        self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Stops redrawing."""
        self._progress.stop()


class PlainDisplay:
    """A line now and then, for files and batch jobs."""

    def __init__(self, console: Console, start: int, total_steps: int) -> None:
        self._console = console
        self._total_steps = total_steps
        self._start, self._started = start, monotonic()
        self._printed = self._started
        self._summary: dict[str, float] = {}

    def update(self, step: int, values: Mapping[str, float]) -> None:
        """Prints a line if the last one is old enough, and always at the end."""
        self._summary.update({key: value for key, value in values.items() if key in _SHOWN})
        now = monotonic()
        if now - self._printed < _PLAIN_LINE_SECONDS and step < self._total_steps:
            return
        self._printed = now
        speed = (step - self._start) / max(now - self._started, 1e-9)
        left = max(self._total_steps - step, 0) / max(speed, 1e-9)
        minutes, seconds = divmod(round(left), 60)
        self.say(
            f"{step:,}/{self._total_steps:,} steps  {speed:,.0f} steps/s  {minutes}:{seconds:02d} left  "
            f"{_summarise(self._summary)}"
        )

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


def _summarise(values: Mapping[str, float]) -> str:
    return "  ".join(_SHOWN[key].format(value) for key, value in values.items())


def make_display(start: int, total_steps: int) -> Display:
    """The live display if standard output is a terminal, plain lines otherwise."""
    console = Console()
    if console.is_terminal:
        return LiveDisplay(console, start, total_steps)
    return PlainDisplay(console, start, total_steps)
