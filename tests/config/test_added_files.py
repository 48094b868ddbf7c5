"""Files of one's own that would be read as nobody means, or not at all, are refused by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from added_directory import with_files

from rlrun.cli.main import run_command
from rlrun.config.added_files import refuse_misplaced, refuse_misread
from rlrun.config.chosen_files import ChosenFiles
from rlrun.config.compose import load_config
from rlrun.config.config import CONFIG_KEYS
from rlrun.config.files import config_directory
from rlrun.errors import UserError

WORDS = ("algo=q_learning", "env=gridworld")


def directories(directory: Path, **files: str) -> list[Path]:
    """`directory` with files (`group__name=text`), before rlrun's own."""
    return with_files(directory, {name.replace("__", "/"): text for name, text in files.items()})


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("config.yaml", "would not be read, since every run begins with rlrun's own config.yaml"),
        ("config.yml", "would not be read, since every run begins with rlrun's own config.yaml"),
        ("preset/q_learning_taxi.yml", "config files end in .yaml; rename it to q_learning_taxi.yaml"),
        ("algo/own/mine.YAML", "config files end in .yaml; rename it to mine.yaml"),
        ("presets/q_learning_taxi.yaml", "presets is no group of config files; nearest: preset; available: algo, "),
        ("agents/mine.yml", "agents is no group of config files; nearest: "),
    ],
)
def test_a_file_that_nothing_would_read_is_refused(tmp_path: Path, file: str, words: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("seed: 1\n")
    with pytest.raises(UserError) as caught:
        load_config(WORDS, [tmp_path, config_directory()])
    assert str(caught.value).startswith(f"{path} would not be read")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "naming",
    [
        "defaults:\n  - /schedule@epsilon: slow\n",
        "defaults: [q_learning, /schedule@epsilon: slow, _self_]\n",
        "defaults: [q_learning, {optional /schedule@epsilon: [slow, fast]}]\n",
        "defaults: [/schedule/slow@epsilon]\n",
    ],
)
def test_a_group_of_ones_own_and_what_is_no_config_are_left_alone(tmp_path: Path, naming: str) -> None:
    for name in ("README.md", "schedule/slow.yaml", ".git/x.yaml", "data/map.txt", "runs/a/config.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("value: 1\n")
    with pytest.raises(UserError, match="schedule is no group"):
        refuse_misplaced([tmp_path, config_directory()])
    refuse_misplaced(directories(tmp_path, algo__mine=naming))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("seed: 010", "010 is read as 8, in base 8, as YAML 1.1 has it; write 8, or '010' in quotes for text"),
        ("log_every_steps: 1:30", "1:30 is read as 90, in base 60"),
        ("env: {options: [-012]}", "-012 is read as -10, in base 8"),
        (
            "algo.gamma: 0.5",
            "algo.gamma cannot be a key, since dots are for the command line; write algo: {gamma: ...}",
        ),
        ("algo: {a.b.c: 1}", "a.b.c cannot be a key, since dots are for the command line; write a: {b: {c: ...}}"),
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
    tmp_path: Path, word: str, defaults: str, line: str, words: str
) -> None:
    found = directories(
        tmp_path,
        experiment__wrong=f"# @package _global_\n\n{line}\n",
        experiment__right=f"# @package _global_\n{defaults}\nseed: 1\n",
        preset__other="# @package _global_\ndefaults: [/experiment/wrong]\n",
    )
    with pytest.raises(UserError, match=re.escape(f"experiment/wrong.yaml, line 3: {words}")):
        load_config([*WORDS, word], found)
    load_config(WORDS, found)  # a file that is not chosen is nobody's concern


@pytest.mark.parametrize("value", ["0", "0.5", "10", "0x10", "1_000", "1e-3", "'010'", "text:1", "08:00 pm", "0o17"])
def test_what_is_read_as_it_looks_is_accepted(tmp_path: Path, value: str) -> None:
    found = directories(tmp_path, experiment__own=f"# @package _global_\nname: {value}\n")
    files = ChosenFiles([*WORDS, "experiment=own"], found)
    refuse_misread(files, found, CONFIG_KEYS)


def test_the_file_that_a_file_starts_from_is_read_too(tmp_path: Path) -> None:
    found = directories(tmp_path, env__own="defaults:\n  - older\n  - _self_\n", env__older="num_envs: 010\n")
    with pytest.raises(UserError, match=r"older\.yaml, line 1: 010 is read as 8"):
        load_config(["algo=q_learning", "env=own"], found)


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
    assert run_command(["rlrun", "-m", "--config-dir", "conf", *WORDS, *short, "hydra/sweeper=mine"]) == 0
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
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing/a.yaml").write_text("seed: 1\n")
    with pytest.raises(UserError, match="nothing is no group"):
        load_config(WORDS, found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "algo:\n  gamma: 0.5\n",
            "must begin with the line # @package _global_: what it sets would be put below exper",
        ),
        ("# @package _gobal_\nalgo:\n  gamma: 0.5\n", "must begin with the line # @package _global_"),
        ("# Mine.\n# @package _global_\nseed: 1\n", "must begin with the line # @package _global_"),
        ("# @package\nseed: 1\n", "must be UTF-8 text that begins with the line # @package _global_"),
        ("# @package _global_ # mine\nseed: 1\n", "must be UTF-8 text that begins with the line # @package _global_"),
        ("", "is empty, so experiment=own would do nothing"),
        ("# @package _global_\n# later\n", "is empty, so experiment=own would do nothing"),
    ],
)
def test_an_experiment_that_sets_nothing_of_a_run_is_refused(tmp_path: Path, text: str, words: str) -> None:
    found = directories(tmp_path, experiment__own=text)
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        load_config([*WORDS, "experiment=own"], found)
    assert str(caught.value).startswith(str(tmp_path / "experiment" / "own.yaml"))


def test_an_experiment_may_be_about_one_part_alone(tmp_path: Path) -> None:
    found = directories(tmp_path, experiment__own="\n# @package algo\n# A comment.\ngamma: 0.5\n")
    assert load_config([*WORDS, "experiment=own"], found).algo.arguments["gamma"] == 0.5


def test_an_experiment_without_its_first_line_is_not_taken_for_a_missing_algorithm(tmp_path: Path) -> None:
    added = directories(tmp_path, experiment__mine="defaults:\n  - override /algo: q_learning\n")
    with pytest.raises(UserError, match=r"mine\.yaml must begin with the line # @package _global_: "):
        load_config(["experiment=mine", "env=gridworld"], added)
