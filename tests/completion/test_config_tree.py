"""Hydra is the oracle: our light reading of defaults lists comes to the same keys, values and options."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf, open_dict
from omegaconf._utils import get_yaml_loader

from rlrun.cli.completion.config_tree import ConfigFiles, compose
from rlrun.config.files import config_directory, identity, options, resolve_env

OWN = config_directory()
PAIRS = [tuple(path.stem.rsplit("_", 1)) for path in sorted((OWN / "preset").glob("*.yaml"))]
PRESETS = [f"algo={algo} env={env}" for algo, env in PAIRS if (OWN / "env" / f"{env}.yaml").is_file()]
OTHERS = [f"algo=random env={path.stem}" for path in sorted((OWN / "env").glob("*.yaml"))]
COMMANDS = [
    *PRESETS,
    *OTHERS,
    "algo=actor_critic env=pong experiment=a2c",
    "algo=dqn env=breakout experiment=dqn_nature2015",
    "algo=dqn env=pong experiment=dqn_nips2013",
    "algo=dqn env=pong debug=short",
    "algo=reinforce env=pong debug=short logger=none device=cpu",
    "algo=dqn env=cartpole preset=dqn_pong",
    "algo=dqn env=cartpole optimizer@algo.optimizer=rmsprop algo.optimizer.decay=0.5",
    "algo=reinforce env=cartpole optimizer@algo.value_optimizer=rmsprop_centred experiment=null",
    "algo=actor_critic env=pong experiment=a2c optimizer@algo.optimizer=adam",
    "algo=dqn env=cartpole algo.gamma=0.5 evaluation.episodes=3 algo.exploration.epsilon.start=0.75",
]

QUICK = random.Random(5).sample(PRESETS + OTHERS, 8) + COMMANDS[len(PRESETS + OTHERS) :]


def hydras(words: Sequence[str], directories: Sequence[Path] = (OWN,)) -> tuple[Any, dict[str, str]]:
    search = [f"hydra.searchpath=[{','.join(f'file://{path}' for path in directories[:-1])}]"]
    words = [word for word in words if not word.endswith("=null")]
    with initialize_config_dir(str(directories[-1]), version_base="1.3"):
        composed = hydra_compose("config", overrides=[*words, *search], return_hydra_config=True)
    choices = dict(composed.hydra.runtime.choices)
    OmegaConf.set_readonly(composed, False)
    with open_dict(composed):
        del composed["hydra"]
    plain = OmegaConf.to_container(composed, resolve=False)
    return plain, {key: str(value) for key, value in choices.items() if not key.startswith("hydra/")}


def typed(value: Any) -> Any:
    """What OmegaConf makes of text."""
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    return yaml.load(value, get_yaml_loader()) if value not in ("???",) and "${" not in value else value


def without_none(choices: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in choices.items() if value not in ("None", "null")}


@pytest.mark.parametrize(
    "command", [pytest.param(command, marks=[] if command in QUICK else [pytest.mark.slow]) for command in COMMANDS]
)
def test_it_comes_to_what_hydra_composes(command: str) -> None:
    words = command.split()
    plain, choices = hydras(words)
    ours = compose(ConfigFiles([OWN]), words)
    assert typed(ours.values) == plain
    assert without_none(dict(ours.choices)) == without_none(choices)


def test_configs_of_others_go_before_ours(tmp_path: Path) -> None:
    for name, text in {
        "algo/mine.yaml": (
            "# Mine.\ndefaults:\n  - dqn\n  - /optimizer@second: adam\n  - override /network@_global_.network: linear\n"
            "  - _self_\n\ngamma: 0.5\nextra: {deep: [1, 2]}\n"
        ),
        "preset/mine_cartpole.yaml": "# @package _global_\ntotal_steps: 77\nalgo:\n  extra:\n    other: yes it is\n",
        "experiment/nested.yaml": (
            "# @package _global_\ndefaults:\n  - base_of_it\n  - _self_\n"
            "  - override /optimizer@algo.second: rmsprop\n\nalgo: {n_step: 5}\n"
        ),
        "experiment/base_of_it.yaml": "# @package _global_\nalgo: {n_step: 4, double: true}\nseed: 3\n",
        "experiment/packaged.yaml": "# @package algo.exploration.epsilon\nstart: 0.25\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    directories = [tmp_path, OWN]
    for words in (
        ["algo=mine", "env=cartpole"],
        ["algo=mine", "env=cartpole", "experiment=nested"],
        ["algo=mine", "env=pong", "experiment=nested", "optimizer@algo.second=rmsprop_centred"],
        ["algo=mine", "env=gridworld", "experiment=packaged", "network=mlp"],
    ):
        plain, choices = hydras(words, directories)
        ours = compose(ConfigFiles(directories), words)
        if "network=mlp" not in words:  # what is done about a network that was named is rlrun's own, and tested below
            assert typed(ours.values) == plain
        assert without_none(dict(ours.choices)) == without_none(choices)


def test_a_named_network_is_what_its_file_says(tmp_path: Path) -> None:
    words = ["algo=dqn", "env=cartpole", "network=mlp"]
    assert compose(ConfigFiles([OWN]), words).values["network"]["hidden"] == ["64", "64"]
    assert compose(ConfigFiles([OWN]), words[:2]).values["network"]["hidden"] == ["256", "256"]
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/plain.yaml").write_text("# @package _global_\ndefaults: [override /network: linear]\n")
    added = ConfigFiles([tmp_path, OWN])
    assert compose(added, [*words[:2], "experiment=plain"]).values["network"]["hidden"] == []


def test_identities_and_tuned_environments_are_those_of_the_command() -> None:
    files = ConfigFiles([OWN])
    for env in options([OWN], "env"):
        assert files.identity(env) == identity([OWN], env)
    for words in (
        ["env=atari", "env.game=pong", "algo=dqn"],
        ["algo=dqn", "env=gym", "env.id=CartPole-v1"],
        ["algo=random", "env=atari", "env.game=alien"],
    ):
        assert compose(files, words).choices["env"] == compose(files, resolve_env([OWN], words)).choices["env"]
    assert compose(files, ["algo=dqn", "env=atari", "env.game=pong"]).text("total_steps") == "500000"


def test_references_are_followed_and_missing_values_are_none() -> None:
    composed = compose(ConfigFiles([OWN]), ["algo=dqn", "env=atari"])
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
    composed = compose(ConfigFiles([tmp_path, OWN]), ["algo=broken", "env=cartpole"])
    assert composed.text("seed") == "0"
    assert composed.text("env.max_episode_steps") == "500"
