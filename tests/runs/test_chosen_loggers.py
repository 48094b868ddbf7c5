"""Loggers as a person chooses them: in real runs, killed in the middle, and where their packages are missing."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb_directory import history

from rlrun.cli.main import run_command
from rlrun.runs.loggers import read_rows

ALL = "logger=[tensorboard,csv,wandb,mlflow]"
SHORT = ["algo=random", "env=cartpole", "evaluation.episodes=2", "evaluation.num_envs=2", "device=cpu", "name=run"]
PLACE = Path("runs/cartpole/random/run/seed0")


def start(here: Path, *overrides: str, **variables: str) -> subprocess.Popen[str]:
    """The command in a process of its own, in `here`."""
    root = str(Path(__file__).resolve().parents[2])
    quiet = {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "MLFLOW_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "rlrun", *SHORT, *overrides],
        cwd=here,
        env=inherited | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"} | quiet | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(here: Path, *overrides: str, **variables: str) -> tuple[int, str]:
    process = start(here, *overrides, **variables)
    said, _ = process.communicate(timeout=300)
    return process.returncode, said


def logged(directory: Path) -> dict[str, dict[int, float]]:
    """The last value of every metric at every step, by metric."""
    found: dict[str, dict[int, float]] = {}
    for name in ("metrics.jsonl", "timings.jsonl"):
        for row in read_rows(directory / name):
            for key, value in row.items():
                if key not in ("step", "unix_time"):
                    found.setdefault(key, {})[int(row["step"])] = value
    return found


def by_metric(rows: list[dict[str, Any]], step: str) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        for key, value in row.items():
            if key != step and value != "":
                assert int(row[step]) not in found.setdefault(key, {}), "a step is there twice"
                found[key][int(row[step])] = float(value)
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy
def test_a_run_killed_and_resumed_is_whole_in_every_logger_and_the_same_bits(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    overrides = [
        "total_steps=24000",
        "log_every_steps=1000",
        "evaluation.every_steps=8000",
        "checkpoint.every_seconds=0.2",
    ]
    with_all, plain = tmp_path / "all", tmp_path / "none"
    for here in (with_all, plain):
        here.mkdir()
    directory = with_all / PLACE
    process = start(with_all, *overrides, ALL)
    deadline = time.monotonic() + 240
    while (
        not list(directory.glob("checkpoints/step-*.state")) or (directory / "metrics.csv").read_text().count("\n") < 5
    ):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert not (directory / "result.json").exists()
    status, said = finish(with_all, *overrides, ALL)
    assert status == 0, said
    assert "resuming at step" in said
    assert finish(plain, *overrides, "logger=none")[0] == 0
    assert (directory / "metrics.jsonl").read_bytes() == (plain / PLACE / "metrics.jsonl").read_bytes()
    assert not (plain / PLACE / "run_id").exists()

    expected = logged(directory)
    assert len(expected["train/episode_return"]) == 24
    with (directory / "metrics.csv").open(newline="") as file:
        assert by_metric(list(csv.DictReader(file)), "step") == expected
    assert by_metric(history(directory), "_step") == expected
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    events.Reload()
    assert set(events.Tags()["scalars"]) == set(expected)
    rows = [*read_rows(directory / "metrics.jsonl"), *read_rows(directory / "timings.jsonl")]
    for name, values in expected.items():
        assert len(events.Scalars(name)) == sum(name in row for row in rows), name
        shown = {event.step: event.value for event in events.Scalars(name)}
        assert shown == pytest.approx(values, rel=1e-6), name  # TensorBoard's are float32
    client = MlflowClient(f"sqlite:///{with_all / 'mlflow.db'}")
    group = client.get_experiment_by_name("rlrun")
    assert group is not None
    (run,) = client.search_runs([group.experiment_id])
    kept = {name: client.get_metric_history(run.info.run_id, name) for name in expected}
    assert run.info.status == "FINISHED"
    for name, values in expected.items():
        assert sorted(each.step for each in kept[name]) == sorted(values), name  # none twice, none missing
        if not name.startswith("time/"):  # those that were measured again stay as they were
            assert {each.step: each.value for each in kept[name]} == values


def test_an_extra_that_is_missing_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rlrun.runs.loggers.find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    for extra in ("wandb", "mlflow"):
        assert run_command(["rlrun", *SHORT, f"logger=[csv,{extra}]"]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"pip install 'rlrun[{extra}]'" in said
    assert list(tmp_path.iterdir()) == []


def test_wandb_without_a_key_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    status, said = finish(tmp_path, "logger=wandb", WANDB_MODE="online", HOME=str(tmp_path))
    assert status == 2, said
    assert "logger=wandb cannot log in" in said
    assert "logger.wandb.mode=offline" in said
    assert not (tmp_path / "runs").exists()


def test_a_server_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    nobody = "logger.mlflow.tracking_uri=http://127.0.0.1:9"
    status, said = finish(tmp_path, "logger=mlflow", nobody, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert status == 2, said
    assert "logger=mlflow cannot begin" in said.splitlines()[-1]


def test_logging_may_be_chosen_anew_where_a_run_is_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [f"runs_dir={tmp_path}", "evaluation.every_steps=null"]
    assert run_command(["rlrun", *SHORT, *overrides, "logger=none", "total_steps=2000"]) == 0
    directory = tmp_path / PLACE.relative_to("runs")
    assert not (directory / "metrics.csv").exists()
    assert run_command(["rlrun", "resume", str(directory), "logger=[csv,tensorboard]", "total_steps=3000"]) == 0
    with (directory / "metrics.csv").open(newline="") as file:
        assert by_metric(list(csv.DictReader(file)), "step") == logged(directory)
    assert len(list(directory.glob("events.out.tfevents.*"))) == 1
    assert run_command(["rlrun", "resume", str(directory), "logger=[csv,tensorbord]", "total_steps=4000"]) == 2
    assert "unknown logger 'tensorbord'" in capsys.readouterr().err
    assert run_command(["rlrun", "resume", str(directory), "logger=none", "total_steps=4000"]) == 0
    assert json.loads((directory / "result.json").read_text())["step"] == 4000
