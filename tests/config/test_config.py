"""Config files, overrides and what becomes of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from added_directory import with_files

from rlrun.cli.help_page import help_page
from rlrun.config.compose import load_config
from rlrun.config.config import Config
from rlrun.config.files import config_directory, identity, options, resolve_env, summary
from rlrun.errors import UserError
from rlrun.runs.manifest import experiment_hash

SCRIPTED = "_target_: rlrun.testing.scripted_env.ScriptedEnv\nnum_envs: 2\n"
IMAGES = "network: nature2015\n"


@pytest.fixture
def directories(tmp_path: Path) -> list[Path]:
    files = {
        "env/scripted": "# Two slots.\n" + SCRIPTED,
        "env/images": IMAGES + SCRIPTED,
        "env/open_game": "game: ???\n",
        "env/open_id": "# Stick-v1 and whatever else.\nid: ???\n",
        "env/sonic": "game: sonic\n",
        "env/tails": "game: tails\n",
        "env/stick": "# Stick-v1 (a stick): keep it up.\n" + SCRIPTED,
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


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("algo=dqm", "unknown algo 'dqm'; nearest: dqn; available: "),
        ("env=script", "unknown env 'script'; nearest: scripted; available: "),
        ("device=gpu", "unknown device 'gpu'; nearest: cpu; available: auto, cpu, cuda"),
        (
            "logger=tensorbord",
            "unknown logger 'tensorbord'; nearest: tensorboard; available: csv, mlflow, none, tensorboard, wandb",
        ),
        ("experiment=hal", "unknown experiment 'hal'; nearest: half; available: "),
        ("preset=dqn_script", "unknown preset 'dqn_script'; nearest: dqn_scripted; available: "),
        ("algo.exploration.epsilon.end=x", "algo.exploration.epsilon.end=x is not valid"),
        (
            "algo.replay.learning_starts_steps=700",
            "algo.replay.learning_starts_steps=700 is not before total_steps=700: nothing would be learned; for a "
            "quick try debug=short sets both",
        ),
        ("agent=dqn", "unknown key agent; nearest: algo"),
        ("+enviroment=scripted", "unknown key enviroment; nearest: env"),
        ("debug=shrt", "unknown debug 'shrt'; nearest: short; available: short"),
        ("optimizer@algo.optimizer=adm", "unknown optimizer 'adm'; nearest: adam; available: "),
        ("algo.gama=1", "unknown key algo.gama; nearest: algo.gamma"),
        ("+algo.gama=1", "unknown key algo.gama; nearest: algo.gamma"),
        ("+algo.optimizer.lr=1", "unknown key algo.optimizer.lr; nearest: algo.optimizer."),
        ("~algo.gamma", "algo.gamma is missing: a number >= 0 and <= 1"),
        ("algo.gamma.x=1", "unknown key algo.gamma.x: algo.gamma has no keys"),
        ("totalsteps=1", "unknown key totalsteps; nearest: total_steps"),
        ("+totalsteps=1", "unknown key totalsteps; nearest: total_steps"),
        ("evaluation.episode=1", "unknown key evaluation.episode; nearest: evaluation.episodes"),
        ("evaluation.episodes=0", "evaluation.episodes=0 is not valid: it must be an integer > 0"),
        (
            "evaluation=3",
            "evaluation must be a mapping with the keys every_steps, episodes, num_envs, max_episode_frames, "
            "greedy_episodes, greedy_limit_steps, not 3",
        ),
        ("checkpoint.every_seconds=-1", "checkpoint.every_seconds=-1 is not valid: it must be a number > 0"),
        ("seed=-1", "seed=-1 is not valid: it must be an integer >= 0"),
        ("seed=true", "seed=true is not valid"),
        ("total_steps=0", "total_steps=0 is not valid: it must be an integer >= 1"),
        ("total_steps=1.5", "total_steps=1.5 is not valid"),
        ("total_steps=nan", "total_steps=nan is not valid"),
        ("name=../up", "name=../up is not valid"),
        ("runs_dir=''", "runs_dir='' is not valid"),
        ("algo.gamma=1.5", "algo.gamma=1.5 is not valid: it must be a number >= 0 and <= 1"),
        ("algo.loss=hubber", "algo.loss=hubber is not valid: it must be one of huber, squared; nearest: huber"),
        ("algo.optimizer.learning_rate=-1", "algo.optimizer.learning_rate=-1 is not valid: it must be a number > 0"),
        ("algo.optimizer.learning_rate=inf", "algo.optimizer.learning_rate=inf is not valid"),
        ("algo.optimizer=3", "algo.optimizer=3 is not valid: it must be an object (_target_)"),
        (
            "algo.exploration.epsilon._target_=rlrun.nn.optimizers.Adam",
            "epsilon._target_ has no ",
        ),
        ("env._target_=rlrun.agents.random.Random", "env._target_ has no env.num_envs"),
        ("algo._target_=rlrun.agents.nosuch.Agent", "algo._target_=rlrun.agents.nosuch.Agent does not exist"),
        ("experiment=null,half", "experiment=null,half gives several values: add -m"),
        ("seed=???", "seed has no value yet: give seed=..."),
        ("seed=${nope}", "Interpolation key 'nope' not found"),
        ("experiment=typo", "unknown key algo.gama; nearest: algo.gamma"),
        ("experiment=top", "unknown key total_step; nearest: total_steps"),
        ("seed=1,2", "seed=1,2 gives several values: add -m"),
        ("seed=[1", "cannot read 'seed=[1'"),
        ("seed", "cannot read 'seed'"),
        ("algo.gamma=0.9,", "cannot read 'algo.gamma=0.9,'"),
        ("network=null", "network=null is not allowed"),
        ("optimizer@algo.optimizer=null", "optimizer@algo.optimizer=null is not allowed"),
        ("+experiment=half", "+experiment=half: an option of a group is chosen without +"),
        ("algo=NULL", "algo=NULL is not allowed"),
        ("debug=true", "unknown debug 'true'; nearest: short"),
        ("experiment=1", "unknown experiment '1'; nearest: "),
        ("algo=1", "unknown algo '1'; nearest: "),
        ("optimizer@algo.optimizer=3", "unknown optimizer '3'; nearest: adam"),
        ("optimizer=rmsprop", "unknown key optimizer; nearest: algo.optimizer, optimizer@algo.optimizer"),
        ("optimizer@optimizer=rmsprop", "unknown key optimizer@optimizer; nearest: optimizer@algo.optimizer"),
        (
            "algo._target_=DQN",
            "algo._target_=DQN cannot be imported: it must be like package.module.Name; nearest: rlrun.",
        ),
    ],
)
def test_what_is_wrong_is_refused_in_one_line(directories: list[Path], override: str, words: str) -> None:
    key = override.partition("=")[0]
    right = [word for word in ("algo=dqn", "env=scripted") if word.partition("=")[0] != key]  # none may be given twice
    with pytest.raises(UserError) as caught:
        load(directories, *right, override)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_algorithm_and_environment_must_be_chosen(directories: list[Path]) -> None:
    with pytest.raises(UserError, match=r"no env is chosen: give env=, one of .*scripted"):
        load(directories, "algo=dqn")
    with pytest.raises(UserError, match=r"no algo is chosen: give algo=, one of .*dqn"):
        load(directories, "env=scripted")
    with pytest.raises(UserError, match=r"unknown key alog; nearest: algo") as caught:
        load(directories, "alog=dqn", "env=scripted")
    assert caught.value.details[0] == "set on the command line: alog=dqn"
    with pytest.raises(UserError, match=r"unknown key evn; nearest: env"):
        load(directories, "algo=dqn", "evn=scripted", "algo.gamma=0.5")


def test_a_value_that_an_environment_leaves_open_must_be_given(directories: list[Path]) -> None:
    with pytest.raises(UserError, match=r"env\.game has no value yet: give env\.game="):
        load(directories, "algo=dqn", "env=open_game")


@pytest.mark.parametrize(
    ("overrides", "resolved"),
    [
        (["algo=dqn", "env=open_game", "env.game=sonic"], ["env=sonic", "algo=dqn"]),
        (["env.game=tails", "env=open_game", "env.num_envs=3"], ["env=tails", "env.num_envs=3"]),
        (["env=open_id", "env.id=Stick-v1"], ["env=stick"]),
        (["env=open_game", "env.game=sonic,tails"], ["env=sonic,tails"]),
        (["env=open_game", "env.game=sonic,shadow"], None),
        (["env=open_game", "env.game=shadow"], None),
        (["env=sonic", "env.game=tails"], None),
        (["env=nosuch", "env.game=sonic"], None),
        (["env=sonic", "env=open_game", "env.game=tails"], None),  # for others to refuse
        (["env=open_game", "env.game=sonic", "env.game=tails"], None),
        (["algo=dqn"], None),
    ],
)
def test_a_plain_game_or_id_is_its_own_environment_file(
    directories: list[Path], overrides: list[str], resolved: list[str] | None
) -> None:
    assert resolve_env(directories, overrides) == (overrides if resolved is None else resolved)


def test_files_say_what_they_are_about(directories: list[Path]) -> None:
    assert identity(directories, "sonic") == ("game", "sonic")
    assert identity(directories, "stick") == ("id", "Stick-v1")
    assert identity(directories, "open_game") is None
    assert identity(directories, "open_id") is None
    assert identity(directories, "scripted") is None
    assert summary(directories, "env", "scripted") == "Two slots."


def test_the_help_page_names_every_option(directories: list[Path]) -> None:
    page = help_page(directories)
    for group in ("algo", "env", "network", "device", "logger", "experiment"):  # presets are found by themselves
        for option in options(directories, group):
            assert option in page
    assert f"found by themselves for {len(options(directories, 'preset'))} pairs" in " ".join(page.split())
    assert max(len(line) for line in page.splitlines()) < 120
    assert len(help_page([config_directory()]).splitlines()) < 70


def test_help_and_composing_need_no_torch() -> None:
    modules = "rlrun.cli.main, rlrun.cli.help_page, rlrun.config.config, rlrun.config.compose"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
