"""Loggers, of which a run may have several or none: each option is an object below `logger`, by its name."""

from __future__ import annotations

from pathlib import Path

import pytest
from added_directory import with_files
from omegaconf import OmegaConf

from rlrun.config.compose import load_config
from rlrun.config.config import Config
from rlrun.config.explain import explanation
from rlrun.config.files import config_directory
from rlrun.config.saved import config_of_run
from rlrun.errors import UserError
from rlrun.runs.manifest import digest

OVERRIDES = ("algo=random", "env=cartpole")


def chosen(*overrides: str, directories: list[Path] | None = None) -> Config:
    return load_config([*OVERRIDES, *overrides], directories or [config_directory()])


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ([], ["tensorboard"]),
        (["logger=csv"], ["csv"]),
        (["logger=[tensorboard,csv]"], ["tensorboard", "csv"]),
        (["logger=[wandb]", "logger.wandb.project=mine"], ["wandb"]),
        (["logger=none"], []),
        (["logger=[]"], []),
        (["+logger.also._target_=rlrun.runs.csv_file.CsvFile"], ["tensorboard", "also"]),
    ],
)
def test_none_one_or_several_are_chosen(overrides: list[str], names: list[str]) -> None:
    assert list(chosen(*overrides).loggers) == names


def test_keys_of_each_are_below_its_name() -> None:
    loggers = chosen("logger=[wandb,mlflow]", "logger.wandb.project=mine", "logger.mlflow.experiment=ours").loggers
    assert loggers["wandb"].arguments["project"] == "mine"
    assert loggers["mlflow"].arguments["experiment"] == "ours"


def test_files_choose_them_too_and_the_command_line_wins(tmp_path: Path) -> None:
    files = {
        "experiment/logged": "# @package _global_\ndefaults:\n  - override /logger: [csv, wandb]\nlogger:\n  wandb:\n"
        "    project: theirs\n",
        "logger/mine": "# @package logger.mine\n# Mine.\n_target_: rlrun.runs.csv_file.CsvFile\n",
    }
    directories = with_files(tmp_path, files)
    logged = chosen("experiment=logged", directories=directories).loggers
    assert list(logged) == ["csv", "wandb"]
    assert logged["wandb"].arguments["project"] == "theirs"
    assert list(chosen("logger=[mine,csv]", directories=directories).loggers) == ["mine", "csv"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["logger=[csv,wandbb]"], "unknown logger 'wandbb'; nearest: wandb; available: csv, mlflow, none, "),
        (["logger=wandb", "logger.wandb.projct=x"], "unknown key logger.wandb.projct; nearest: logger.wandb.project"),
        (["logger=wandb", "logger.wandb.mode=onlin"], "logger.wandb.mode=onlin is not valid"),
        (["logger=csv", "logger.wandb.mode=offline"], "unknown key logger.wandb.mode"),
        (["logger=wandb", "+logger.wandb.modee=offline"], "unknown key logger.wandb.modee"),
        (["logger=csv,wandb"], "logger=csv,wandb gives several values"),
        (["logger._target_=rlrun.runs.csv_file.CsvFile"], "logger must hold one object for each name"),
        (["+logger.x=1"], "unknown key logger.x"),
        (["+logger.mine._target_=rlrun.envs.cartpole.CartPole"], "logger.mine._target_=rlrun.envs.cartpole.CartPole"),
    ],
)
def test_slips_are_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        chosen(*overrides)
    assert str(caught.value).startswith(message)


def test_a_file_without_a_package_of_its_own_is_refused(tmp_path: Path) -> None:
    directories = with_files(tmp_path, {"logger/mine": "_target_: rlrun.runs.csv_file.CsvFile\n"})
    with pytest.raises(UserError, match=r"the first line of a file in logger/ is # @package logger\.NAME"):
        chosen("logger=mine", directories=directories)


def test_they_are_explained() -> None:
    rows = explanation([*OVERRIDES, "logger=[csv,wandb]"], [config_directory()], ["logger"]).rows
    assert [row.key.name for row in rows][:4] == ["logger", "logger.csv", "logger.wandb", "logger.wandb.project"]
    assert [row.place for row in rows][:2] == ["", "conf/logger/csv.yaml, line 3"]


@pytest.mark.parametrize(
    ("override", "names"), [("logger=none", []), ("logger=csv", ["csv"]), ("logger=[wandb,csv]", ["wandb", "csv"])]
)
def test_those_chosen_for_a_run_that_exists_replace_its_own(tmp_path: Path, override: str, names: list[str]) -> None:
    config = chosen("logger=[tensorboard,mlflow]")
    text = OmegaConf.to_yaml(OmegaConf.create(config.as_plain()))
    (tmp_path / "config.yaml").write_text(text)
    manifest = {
        "config_digests": [digest(text)],
        "labels": config.labels,
        "seed": config.seed,
        "total_steps": config.total_steps,
        "experiment": config.experiment(),
    }
    assert list(config_of_run(tmp_path, manifest, [], [config_directory()]).loggers) == ["tensorboard", "mlflow"]
    assert list(config_of_run(tmp_path, manifest, [override], [config_directory()]).loggers) == names
