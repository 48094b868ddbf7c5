"""A run on Weights & Biases, or in a directory that `wandb sync` sends there. Needs the extra `wandb`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from rlrun.errors import UserError
from rlrun.runs.loggers import Hyperparameter, Row, first_line, kept_id, require, run_name

if TYPE_CHECKING:
    import wandb


class WandbRun:
    """One run of Weights & Biases, known by an id that is kept in the run's directory.

    Offline, wandb cannot resume, and the directory synced last replaces the others of the same id. So a resumed run
    writes a new one from all its rows and removes the old one. Online, the server says how far it is, and only later
    rows are sent.

    Args:
        directory: of the run.
        hyperparameters: what wandb shows as config.
        project: to which the run belongs.
        entity: user or team that the project belongs to; None for wandb's default.
        mode: whether rows are sent at once, or kept for `wandb sync`; None for what the environment variable
            WANDB_MODE says, or else online.

    Raises:
        UserError: if wandb is not installed, or, online, nobody is logged in.
    """

    def __init__(
        self,
        directory: Path,
        hyperparameters: Mapping[str, Hyperparameter],
        *,
        project: str,
        entity: str | None,
        mode: Literal["online", "offline"] | None,
    ) -> None:
        require("wandb", "wandb")
        self._directory, self._hyperparameters = directory, hyperparameters
        self._project, self._entity = project, entity
        self._mode = mode or ("offline" if os.environ.get("WANDB_MODE") == "offline" else "online")
        self._run: wandb.Run | None = None
        self._finished = False
        if self._mode == "online":
            _log_in()

    def begin(self, rows: Sequence[Row]) -> None:
        """Starts or resumes the run, and hands over the rows that wandb lacks."""
        import wandb  # slow to import, so only when used

        name = kept_id(self._directory)
        for old in self._directory.glob(f"wandb/offline-run-*-{name}"):
            rmtree(old)
        self._run = wandb.init(
            project=self._project,
            entity=self._entity,
            id=name,
            name=run_name(self._directory),
            dir=self._directory,
            config=dict(self._hyperparameters),
            mode=self._mode,
            resume="allow" if self._mode == "online" else None,
            allow_val_change=True,  # of config: a resumed run may be longer
            settings=wandb.Settings(console="off", silent=True, disable_git=True, disable_code=True),
        )
        for row in rows:
            if row.step >= self._run.starting_step:
                self.write(row.step, row.values)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds values to the row of a step."""
        self._begun.log(dict(values), step=step)

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Adds a picture."""
        import wandb

        self._begun.log({name: wandb.Image(image)}, step=step)

    def video(self, step: int, name: str, path: Path) -> None:
        """Adds a video."""
        import wandb

        self._begun.log({name: wandb.Video(str(path), format="gif")}, step=step)

    def finish(self) -> None:
        """Marks the run as finished; the summary holds its last values."""
        self._finished = True

    def close(self) -> None:
        """Sends what is left. A run that is not finished can be resumed."""
        if self._run is not None:
            self._run.finish(exit_code=0 if self._finished else 1)

    @property
    def _begun(self) -> wandb.Run:
        if self._run is None:
            raise RuntimeError("a logger's `begin` must be called before its first row")
        return self._run


def _log_in() -> None:
    import wandb

    try:
        wandb.login()
    except wandb.Error as error:
        raise UserError(
            f"logger=wandb cannot log in: {first_line(error)}; `wandb login` keeps a key, and "
            "logger.wandb.mode=offline needs none"
        ) from error
