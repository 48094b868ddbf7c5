"""Sweeps are checked as a whole, and what is said of Hydra where nothing heeds it is refused."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import pytest
from refusals import refusal

from rlrun.cli.main import run_command
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.config.sweep import check_sweep

FILES = {
    "preset/mild": "algo:\n  rollout_steps: 20\n",
    "experiment/plain": "algo:\n  rollout_steps: 10\n",
    "experiment/params": "hydra:\n  sweeper:\n    params:\n      algo.rollout_step: 1,2\n",
    "experiment/good_params": "hydra:\n  sweeper:\n    params:\n      algo.rollout_steps: 1,2\n",
    "experiment/elsewhere": "hydra:\n  run:\n    dir: x\n",
    "experiment/sweeps": "hydra:\n  mode: MULTIRUN\n",
    "experiment/misspelt": "hydra:\n  lancher:\n    x: 1\n",
    "experiment/batches": "hydra:\n  sweep:\n    dir: x\n",
    "experiment/algos": "algo: dqn\n",
    "experiment/chosen": "defaults:\n  - override /algo: dqn\n  - override /preset: null\n",
    "experiment/launched": "defaults:\n  - override /hydra/launcher: later\n",
    "hydra/launcher/later": "hydra:\n  launcher:\n    _target_: hydra_plugins.later.Later\n",
}
RANDOM = ["algo=random", "env=cartpole"]
QUICK = ["total_steps=20", "logger=none", "evaluation.episodes=1", "device=cpu"]


@pytest.fixture
def directories(tmp_path: Path) -> list[Path]:
    for name, text in FILES.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# @package _global_\n{text}")
    return [tmp_path, config_directory()]


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["algo=dqn", "env=cartpole", "algo.optimizer.learning_rate=1e-3,abc"], "algo.optimizer.learning_rate=abc"),
        ([*RANDOM, "algo.rollout_step=1,2"], "algo.rollout_step algo.rollout_steps"),
        ([*RANDOM, "+algo.rollout_step=1,2"], "algo.rollout_step algo.rollout_steps"),
        ([*RANDOM, "experiment=plain,plan"], "'plan' plain"),
        (["algo=dqn,random", "env=cartpole", "algo.gamma=0.9"], "algo.gamma"),
        (["algo=dqn,random", "env=cartpole", "network=mlp"], "algo=random network=mlp"),
        ([*RANDOM, "experiment=params"], "algo.rollout_step algo.rollout_steps"),
        ([*RANDOM, "experiment=plain,good_params"], "hydra.sweeper.params.algo.rollout_steps=1,2"),
        ([*RANDOM, "experiment=plain,batches"], "hydra.sweep.dir=x"),
        ([*RANDOM, "experiment=plain,launched"], "hydra.launcher=later"),
        ([*RANDOM, "seed=range(3,0)"], "seed=range(3,0)"),
        ([*RANDOM, "seed=0", "seed=1"], "seed=0 seed=1"),
        ([*RANDOM, "seed=interval(0,1)"], "seed=interval(0,1) seed=1,2"),
        ([*RANDOM, 'hydra.sweeper.params={algo.gamma: "0.9,0.8"}'], "-m algo.gamma=0.9,0.8"),
        ([*RANDOM, "+hydra.sweeper.params.algo.gama=0.9"], "-m algo.gamma=0.9,0.8"),
        ([*RANDOM, "experiment=elsewhere"], "hydra.run.dir=x"),
        ([*RANDOM, "experiment=plain,sweeps"], "hydra.mode=MULTIRUN"),
    ],
)
def test_a_sweep_is_refused_before_its_first_run(directories: list[Path], overrides: list[str], named: str) -> None:
    refusal(lambda: check_sweep(overrides, directories), *named.split())


def test_a_good_sweep_passes_and_says_who_carries_it_out(directories: list[Path]) -> None:
    assert not check_sweep([*RANDOM, "hydra/launcher=basic", "seed=0,1"], directories).for_hydra
    several = ["algo=dqn,q_learning", "env=gridworld", "algo.gamma=0.9", "env.observation=index"]
    assert not check_sweep(several, directories).for_hydra
    for word in ("hydra/launcher=later", "experiment=launched", "++hydra.sweep.dir=x", "experiment=good_params"):
        assert check_sweep([*RANDOM, word], directories).for_hydra
    found = check_sweep([*RANDOM, "experiment=good_params"], directories)
    assert [job[0] for job in found.jobs] == ["algo.rollout_steps=1", "algo.rollout_steps=2"]


def test_what_hydra_sweeps_it_sets_only_when_it_knows_each_run(directories: list[Path]) -> None:
    words = ["algo=dqn,sarsa", "env=gridworld", "algo.gamma=0.9", "seed=1,2", "preset=null", "hydra/launcher=later"]
    given = check_sweep(words, directories).for_hydra
    assert list(given[:6]) == [
        *("algo=dqn,sarsa", "env=gridworld", "++algo.gamma=choice(0.9)", "++seed=1,2", "preset='null'"),
        "hydra/launcher=later",
    ]


def test_a_sweep_fills_the_directory_that_a_file_names(
    directories: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["rlrun", "-m", "--config-dir", ".", *RANDOM, *QUICK, "experiment=batches", "seed=0,1"]) == 0
    assert (tmp_path / "x" / "multirun.yaml").is_file()
    assert len(list(tmp_path.glob("runs/cartpole/random/*/seed*/result.json"))) == 2


def test_every_combination_is_a_run_and_a_file_is_compared_with_none(directories: list[Path]) -> None:
    found = check_sweep([*RANDOM, "seed=1,2", "preset=null,mild", "experiment=null,plain"], directories)
    assert found.jobs == [
        [*RANDOM, f"seed={seed}", f"preset={preset}", f"experiment={experiment}"]
        for seed in (1, 2)
        for preset in ("null", "mild")
        for experiment in ("null", "plain")
    ]
    steps = [load_config(job, directories).algo.arguments["rollout_steps"] for job in found.jobs[:4]]
    assert steps == [steps[0], 10, 20, 10]


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """The words of every composition."""
    made: list[list[str]] = []

    def noted(name: str, overrides: list[str]) -> Any:
        made.append(overrides)
        return hydra.compose(name, overrides=overrides)

    with monkeypatch.context() as patched:
        patched.setattr("rlrun.config.compose.hydra_compose", noted)
        yield made


def test_a_run_is_composed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["algo=q_learning", "env=gridworld", *QUICK, f"runs_dir={tmp_path}", "algo.gamma=0.5"]
    with counted(monkeypatch) as made:
        assert run_command(["rlrun", *words]) == 0
    assert len(made) == 1
    with counted(monkeypatch) as made:
        assert run_command(["rlrun", *words, "algo.gama=0.5"]) == 2
    assert made == []  # a wrong key is found before


def test_a_sweep_composes_each_choice_of_files_once_and_each_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["algo=q_learning,sarsa", "env=gridworld", *QUICK, f"runs_dir={tmp_path}", "algo.gamma=0.5,0.6,0.7"]
    with counted(monkeypatch) as made:
        assert run_command(["rlrun", "-m", *words]) == 0
    assert len(made) == 2 + 6


HYDRAS = ["hydra/launcher=basic", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=x", "hydra={launcher:{n_jobs:2}}"]
NOWHERE = ["hydra.run.dir=x", "++hydra.output_subdir=x", "hydra.run={dir:foo}", "hydra.job.chdir=true"]
NOWHERE += ["hydra.searchpath=[conf]", "hydra.mode=MULTIRUN", "hydra.runtime.choices.algo=sarsa", "hydra.verbose=true"]


@pytest.mark.parametrize("word", [*HYDRAS, *NOWHERE])
@pytest.mark.parametrize("flags", [[], ["-m"]])
def test_what_hydra_would_do_elsewhere_is_refused_and_leaves_nothing(
    word: str, flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if flags and word in HYDRAS[:3]:
        return  # those have an effect
    monkeypatch.chdir(tmp_path)
    assert run_command(["rlrun", *flags, *RANDOM, word]) == 2
    assert f"rlrun: error: {word} " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("experiment=elsewhere", "hydra.run.dir=x"),
        ("experiment=sweeps", "hydra.mode=MULTIRUN"),
        ("experiment=misspelt", "hydra.lancher"),
        ("experiment=batches", "hydra.sweep.dir=x -m"),
        ("experiment=good_params", "hydra.sweeper"),
        ("experiment=launched", "hydra.launcher=later -m"),
        ("name=${hydra:job.name}", "HydraConfig"),
        ("algo=dqn", "algo=random algo=dqn"),
        ("env=gym env.id=Taxi-v3", "env=cartpole env=gym"),
        ("'env={num_envs: 2}' env.num_envs=3", "env.num_envs=3"),
        ("network@foo=mlp", "network@foo"),
        ("+experiment=plain", "experiment"),
        ("~seed=5", "~seed=5"),
        ("~algo.rollout_step", "algo.rollout_step algo.rollout_steps"),
        ("experiment=[null]", "experiment=[null]"),
        ("experiment=[plain,null]", "experiment=[plain,null]"),
        ("experiment=[[plain]]", "experiment=[[plain]]"),
        ("preset=[mild]", "preset=[mild]"),
        ("'experiment={a: 1}'", "experiment.a"),
        ("experiment=algos", "algo=dqn"),
        ("seed==1", "seed==1"),
        ("'seed=1 # comment'", "comment"),
        ("seed=1,2", "seed=1,2 -m"),
        ("algo.rollout_steps=${algo}", "algo"),
    ],
)
def test_a_run_is_refused_through_every_door(words: str, named: str, directories: list[Path]) -> None:
    # `explain`, `check` and Python ask the same function
    refusal(lambda: load_config([*RANDOM, *shlex.split(words)], directories), *named.split())


def test_a_file_may_choose_the_algorithm(directories: list[Path]) -> None:
    chosen = load_config(["env=cartpole", "experiment=chosen", "network=mlp"], directories)
    assert chosen == load_config(["algo=dqn", "env=cartpole", "preset=null", "network=mlp"], directories)


@pytest.mark.parametrize("word", ["algo.rollout_steps=abc", "preset=typo"])
def test_what_is_printed_without_a_run_is_checked_as_well(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rlrun", "--cfg", "job", *RANDOM, word]) == 2
    assert word.partition("=")[2] in capsys.readouterr().err


def test_a_value_is_told_as_it_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rlrun", *RANDOM, "seed=${oc.env:NO_SUCH_SEED,3}"]) == 2
    error = capsys.readouterr().err
    assert "seed=${oc.env:NO_SUCH_SEED,3}" in error
    assert "seed='3'" in error


@pytest.mark.parametrize("word", ["experiment=null", "+seed=0", "algo=random", "preset=Null"])
def test_what_changes_nothing_passes(word: str, directories: list[Path]) -> None:
    assert load_config([*RANDOM, word], directories) == load_config(RANDOM, directories)
