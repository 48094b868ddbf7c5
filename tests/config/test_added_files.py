"""Files of one's own that would be read as nobody means, or not at all, are refused by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from added_directory import with_files
from refusals import refusal

from rlrun.cli.main import run_command
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.config.provenance import read

OVERRIDES = ("algo=q_learning", "env=gridworld")


def directories(directory: Path, **files: str) -> list[Path]:
    """`directory` with files (`group__name=text`), before rlrun's own."""
    return with_files(directory, {name.replace("__", "/"): text for name, text in files.items()})


@pytest.mark.parametrize("file", ["config.yaml", "config.yml", "preset/q_learning_taxi.yml", "agents/mine.yml"])
def test_a_file_that_nothing_would_read_is_refused(tmp_path: Path, file: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("seed: 1\n")
    refusal(lambda: load_config(OVERRIDES, [tmp_path, config_directory()]), str(path))


@pytest.mark.parametrize("name", ["q_learning_ownd", "qlearning_own", "q_laerning_own"])
def test_a_preset_with_a_slip_in_its_name_is_told_about(tmp_path: Path, name: str) -> None:
    half = "# @package _global_\nalgo:\n  gamma: 0.5\n"
    found = directories(tmp_path, env__own="defaults: [gridworld, _self_]\nnum_envs: 2\n", **{f"preset__{name}": half})
    overrides = ["algo=q_learning", "env=own"]
    refusal(lambda: load_config(overrides, found), f"{tmp_path / 'preset' / name}.yaml", "q_learning_own.yaml")
    assert load_config([*overrides, "preset=null"], found).algo.arguments["gamma"] != 0.5
    assert load_config([*overrides, f"preset={name}"], found).algo.arguments["gamma"] == 0.5


def test_a_preset_that_is_a_variant_or_another_pairs_is_left_alone(tmp_path: Path) -> None:
    half = "# @package _global_\nalgo:\n  gamma: 0.5\n"
    names = ("q_learning_own2", "my_q_learning_own", "q_iteration_own", "other")
    own = "defaults: [gridworld, _self_]\nnum_envs: 2\n"
    found = directories(tmp_path, env__own=own, **{f"preset__{name}": half for name in names})
    assert load_config(["algo=q_learning", "env=own"], found).algo.arguments["gamma"] != 0.5


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("seed: 010", "010 8 '010'"),
        ("log_every_steps: 1:30", "1:30 90"),
        ("env: {options: [-012]}", "-012 -10"),
        ("env: {wrappers: [{a: 010}]}", "010 8"),
        ("algo.gamma: 0.5", "algo.gamma"),
        ("algo: {a.b.c: 1}", "a.b.c"),
    ],
)
@pytest.mark.parametrize(
    ("word", "defaults"),
    [
        ("experiment=wrong", ""),
        ("experiment=[right,wrong]", ""),
        ("experiment=right", "defaults: [wrong]"),
        ("experiment=right", "defaults: [/experiment/wrong]"),
        ("experiment=right", "defaults: [override /preset: [other]]"),
    ],
)
def test_what_yaml_takes_for_something_else_is_refused_with_its_line(
    tmp_path: Path, word: str, defaults: str, line: str, named: str
) -> None:
    found = directories(
        tmp_path,
        experiment__wrong=f"# @package _global_\n\n{line}\n",
        experiment__right=f"# @package _global_\n{defaults}\nseed: 1\n",
        preset__other="# @package _global_\ndefaults: [/experiment/wrong]\n",
    )
    refusal(lambda: load_config([*OVERRIDES, word], found), "experiment/wrong.yaml, line 3", *named.split())
    load_config(OVERRIDES, found)  # a file that is not chosen is nobody's concern


@pytest.mark.parametrize("value", ["0", "0.5", "10", "0x10", "1_000", "1e-3", "'010'", "text:1", "08:00 pm", "0o17"])
def test_what_is_read_as_it_looks_is_accepted(tmp_path: Path, value: str) -> None:
    found = directories(tmp_path, experiment__own=f"# @package _global_\nname: {value}\n")
    assert read(found[0] / "experiment/own.yaml", "")[0].key == "name"


def test_the_file_that_a_file_starts_from_is_read_too(tmp_path: Path) -> None:
    found = directories(tmp_path, env__own="defaults:\n  - older\n  - _self_\n", env__older="num_envs: 010\n")
    refusal(lambda: load_config(["algo=q_learning", "env=own"], found), "older.yaml, line 1", "010")


def test_a_sweeper_of_ones_own_has_dotted_keys_and_is_swept_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf/hydra/sweeper").mkdir(parents=True)
    (tmp_path / "conf/hydra/sweeper/mine.yaml").write_text(
        "_target_: hydra._internal.core_plugins.basic_sweeper.BasicSweeper\n"
        "max_batch_size: null\nparams:\n  algo.gamma: 0.9,0.8\n"
    )
    monkeypatch.chdir(tmp_path)
    short = ["total_steps=100", "evaluation.episodes=1", "logger=none", "device=cpu"]
    assert run_command(["rlrun", "-m", "--config-dir", "conf", *OVERRIDES, *short, "hydra/sweeper=mine"]) == 0
    assert capsys.readouterr().err == ""
    gammas = {re.search(r"gamma: (\S+)", file.read_text())[1] for file in tmp_path.glob("runs/*/*/*/*/config.yaml")}  # type: ignore[index]
    assert gammas == {"0.9", "0.8"}


@pytest.mark.parametrize("where", ["experiment", "schedule"])
def test_a_file_that_is_no_utf8_stops_no_run_that_does_not_use_it(tmp_path: Path, where: str) -> None:
    found = directories(tmp_path, algo__mine="defaults: [q_learning, /schedule@epsilon: slow, _self_]\n")
    for name in (f"{where}/other.yaml", "schedule/slow.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("_target_: rlrun.numerics.schedules.Constant\nvalue: 0.2\n")
    (tmp_path / where / "other.yaml").write_bytes(b"# caf\xe9\nseed: 1\n")
    assert load_config(["algo=mine", "env=gridworld"], found).seed == 0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("algo:\n  gamma: 0.5\n", "experiment.algo"),
        ("# Mine.\n# @package _global_\nseed: 1\n", "experiment.seed"),
        ("\ufeff# @package _global_\nseed: 1\n", "experiment.seed"),
        ("# @package _gobal_\nalgo:\n  gamma: 0.5\n", "_gobal_"),
        ("# @package\nseed: 1\n", ""),
        ("# @package _global_ # mine\nseed: 1\n", ""),
    ],
)
def test_an_experiment_that_sets_nothing_of_a_run_is_refused(tmp_path: Path, text: str, named: str) -> None:
    found = directories(tmp_path, experiment__own=text)
    refusal(lambda: load_config([*OVERRIDES, "experiment=own"], found), named)


def test_an_experiment_may_be_about_one_part_alone(tmp_path: Path) -> None:
    found = directories(tmp_path, experiment__own="\n# @package algo\n# A comment.\ngamma: 0.5\n")
    assert load_config([*OVERRIDES, "experiment=own"], found).algo.arguments["gamma"] == 0.5


def test_an_experiment_without_its_first_line_is_not_taken_for_a_missing_algorithm(tmp_path: Path) -> None:
    added = directories(tmp_path, experiment__mine="defaults:\n  - override /algo: q_learning\n")
    refusal(lambda: load_config(["experiment=mine", "env=gridworld"], added), "experiment/mine")
