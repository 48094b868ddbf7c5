"""Real wandb, offline; its files are read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from wandb_directory import history, records

from rlrun.runs.loggers import Hyperparameter, Row
from rlrun.runs.wandb_run import WandbRun

CHOSEN: dict[str, Hyperparameter] = {"algo": "dqn", "algo.gamma": 0.9, "seed": 3, "algo.double": True}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_MODE", "offline")


def run_in(directory: Path) -> WandbRun:
    directory.mkdir(parents=True, exist_ok=True)
    return WandbRun(directory, CHOSEN, project="of tests", entity=None, mode=None)


def test_a_run_is_read_back(tmp_path: Path) -> None:
    directory = tmp_path / "cartpole/dqn/abc/seed3"
    logger = run_in(directory)
    logger.begin([])
    logger.write(10, {"x": 1.0, "eval/y": 0.1 + 0.2})
    logger.write(20, {"x": 2.0})
    logger.write(20, {"z": 3.0})
    logger.image(20, "tables", np.full((4, 6, 3), 7, np.uint8))
    logger.finish()
    logger.close()
    first, second = history(directory)
    assert first == {"_step": 10, "x": 1.0, "eval/y": 0.1 + 0.2}
    assert second.items() >= {"_step": 20, "x": 2.0, "z": 3.0, "tables.width": 6, "tables.height": 4}.items()
    begun = [record.run for record in records(directory) if record.WhichOneof("record_type") == "run"]
    assert {run.run_id for run in begun} == {(directory / "run_id").read_text().strip()}
    assert begun[0].project == "of tests"
    assert begun[0].display_name == "cartpole/dqn/abc/seed3"
    config = {item.key: json.loads(item.value_json) for run in begun for item in run.config.update}
    assert config.items() >= CHOSEN.items()
    (end,) = [record.exit for record in records(directory) if record.WhichOneof("record_type") == "exit"]
    assert end.exit_code == 0


def test_a_resumed_run_is_one_directory_with_every_row_once(tmp_path: Path) -> None:
    interrupted = run_in(tmp_path)
    interrupted.begin([])
    for step in (10, 20, 30):
        interrupted.write(step, {"x": float(step)})
    interrupted.close()
    name = (tmp_path / "run_id").read_text()
    (end,) = [record.exit for record in records(tmp_path) if record.WhichOneof("record_type") == "exit"]
    assert end.exit_code != 0
    resumed = run_in(tmp_path)
    resumed.begin([Row(10, {"x": 10.0}, None), Row(10, {"time/y": 1.0}, 1e9), Row(20, {"x": 20.0}, None)])
    resumed.write(30, {"x": 31.0})
    resumed.close()
    assert (tmp_path / "run_id").read_text() == name
    assert history(tmp_path) == [
        {"_step": 10, "x": 10.0, "time/y": 1.0},
        {"_step": 20, "x": 20.0},
        {"_step": 30, "x": 31.0},
    ]
