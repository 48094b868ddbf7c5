"""A network is chosen as a whole by its name; the strongest choice counts, and keys for another one are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from added_directory import with_files
from refusals import refusal

from rlrun.config.compose import load_config
from rlrun.config.explain import explanation
from rlrun.config.schema import Component

CARTPOLE = ("algo=dqn", "env=cartpole")  # whose preset suggests mlp_256
FILES = {
    "experiment/small": "# @package _global_\nalgo:\n  network:\n    hidden: [8]\n",
    "experiment/linear": "# @package _global_\nnetwork: linear\n",
    "experiment/nested": "# @package _global_\ndefaults:\n  - linear\n",
    "experiment/own": "# @package _global_\nnetwork: mlp\nalgo:\n  network:\n    hidden: [7]\n",
    "experiment/misspelt": "# @package _global_\nnetwork: mpl\n",
    "preset/other": "# @package _global_\nnetwork: mlp_64\n",
    "env/images": "_target_: rlrun.testing.scripted_env.ScriptedEnv\nnetwork: nature2015\nnum_envs: 2\n",
    "network/starts": "defaults: [mlp, _self_]\nhidden: [5]\n",
}


@pytest.fixture
def directories(tmp_path: Path) -> list[Path]:
    return with_files(tmp_path, FILES)


def network(directories: list[Path], *overrides: str) -> Component:
    found = load_config(overrides, directories).algo.arguments["network"]
    assert isinstance(found, Component)
    return found


@pytest.mark.parametrize(
    ("overrides", "hidden", "activation"),
    [
        ((), [256, 256], "tanh"),
        (("preset=null",), [64, 64], "tanh"),
        (("preset=other",), [64], "tanh"),
        (("network=mlp",), [64, 64], "tanh"),
        (("network@algo.network=mlp",), [64, 64], "tanh"),
        (("network=mlp", "algo.network.hidden=[9]"), [9], "tanh"),
        (("network=mlp", "++algo.network={hidden: [3]}"), [3], "tanh"),
        (("algo.network={hidden: [3]}",), [3], "tanh"),
        (("network=linear", "algo.network.hidden=[3]", "algo.network.activation=tanh"), [3], "tanh"),
        (("network=starts",), [5], "tanh"),
        (("experiment=linear",), [], "relu"),
        (("experiment=nested",), [], "relu"),
        (("experiment=small",), [8], "tanh"),
        (("experiment=[linear,small]",), [8], "relu"),
        (("experiment=own",), [7], "tanh"),
        (("experiment=linear", "preset=other"), [], "relu"),
        (("experiment=linear", "network=mlp"), [64, 64], "tanh"),
    ],
)
def test_the_strongest_choice_is_the_whole_network(
    directories: list[Path], overrides: tuple[str, ...], hidden: list[int], activation: str
) -> None:
    found = network(directories, *CARTPOLE, *overrides)
    assert found.arguments == {"hidden": hidden, "activation": activation}


def test_an_environment_suggests_one_to_algorithms_that_take_one(directories: list[Path]) -> None:
    assert network(directories, "algo=dqn", "env=images").target == "rlrun.nn.trunks.Convolutional"
    assert network(directories, "algo=dqn", "env=images", "network=mlp").target == "rlrun.nn.trunks.MLP"
    config = load_config(["algo=random", "env=images"], directories)
    assert "network" not in {**config.algo.arguments, **config.env.arguments}
    assert network(directories, "algo=dqn", "env=pong").arguments["hidden"] == 512


@pytest.mark.parametrize("overrides", [("experiment=small", "network=mlp"), ("experiment=[small,linear]",)])
def test_keys_for_another_network_are_refused(directories: list[Path], overrides: tuple[str, ...]) -> None:
    refusal(lambda: load_config([*CARTPOLE, *overrides], directories), "algo.network.hidden", "small.yaml, line 4")


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (("algo=random", "env=images", "network=mlp"), "algo=random network=mlp"),
        (("algo=random", "env=images", "++algo.network.hidden=[3]"), "algo.network.hidden"),
        ((*CARTPOLE, "network.hidden=[3]"), "network.hidden algo.network.hidden"),
        ((*CARTPOLE, "network={hidden: [3]}"), "network.hidden algo.network.hidden"),
        ((*CARTPOLE, "~algo.network.hidden"), "algo.network.hidden"),
        ((*CARTPOLE, "~algo.network"), "algo.network"),
        ((*CARTPOLE, "++algo.network={hiden: [3]}"), "algo.network.hiden algo.network.hidden"),
        ((*CARTPOLE, "experiment=misspelt"), "'mpl' mlp"),
        ((*CARTPOLE, "network=mpl"), "'mpl' mlp"),
        (("algo=random", "env=cartpole", "experiment=linear"), "algo=random network=linear"),
        (("algo=random", "env=cartpole", "experiment=misspelt"), "'mpl' mlp"),
        ((*CARTPOLE, "network=null"), "'null' mlp"),
    ],
)
def test_what_is_not_right_is_refused(directories: list[Path], overrides: tuple[str, ...], named: str) -> None:
    refusal(lambda: load_config(overrides, directories), *named.split())


def test_where_its_values_come_from_is_explained(directories: list[Path]) -> None:
    def places(*overrides: str) -> list[str]:
        rows = explanation([*CARTPOLE, *overrides], directories, ["algo.network"]).rows
        return [row.place.split(",")[0] for row in rows[1:]]

    assert places() == ["conf/network/mlp_256.yaml"] * 2
    assert places("network=mlp") == ["conf/network/mlp.yaml"] * 2
    assert places("experiment=small")[0] == str(directories[0] / "experiment/small.yaml")
