"""What a run would have is the oracle: the light reading of the files comes to the same keys and values."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from rlrun.cli.completion.config_tree import at, composed
from rlrun.config.compose import load_config
from rlrun.config.files import Tree, config_directory

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
    "algo=reinforce env=pong debug=short logger=none device=cpu",
    "algo=dqn env=cartpole preset=dqn_pong",
    "algo=dqn env=cartpole optimizer@algo.optimizer=rmsprop",
    "algo=reinforce env=cartpole optimizer@algo.baseline.optimizer=rmsprop_centred experiment=null",
    "algo=random env=cartpole logger=[csv,wandb,mlflow]",
]

QUICK = random.Random(5).sample(PRESETS + OTHERS, 8) + COMMANDS[len(PRESETS + OTHERS) :]


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def tree_of(directories: list[Path], overrides: list[str]) -> Tree:
    return composed(directories, dict(override.split("=", 1) for override in overrides))


def agree(directories: list[Path], overrides: list[str]) -> None:
    """Every key of the config is one of ours, and single values that files say are equal."""
    tree, given = tree_of(directories, overrides), {override.partition("=")[0] for override in overrides}
    for key, value in leaves(load_config(overrides, directories).as_plain()):
        parent, _, name = key.rpartition(".")
        assert name in at(tree, parent), key
        text = at(tree, key)
        if isinstance(value, bool | int | float | str) and "${" not in text and key not in given:
            assert OmegaConf.create(f"value: {text}").value == value, key


@pytest.mark.parametrize(
    "command", [pytest.param(command, marks=[] if command in QUICK else [pytest.mark.slow]) for command in COMMANDS]
)
def test_it_comes_to_what_a_run_would_have(command: str) -> None:
    agree([OWN], command.split())


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
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    agree([tmp_path, OWN], ["algo=mine", "env=cartpole"])
    agree([tmp_path, OWN], ["algo=mine", "env=cartpole", "experiment=nested"])
    agree([tmp_path, OWN], ["algo=mine", "env=gridworld", "experiment=logged"])
    agree([tmp_path, OWN], ["algo=mine", "env=gridworld", "experiment=logged", "logger=[tensorboard,wandb]"])


@pytest.mark.parametrize(
    "text",
    [
        "a: [\n",
        "just a word\n",
        "defaults:\n  - broken\n  - _self_\nx: 1\n",
        "defaults: 3\n",
        "a: !!python/object/apply:os.getcwd []\n",
    ],
)
def test_a_broken_file_takes_nothing_else_along(tmp_path: Path, text: str) -> None:
    (tmp_path / "algo").mkdir()
    (tmp_path / "algo/broken.yaml").write_text(text)
    tree = tree_of([tmp_path, OWN], ["algo=broken", "env=cartpole"])
    assert (at(tree, "seed"), at(tree, "env.max_episode_steps"), at(tree, "algo.nowhere")) == ("0", "500", None)
