"""Config files, overrides and what becomes of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from added_directory import with_files

from rlrun.cli.help_page import help_page
from rlrun.config.compose import load_config
from rlrun.config.config import Config
from rlrun.config.files import config_directory, contents, options, summary
from rlrun.errors import UnknownKeyError, UserError, WrongKeyError
from rlrun.runs.manifest import experiment_hash

SCRIPTED = "_target_: rlrun.testing.scripted_env.ScriptedEnv\nnum_envs: 2\n"
IMAGES = "network: nature2015\n"


@pytest.fixture
def directories(tmp_path: Path) -> list[Path]:
    files = {
        "env/scripted": "# Two slots.\n" + SCRIPTED,
        "env/images": IMAGES + SCRIPTED,
        "env/open_game": "game: ???\n",
        "preset/dqn_scripted": "# @package _global_\ntotal_steps: 700\n"
        "algo:\n  gamma: 0.7\n  replay:\n    batch_size: 7\n    learning_starts_steps: 100\n",
        "preset/other": "# @package _global_\nalgo:\n  gamma: 0.3\n",
        "experiment/half": "# @package _global_\nalgo:\n  gamma: 0.5\n",
        "experiment/typo": "# @package _global_\nalgo:\n  gama: 0.5\n",
        "experiment/top": "# @package _global_\ntotal_step: 5\n",
    }
    return with_files(tmp_path, files)


def load(directories: list[Path], *overrides: str) -> Config:
    return load_config(overrides, directories)


def test_precedence_is_command_line_experiment_preset_algorithm(directories: list[Path]) -> None:
    def gamma(*overrides: str) -> float:
        return float(load(directories, "algo=dqn", "env=scripted", *overrides).algo.arguments["gamma"])

    assert gamma("preset=null") == 0.99
    assert gamma() == 0.7
    assert gamma("preset=other") == 0.3
    assert gamma("experiment=half") == 0.5
    assert gamma("experiment=null", "debug=null") == 0.7
    assert gamma("experiment=Null", "debug=NULL", "preset=Null") == 0.99  # as Hydra reads them
    assert gamma("experiment=half", "algo.gamma=0.2") == 0.2


def test_a_preset_is_found_by_itself_and_named_in_the_labels(directories: list[Path]) -> None:
    config = load(directories, "algo=dqn", "env=scripted")
    assert config.total_steps == 700
    assert config.labels == {"algo": "dqn", "env": "scripted", "preset": "dqn_scripted"}
    assert "preset" not in load(directories, "algo=random", "env=scripted").labels
    assert "preset" not in load(directories, "algo=dqn", "env=scripted", "preset=null").labels


def test_whole_numbers_may_be_written_as_floats_and_are_coerced(directories: list[Path]) -> None:
    config = load(directories, "algo=dqn", "env=scripted", "total_steps=1e6", "algo.gamma=1", "runs_dir=here")
    assert config.total_steps == 1_000_000
    assert type(config.total_steps) is int
    assert type(config.algo.arguments["gamma"]) is float
    assert config.runs_dir == Path("here")
    assert config.as_plain()["total_steps"] == 1_000_000


def test_only_what_changes_the_experiment_changes_its_hash(directories: list[Path]) -> None:
    def digest(*overrides: str) -> str:
        return experiment_hash(load(directories, "algo=dqn", "env=scripted", *overrides).experiment())

    plain = digest()
    same = ["seed=3", "total_steps=900", "device=cpu", "logger=none", "runs_dir=x", "name=y", "log_every_steps=7"]
    assert {digest(override) for override in [*same, "evaluation.episodes=3", "checkpoint.keep=4"]} == {plain}
    assert digest("algo.gamma=0.7") == plain  # the preset's own value
    assert digest("algo.replay.batch_size=7.0") == plain
    assert digest("device.compile=inductor") == plain
    others = {
        digest(override)
        for override in ["algo.gamma=0.8", "env.num_envs=3", "algo.network.hidden=[8]", "device.precision=bfloat16"]
    }
    assert len(others | {plain}) == 5


def test_a_file_counts_by_what_is_in_it(directories: list[Path], tmp_path: Path) -> None:
    def digest(path: Path) -> str:
        return experiment_hash(load(directories, "algo=random", "env=gridworld", f"env.map={path}").experiment())

    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("T : terminal 5\n\nS.T\n")
    second.write_text("T : terminal 5\n\nS.T\n")
    before = digest(first)
    assert before == digest(second)
    first.write_text("T : terminal 6\n\nS.T\n")
    assert digest(first) != before


def test_what_only_changes_the_speed_is_recorded_but_not_in_the_hash(directories: list[Path]) -> None:
    one, two = (load(directories, "algo=random", "env=pong", f"env.num_threads={count}") for count in (1, 2))
    assert experiment_hash(one.experiment()) == experiment_hash(two.experiment())
    assert [config.as_plain()["env"]["num_threads"] for config in (one, two)] == [1, 2]


@pytest.mark.parametrize(
    "overrides",
    [
        ["env.options={is_slippery: false, map_name: 8x8}"],
        ["+env.options.is_slippery=false", "+env.options.map_name=8x8"],
        ["++env.options={is_slippery: false, map_name: 8x8}"],
    ],
)
def test_options_of_an_environment_can_be_given_in_every_spelling(
    directories: list[Path], overrides: list[str]
) -> None:
    config = load(directories, "algo=dqn", "env=gym", "env.id=FrozenLake-v1", *overrides)
    assert config.env.arguments["options"] == {"is_slippery": False, "map_name": "8x8"}


UNKNOWN = [  # overrides, the key that is wrong, and one that is suggested
    ("agent=dqn", "agent", "algo"),
    ("+enviroment=scripted", "enviroment", "env"),
    ("algo.gama=1", "algo.gama", "algo.gamma"),
    ("+algo.gama=1", "algo.gama", "algo.gamma"),
    ("+algo.optimizer.lr=1", "algo.optimizer.lr", "algo.optimizer.learning_rate"),
    ("algo.gamma.x=1", "algo.gamma.x", "algo.gamma"),
    ("totalsteps=1", "totalsteps", "total_steps"),
    ("+totalsteps=1", "totalsteps", "total_steps"),
    ("evaluation.episode=1", "evaluation.episode", "evaluation.episodes"),
    ("evaluation={episode: 1}", "evaluation.episode", "evaluation.episodes"),
    ("experiment=typo", "algo.gama", "algo.gamma"),
    ("experiment=top", "total_step", "total_steps"),
    ("optimizer=rmsprop", "optimizer", "optimizer@algo.optimizer"),
]
WRONG = [  # overrides, and the key whose value is wrong or missing
    ("algo.exploration.epsilon.end=x", "algo.exploration.epsilon.end"),
    ("algo.replay.learning_starts_steps=700", "algo.replay.learning_starts_steps"),  # all that are trained
    ("~algo.gamma", "algo.gamma"),
    ("evaluation.episodes=0", "evaluation.episodes"),
    ("evaluation=3", "evaluation"),
    ("checkpoint.every_seconds=-1", "checkpoint.every_seconds"),
    ("seed=-1", "seed"),
    ("seed=true", "seed"),
    ("total_steps=0", "total_steps"),
    ("total_steps=1.5", "total_steps"),
    ("total_steps=nan", "total_steps"),
    ("name=../up", "name"),
    ("runs_dir=''", "runs_dir"),
    ("algo.gamma=1.5", "algo.gamma"),
    ("algo.loss=hubber", "algo.loss"),
    ("algo.optimizer.learning_rate=-1", "algo.optimizer.learning_rate"),
    ("algo.optimizer.learning_rate=inf", "algo.optimizer.learning_rate"),
    ("algo.optimizer=3", "algo.optimizer"),
]
REFUSED = [  # overrides, and what the message names
    ("algo=dqm", ["'dqm'", "dqn"]),
    ("env=script", ["'script'", "scripted"]),
    ("device=gpu", ["'gpu'", "cpu", "cuda"]),
    ("logger=tensorbord", ["'tensorbord'", "tensorboard"]),
    ("logger=null", ["logger 'null'", "none"]),
    ("experiment=hal", ["'hal'", "half"]),
    ("experiment=[half,hal]", ["'hal'", "half"]),
    ("preset=dqn_script", ["'dqn_script'", "dqn_scripted"]),
    ("debug=shrt", ["'shrt'", "short"]),
    ("debug=true", ["'true'", "short"]),
    ("experiment=1", ["'1'", "half"]),
    ("algo=1", ["'1'"]),
    ("algo=NULL", ["algo"]),
    ("algo=[dqn,random]", ["algo=[dqn,random]"]),
    ("network=null", ["network 'null'", "mlp"]),
    ("optimizer@algo.optimizer=adm", ["'adm'", "adam"]),
    ("optimizer@algo.optimizer=3", ["'3'", "adam"]),
    ("optimizer@algo.optimizer=null", ["optimizer 'null'"]),
    ("optimizer@optimizer=rmsprop", ["optimizer@optimizer", "optimizer@algo.optimizer"]),
    ("+experiment=half", ["experiment"]),
    ("algo.exploration.epsilon._target_=rlrun.nn.optimizers.Adam", ["algo.exploration.epsilon._target_"]),
    ("env._target_=rlrun.agents.random.Random", ["env._target_", "env.num_envs"]),
    ("algo._target_=rlrun.agents.nosuch.Agent", ["algo._target_=rlrun.agents.nosuch.Agent"]),
    ("algo._target_=DQN", ["algo._target_=DQN", "rlrun.agents.dqn.DQN"]),
    ("evaluation._target_=builtins.dict", ["evaluation._target_"]),
    ("seed=???", ["seed="]),
    ("seed=${nope}", ["nope"]),
    ("experiment=null,half", ["experiment=null,half", "-m"]),
    ("seed=1,2", ["seed=1,2", "-m"]),
    ("seed=[1", ["'seed=[1'"]),
    ("seed", ["'seed'"]),
    ("algo.gamma=0.9,", ["'algo.gamma=0.9,'"]),
]


def refused(directories: list[Path], override: str) -> UserError:
    key = override.partition("=")[0]
    right = [each for each in ("algo=dqn", "env=scripted") if each.partition("=")[0] != key]  # none may be given twice
    with pytest.raises(UserError) as caught:
        load(directories, *right, override)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(("override", "key", "suggested"), UNKNOWN)
def test_an_unknown_key_is_refused_with_the_nearest(
    directories: list[Path], override: str, key: str, suggested: str
) -> None:
    error = refused(directories, override)
    assert isinstance(error, UnknownKeyError)
    assert error.key == key
    assert suggested in re.split(r"[ ,;]+", str(error).partition(key)[2])


@pytest.mark.parametrize(("override", "key"), WRONG)
def test_a_wrong_value_is_refused_by_its_key(directories: list[Path], override: str, key: str) -> None:
    error = refused(directories, override)
    assert isinstance(error, WrongKeyError)
    assert error.key == key
    assert key in str(error)


@pytest.mark.parametrize(("override", "named"), REFUSED)
def test_what_else_is_wrong_is_refused_in_one_line(directories: list[Path], override: str, named: list[str]) -> None:
    message = str(refused(directories, override))
    assert [each for each in named if each not in message] == [], message


def test_algorithm_and_environment_must_be_chosen(directories: list[Path]) -> None:
    for words, group, option in ((["algo=dqn"], "env", "scripted"), (["env=scripted"], "algo", "dqn")):
        with pytest.raises(UserError) as caught:
            load(directories, *words)
        assert f"{group}=" in str(caught.value)
        assert option in str(caught.value)
    with pytest.raises(UnknownKeyError) as unknown:
        load(directories, "alog=dqn", "env=scripted")
    assert unknown.value.key == "alog"
    assert "alog=dqn" in unknown.value.details[0]
    with pytest.raises(UnknownKeyError) as unknown:
        load(directories, "algo=dqn", "evn=scripted", "algo.gamma=0.5")
    assert unknown.value.key == "evn"


def test_a_value_that_an_environment_leaves_open_must_be_given(directories: list[Path]) -> None:
    with pytest.raises(UserError) as caught:
        load(directories, "algo=dqn", "env=open_game")
    assert "env.game=" in str(caught.value)


@pytest.mark.parametrize(
    ("words", "label"),
    [
        (["env=pong"], "pong"),
        (["env=pong", "env.game=breakout"], "pong-breakout"),
        (["env=atari", "env.game=pong"], "atari-pong"),
        (["env=taxi"], "taxi"),
        (["env=gym", "env.id=Taxi-v4"], "gym-Taxi-v4"),
        (["env=cartpole"], "cartpole"),
    ],
)
def test_an_environment_is_called_by_its_file_and_by_what_it_leaves_open(words: list[str], label: str) -> None:
    assert load([config_directory()], "algo=random", *words).labels["env"] == label


def test_files_say_what_they_are_and_what_they_set(directories: list[Path]) -> None:
    assert summary(directories, "env", "scripted") == "Two slots."
    pong = contents(directories, "env/pong")
    assert (pong["game"], pong["num_envs"], pong["_target_"]) == ("pong", "1", "rlrun.envs.atari.Atari")
    chosen = contents(directories, "algo/dqn", {"optimizer@algo.optimizer": "rmsprop"})["optimizer"]
    assert {"decay", "learning_rate"} <= set(chosen)


def test_the_help_page_names_every_option(directories: list[Path]) -> None:
    page = help_page(directories)
    for group in ("algo", "env", "network", "device", "logger", "experiment"):  # presets are found by themselves
        for option in options(directories, group):
            assert option in page
    assert f"found by themselves for {len(options(directories, 'preset'))} pairs" in " ".join(page.split())
    assert max(len(line) for line in page.splitlines()) < 120
    assert len(help_page([config_directory()]).splitlines()) < 80


def test_help_and_composing_need_no_torch() -> None:
    modules = "rlrun.cli.main, rlrun.cli.help_page, rlrun.config.config, rlrun.config.compose"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
