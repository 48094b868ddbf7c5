"""A run in MLflow: on a server, or in an SQLite file. Needs the extra `mlflow`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rlrun.runs.loggers import Hyperparameter, Row, kept_id, require, run_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_TAG = "rlrun.id"
_MOST_LETTERS = 6000  # of a parameter's value
_MOST_METRICS = 1000  # in one request
_EVERY_SECONDS = 1.0  # a commit to SQLite takes 10 to 20 ms, which many short rows would feel; our choice


class MlflowRun:
    """One run of MLflow, found by a tag with the id that is kept in the run's directory.

    MLflow can neither change nor remove a value. So a resumed run adds only what is not there: of each metric, the
    steps without a value, and of the parameters, those that are new.

    Args:
        directory: of the run.
        hyperparameters: what MLflow shows as parameters.
        experiment: name of the MLflow experiment that the run belongs to.
        tracking_uri: such as sqlite:///mlflow.db or http://localhost:5000; None for what MLflow decides:
            the environment variable MLFLOW_TRACKING_URI, or mlflow.db in the working directory.

    Raises:
        UserError: if mlflow is not installed.
    """

    def __init__(
        self,
        directory: Path,
        hyperparameters: Mapping[str, Hyperparameter],
        *,
        experiment: str,
        tracking_uri: str | None,
    ) -> None:
        require("mlflow", "mlflow")
        self._directory, self._hyperparameters = directory, hyperparameters
        self._experiment, self._tracking_uri = experiment, tracking_uri
        self._client: MlflowClient | None = None
        self._id, self._finished = "", False
        self._pending: list[Metric] = []
        self._sent_at = 0.0  # on the clock of `monotonic`
        self._there: set[tuple[str, int]] = set()  # metrics and steps that MLflow has

    def begin(self, rows: Sequence[Row]) -> None:
        """Creates or reopens the run, and hands over what MLflow lacks."""
        from mlflow import MlflowClient  # slow to import, so only when used
        from mlflow.entities import Param

        self._client = MlflowClient(self._tracking_uri)
        self._id = self._opened()
        self._client.update_run(self._id, "RUNNING")  # it may have been finished, and shorter
        data = self._client.get_run(self._id).data
        self._there = {
            (name, metric.step) for name in data.metrics for metric in self._client.get_metric_history(self._id, name)
        }
        new = {name: value for name, value in self._hyperparameters.items() if name not in data.params}
        self._client.log_batch(
            self._id, params=[Param(name, str(value)[:_MOST_LETTERS]) for name, value in new.items()]
        )
        for row in rows:
            self._add(row.step, row.values, row.unix_time)
        self._send()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds the values that are not there, once a second has passed since values were sent."""
        self._add(step, values, None)
        if monotonic() - self._sent_at >= _EVERY_SECONDS:
            self._send()

    def image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Adds a picture to the artifacts; one of the same step replaces it."""
        self._begun.log_image(self._id, Image.fromarray(image), artifact_file=f"{name}-{step}.png")

    def video(self, step: int, name: str, path: Path) -> None:
        """Adds a video to the artifacts."""
        self._begun.log_artifact(self._id, str(path), f"{name}-{step}")

    def finish(self) -> None:
        """Marks the run as finished."""
        self._finished = True

    def close(self) -> None:
        """Tells MLflow how the run ended."""
        if self._client is not None:
            self._send()
            self._client.set_terminated(self._id, "FINISHED" if self._finished else "KILLED")

    def _opened(self) -> str:
        """MLflow's id of the run, which is created where MLflow has none with its tag."""
        found = self._begun.get_experiment_by_name(self._experiment)
        experiment = found.experiment_id if found is not None else self._begun.create_experiment(self._experiment)
        tag = kept_id(self._directory)
        runs = self._begun.search_runs([experiment], filter_string=f"tags.`{_TAG}` = '{tag}'")
        if runs:
            return str(runs[0].info.run_id)
        return str(self._begun.create_run(experiment, tags={_TAG: tag}, run_name=run_name(self._directory)).info.run_id)

    def _add(self, step: int, values: Mapping[str, float], unix_time: float | None) -> None:
        from mlflow.entities import Metric

        stamp = round(1000 * (time() if unix_time is None else unix_time))
        new = [Metric(name, value, stamp, step) for name, value in values.items() if (name, step) not in self._there]
        self._pending += new
        self._there.update((metric.key, step) for metric in new)

    def _send(self) -> None:
        while self._pending:
            self._begun.log_batch(self._id, metrics=self._pending[:_MOST_METRICS])
            del self._pending[:_MOST_METRICS]
        self._sent_at = monotonic()

    @property
    def _begun(self) -> MlflowClient:
        if self._client is None:
            raise RuntimeError("a logger's `begin` must be called before its first row")
        return self._client
