"""Real MLflow, with a real SQLite file, read back by MLflow's own client."""

import shutil
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rlrun.runs.loggers import Hyperparameter, Row
from rlrun.runs.mlflow_run import MlflowRun

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy
CHOSEN: dict[str, Hyperparameter] = {"algo": "dqn", "algo.gamma": 0.9, "seed": 3, "algo.double": True}


def client_of(uri: str) -> Any:
    from mlflow import MlflowClient  # slow to import, so not wherever tests are collected

    return MlflowClient(uri)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables, which take seconds to make."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        client_of(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def uri(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)  # MLflow keeps artifacts in ./mlruns
    return f"sqlite:///{shutil.copy(empty, tmp_path / 'mlflow.db')}"


def run_in(directory: Path, uri: str, **chosen: Any) -> MlflowRun:
    directory.mkdir(parents=True, exist_ok=True)
    return MlflowRun(directory, CHOSEN | chosen, experiment="of tests", tracking_uri=uri)


def runs(uri: str) -> list[Any]:
    client = client_of(uri)
    return list(client.search_runs([client.get_experiment_by_name("of tests").experiment_id]))


def history(uri: str, run: Any, name: str) -> list[tuple[int, float]]:
    return [(each.step, each.value) for each in client_of(uri).get_metric_history(run.info.run_id, name)]


def test_a_run_is_read_back(tmp_path: Path, uri: str) -> None:
    logger = run_in(tmp_path / "cartpole/dqn/abc/seed3", uri)
    logger.begin([])
    logger.write(10, {"x": 1.0, "eval/y": 0.1 + 0.2})
    logger.write(20, {"x": 2.0})
    logger.image(20, "tables", np.full((4, 6, 3), 7, np.uint8))
    logger.finish()
    logger.close()
    (run,) = runs(uri)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "cartpole/dqn/abc/seed3"
    assert run.data.params == {"algo": "dqn", "algo.gamma": "0.9", "seed": "3", "algo.double": "True"}
    assert run.data.metrics == {"x": 2.0, "eval/y": 0.1 + 0.2}
    assert history(uri, run, "x") == [(10, 1.0), (20, 2.0)]
    picture = client_of(uri).download_artifacts(run.info.run_id, "tables-20.png", str(tmp_path))
    with Image.open(picture) as image:
        np.testing.assert_array_equal(np.asarray(image), np.full((4, 6, 3), 7))


def test_a_resumed_run_adds_only_what_is_not_there(tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = run_in(tmp_path / "run", uri)
    killed.begin([])
    clock = count(1_000_000_000, 2)
    monkeypatch.setattr("rlrun.runs.mlflow_run.monotonic", lambda: float(next(clock)))  # so every row is sent at once
    for step in (10, 20, 30):
        killed.write(step, {"x": float(step), "time/y": 1.0})
    assert runs(uri)[0].info.status == "RUNNING"
    resumed = run_in(tmp_path / "run", uri, total_steps=100)  # it was saved at step 20, and a row is missing
    resumed.begin([Row(10, {"x": 10.0, "z": 1.0}, 1e9), Row(15, {"x": 15.0}, None), Row(20, {"x": 20.0}, None)])
    resumed.write(30, {"x": 30.0, "time/y": 2.0})
    resumed.write(40, {"x": 40.0})
    resumed.write(40, {"x": 40.0, "w": 1.0})
    resumed.close()
    (run,) = runs(uri)
    assert run.info.status == "KILLED"
    assert sorted(history(uri, run, "x")) == [(step, float(step)) for step in (10, 15, 20, 30, 40)]
    assert history(uri, run, "time/y") == [(10, 1.0), (20, 1.0), (30, 1.0)]
    assert history(uri, run, "z") == [(10, 1.0)]
    assert history(uri, run, "w") == [(40, 1.0)]
    assert run.data.params["total_steps"] == "100"
    changed = run_in(tmp_path / "run", uri, total_steps=200)  # MLflow cannot change it
    changed.begin([])
    changed.close()
    assert runs(uri)[0].data.params["total_steps"] == "100"


def test_runs_of_other_directories_are_other_runs(tmp_path: Path, uri: str) -> None:
    for name in ("a", "b"):
        logger = run_in(tmp_path / name, uri)
        logger.begin([Row(1, {"x": 1.0}, None)])
        logger.close()
    assert len(runs(uri)) == 2
