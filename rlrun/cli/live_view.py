"""What `rlrun watch` draws: the picture in half blocks, and beside it the run and what the policy thinks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.style import Style

from rlrun.pictures.action_scores import Scores
from rlrun.pictures.playing import Shot
from rlrun.pictures.terminal import fitted, in_cells

_PANEL, _NAME, _NUMBER = 34, 11, 9  # cells
_LEAST_PICTURE = 24  # cells; below, the picture stands alone
_HINT = "q ends"
_BOLD, _DIM = Style(bold=True), Style(dim=True)


@dataclass(frozen=True, slots=True, eq=False)
class LiveView:
    """One frame; it fits itself to the terminal."""

    facts: Sequence[str]  # of the run, a line each
    shot: Shot
    names: Sequence[str]  # of the actions
    limits: tuple[float, float]  # at the ends of the bars

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Lines of segments."""
        width, height = options.max_width, options.height or console.height
        panel = list(self._panel(height - 1)) if width >= _PANEL + _LEAST_PICTURE else []
        room = width - _PANEL if panel else width
        coloured = console.color_system is not None and not console.no_color
        picture = list(in_cells(fitted(self.shot.picture, room - 1, height - 1), coloured=coloured))
        for row in range(height - 1):
            line = picture[row] if row < len(picture) else []
            yield from line
            if row < len(panel):
                text, style = panel[row]
                yield Segment(" " * (room - sum(segment.cell_length for segment in line)))
                yield Segment(text[: _PANEL - 1], style)
            yield Segment.line()
        yield Segment(_HINT[:width], _DIM)

    def _panel(self, rows: int) -> Iterator[tuple[str, Style | None]]:
        for number, fact in enumerate(self.facts):
            yield fact, None if number else _BOLD
        yield "", None
        yield f"episode {self.shot.episode:,}, step {self.shot.step:,}{', end' if self.shot.last else ''}", None
        yield f"return {self.shot.episode_return:,.6g}", _BOLD
        if self.shot.scores is not None:
            yield "", None
            yield from self._bars(self.shot.scores, rows - len(self.facts) - 4)

    def _bars(self, scores: Scores, rows: int) -> Iterator[tuple[str, Style | None]]:
        low, high = self.limits
        yield f"{scores.kind}, {low:.3g} to {high:.3g}", None
        length = _PANEL - 1 - _NAME - _NUMBER
        for action, (name, value) in enumerate(zip(self.names, scores.values.tolist(), strict=True)):
            if action >= rows - 1:
                return
            known = bool(np.isfinite(value))
            share = min(max((value - low) / (high - low), 0.0), 1.0) if known and high > low else float(known)
            bar = ("█" * round(share * length)).ljust(length)
            number = f"{value:.3g}" if known else ""
            chosen = action == self.shot.action
            mark = "›" if chosen else " "
            yield f"{mark}{name[: _NAME - 2]:<{_NAME - 1}}{bar}{number:>{_NUMBER}}", _BOLD if chosen else _DIM
