"""Sweeps are checked as a whole, and launchers that nobody would heed are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlrun.cli import run_command
from rlrun.config_files import config_directory
from rlrun.errors import UserError
from rlrun.launching import check_sweep, for_sweep, refuse_without_sweep

FILES = {
    "experiment/plain": "algo:\n  rollout_steps: 10\n",
    "experiment/params": "hydra:\n  sweeper:\n    params:\n      algo.rollout_step: 1,2\n",
    "experiment/good_params": "hydra:\n  sweeper:\n    params:\n      algo.rollout_steps: 1,2\n",
}
RANDOM = ["algo=random", "env=cartpole"]


@pytest.fixture
def directories(tmp_path: Path) -> list[Path]:
    for name, text in FILES.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# @package _global_\n{text}")
    return [tmp_path, config_directory()]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["algo=dqn", "env=cartpole", "algo.optimizer.learning_rate=1e-3,abc"], "learning_rate=abc is not valid"),
        ([*RANDOM, "algo.rollout_step=1,2"], "unknown key algo.rollout_step; nearest: algo.rollout_steps"),
        ([*RANDOM, "+algo.rollout_step=1,2"], "unknown key algo.rollout_step; nearest: algo.rollout_steps"),
        ([*RANDOM, "experiment=plain,plan"], "unknown experiment 'plan'; nearest: plain"),
        (["algo=dqn,random", "env=cartpole", "algo.gamma=0.9"], "it belongs to algo=actor_critic, dqn"),
        ([*RANDOM, "experiment=params"], "unknown key algo.rollout_step; nearest: algo.rollout_steps"),
        ([*RANDOM, "experiment=plain,good_params"], "which Hydra ignores where the file is swept over"),
        ([*RANDOM, "hydra/launcher=joblb"], "unknown hydra/launcher 'joblb'"),
    ],
)
def test_a_sweep_is_refused_before_its_first_run(directories: list[Path], overrides: list[str], words: str) -> None:
    with pytest.raises(UserError) as caught:
        check_sweep(overrides, directories)
    assert words in str(caught.value)


def test_a_good_sweep_passes(directories: list[Path]) -> None:
    check_sweep([*RANDOM, "experiment=good_params"], directories)
    check_sweep([*RANDOM, "hydra/launcher=basic"], directories)
    check_sweep(["algo=dqn,q_learning", "env=gridworld", "algo.gamma=0.9", "env.observation=index"], directories)


def test_keys_of_a_swept_group_are_left_to_each_run() -> None:
    words = ["algo=dqn,sarsa", "algo.gamma=0.9", "+algo.x=[1,2]", "seed=1", "env.map=cliff,book", "algo.alpha=1,2"]
    assert for_sweep(words) == [words[0], "algo.gamma=choice(0.9)", "+algo.x=choice([1,2])", *words[3:]]
    assert for_sweep(["algo=dqn", "algo.gamma=0.9"]) == ["algo=dqn", "algo.gamma=0.9"]


@pytest.mark.parametrize(
    "word", ["hydra/launcher=basic", "hydra.launcher.n_jobs=2", "+hydra.sweeper.params.seed=1", "hydra.sweep.dir=x"]
)
def test_without_a_sweep_nobody_heeds_a_launcher(word: str) -> None:
    with pytest.raises(UserError, match="would do nothing: launchers and sweepers are for sweeps; add -m"):
        refuse_without_sweep([*RANDOM, word])
    refuse_without_sweep(RANDOM)


@pytest.mark.parametrize("word", ["hydra.run.dir=x", "++hydra.output_subdir=x"])
@pytest.mark.parametrize("flags", [[], ["-m"]])
def test_where_hydra_would_keep_a_run_is_not_heeded(
    word: str, flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["rlrun", *flags, *RANDOM, word]) == 2
    assert f"{word} would do nothing: runs_dir= and name= say where a run is kept" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_is_made_by_m_alone() -> None:
    with pytest.raises(UserError, match="-m makes a sweep"):
        refuse_without_sweep(["hydra.mode=MULTIRUN"])


def test_a_file_with_a_sweep_in_it_is_refused_where_there_is_none(
    directories: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*RANDOM, "experiment=good_params", f"runs_dir={tmp_path / 'runs'}", "--config-dir", str(directories[0])]
    assert run_command(["rlrun", *words]) == 2
    assert "a config file sets hydra.sweeper" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
