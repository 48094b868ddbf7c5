"""The pictures and tables of a finished run."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path

from rlrun.pictures.tables_file import PICTURE, VIDEO, Shown, save_tables
from rlrun.protocols import Agent, Tabular
from rlrun.runs.loggers import Logger
from rlrun.types import NoSteps, TabularModel


@dataclass(slots=True, kw_only=True, eq=False)
class TableArtifacts:
    """Tables, a picture of them, and a video of planning, for agents with tables of the states that they observe.

    Made before the agent learns: the video begins with the planner as it is then.
    """

    agent: Agent
    model: TabularModel | None  # of the states that it observes
    directory: Path
    title: str
    _planner: Agent | None = field(init=False)  # on a grid: as it began

    def __post_init__(self) -> None:
        plans = isinstance(self.agent.collection, NoSteps) and self.model is not None and self.model.layout is not None
        self._planner = copy.deepcopy(self.agent) if plans else None

    def save(self, step: int, logger: Logger) -> None:
        """Writes them, and passes picture and video to `logger`; `step` is the last one."""
        if self.model is None or not isinstance(self.agent, Tabular):
            return
        shown = Shown(self.agent.tables(), self.model)
        save_tables(self.directory, shown)
        from rlrun.pictures.figures import figure_of  # matplotlib is slow to import
        from rlrun.pictures.planning_video import save_planning_video
        from rlrun.pictures.sheet import pixels, save_picture

        figure = figure_of(shown, self.title)
        if figure is not None:
            image = pixels(figure)
            save_picture(self.directory / PICTURE, image)
            logger.image(step, "tables", image)
        if self._planner is not None and self.model.layout is not None:
            save_planning_video(self.directory, self._planner, self.model.layout, self.title, step)
            if (self.directory / VIDEO).exists():  # not of large grids
                logger.video(step, "values", self.directory / VIDEO)
