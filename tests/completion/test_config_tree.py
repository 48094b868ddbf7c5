"""What a run would have is the oracle: the light reading of the files comes to the same keys and values."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf._utils import get_yaml_loader

from rlrun.cli.completion.config_tree import Composed, Configs, compose
from rlrun.config.compose import load_config
from rlrun.config.config import Config
from rlrun.config.files import config_directory

OWN = config_directory()
PAIRS = [tuple(path.stem.rsplit("_", 1)) for path in sorted((OWN / "preset").glob("*.yaml"))]
LEFT_OPEN = {"atari": "env.game=alien", "gym": "env.id=Acrobot-v1"}
ENVS = {path.stem: f"env={path.stem} {LEFT_OPEN.get(path.stem, 'seed=1')}" for path in sorted((OWN / "env").glob("*"))}
PRESETS = [f"algo={algo} {ENVS[env]}" for algo, env in PAIRS if env in ENVS]
OTHERS = [f"algo=random {env}" for env in ENVS.values()]
COMMANDS = [
    *PRESETS,
    *OTHERS,
    "algo=actor_critic env=pong experiment=a2c",
    "algo=dqn env=breakout experiment=dqn_nature2015",
    "algo=dqn env=pong experiment=dqn_nips2013",
    "algo=dqn env=pong debug=short",
    "algo=reinforce env=pong debug=short logger=none device=cpu",
    "algo=dqn env=cartpole preset=dqn_pong",
    "algo=random env=cartpole logger=[csv,wandb,mlflow] logger.wandb.project=mine",
    "algo=dqn env=cartpole optimizer@algo.optimizer=rmsprop algo.optimizer.decay=0.5",
    "algo=reinforce env=cartpole optimizer@algo.value_optimizer=rmsprop_centred experiment=null",
    "algo=dqn env=cartpole algo.gamma=0.5 evaluation.episodes=3 algo.exploration.epsilon.start=0.75",
]

QUICK = random.Random(5).sample(PRESETS + OTHERS, 8) + COMMANDS[len(PRESETS + OTHERS) :]


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def agree(ours: Composed, config: Config) -> None:
    """Every key of the config is one of ours, and single values are equal."""
    for key, value in leaves(config.as_plain()):
        if key in ("name", "runs_dir", "fresh") or (key, value) == ("network", None):
            continue
        parent, _, name = key.rpartition(".")
        assert name in ours.at(parent), key
        text = ours.text(key)
        if value is None or isinstance(value, bool | int | float | str):
            assert text is not None, key
            assert yaml.load(text, get_yaml_loader()) == value, key


@pytest.mark.parametrize(
    "command", [pytest.param(command, marks=[] if command in QUICK else [pytest.mark.slow]) for command in COMMANDS]
)
def test_it_comes_to_what_a_run_would_have(command: str) -> None:
    agree(compose(Configs([OWN]), command.split()), load_config(command.split(), [OWN]))


def test_configs_of_others_go_before_ours(tmp_path: Path) -> None:
    for name, text in {
        "algo/mine.yaml": "# Mine.\ndefaults:\n  - dqn\n  - _self_\n\ngamma: 0.5\n",
        "preset/mine_cartpole.yaml": "# @package _global_\ntotal_steps: 90000\nalgo:\n  n_step: 2\n",
        "experiment/nested.yaml": (
            "# @package _global_\ndefaults:\n  - base_of_it\n  - _self_\n"
            "  - override /optimizer@algo.optimizer: rmsprop\n\nalgo: {n_step: 5, optimizer: {decay: 0.9, eps: 1e-6}}\n"
        ),
        "experiment/base_of_it.yaml": "# @package _global_\nalgo: {n_step: 4, target: {double: true}}\nseed: 3\n",
        "experiment/logged.yaml": "# @package _global_\ndefaults:\n  - override /logger: [csv, mlflow]\n",
        "experiment/packaged.yaml": "# @package algo.exploration.epsilon\nstart: 0.25\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    directories = [tmp_path, OWN]
    for words in (
        ["algo=mine", "env=cartpole"],
        ["algo=mine", "env=cartpole", "experiment=nested"],
        ["algo=mine", "env=pong", "experiment=nested", "optimizer@algo.optimizer=rmsprop_centred"],
        ["algo=mine", "env=gridworld", "experiment=packaged"],
        ["algo=mine", "env=gridworld", "experiment=logged"],
        ["algo=mine", "env=gridworld", "experiment=logged", "logger=[tensorboard,wandb]"],
    ):
        agree(compose(Configs(directories), words), load_config(words, directories))


def test_references_are_followed_and_missing_values_are_none() -> None:
    composed = compose(Configs([OWN]), ["algo=dqn", "env=atari"])
    assert composed.at("algo.exploration.epsilon.delay_steps") == "${algo.replay.learning_starts_steps}"
    assert composed.text("algo.exploration.epsilon.delay_steps") == "50000"
    assert composed.text("env.game") is None
    assert composed.text("algo.optimizer") is None
    assert composed.text("algo.nowhere") is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("algo/broken.yaml", "a: [\n"),
        ("algo/broken.yaml", "just a word\n"),
        ("algo/broken.yaml", "defaults:\n  - broken\n  - _self_\nx: 1\n"),
        ("algo/broken.yaml", "defaults: 3\n"),
        ("algo/broken.yaml", "a: !!python/object/apply:os.getcwd []\n"),
    ],
)
def test_a_broken_file_takes_nothing_else_along(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "algo").mkdir()
    (tmp_path / name).write_text(text)
    composed = compose(Configs([tmp_path, OWN]), ["algo=broken", "env=cartpole"])
    assert composed.text("seed") == "0"
    assert composed.text("env.max_episode_steps") == "500"
