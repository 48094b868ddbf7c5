"""A network that words or an experiment name is as its file, the experiment and the command line have it."""

from __future__ import annotations

from pathlib import Path

import pytest
from added_directory import with_files

from rlrun.config.compose import load_config
from rlrun.config.explain import explanation
from rlrun.config.files import config_directory
from rlrun.errors import UserError

CARTPOLE = ("algo=dqn", "env=cartpole")  # whose preset says hidden: [256, 256], activation: tanh
FILES = {
    "experiment/small": "# @package _global_\nnetwork:\n  hidden: [8]\n",
    "experiment/linear": "# @package _global_\ndefaults:\n  - override /network: linear\n",
    "experiment/nested": "# @package _global_\ndefaults:\n  - linear\n",
    "preset/own": "# @package _global_\nnetwork:\n  hidden: [7]\n",
    "network/mistaken": "_target_: rlrun.nn.trunks.MLP\nhidden: [5]\nactivation: tanhh\n",
}


@pytest.fixture
def directories(tmp_path: Path) -> list[Path]:
    return with_files(tmp_path, FILES)


def test_what_a_wrong_value_would_be_otherwise_is_not_what_the_preset_has(directories: list[Path]) -> None:
    with pytest.raises(UserError, match="activation=tanhh is not valid") as caught:
        load_config([*CARTPOLE, "network=mistaken"], directories)
    assert not any("without it" in line for line in caught.value.details)


@pytest.mark.parametrize(
    ("words", "hidden", "activation"),
    [
        ((), [256, 256], "tanh"),
        (("network=mlp",), [64, 64], "tanh"),
        (("network=mlp", "preset=dqn_cartpole"), [64, 64], "tanh"),  # naming what is found anyway changes nothing
        (("network=mlp", "preset=own"), [7], "tanh"),
        (("network=mlp", "experiment=small"), [8], "tanh"),
        (("network=mlp", "experiment=small", "network.hidden=[9]"), [9], "tanh"),
        (("network=mlp", "++network={hidden: [3]}"), [3], "tanh"),
        (("network={hidden: [3]}",), [3], "tanh"),  # names no network
        (("network=linear", "network.hidden=[3]", "network.activation=tanh"), [3], "tanh"),
        (("experiment=linear",), [], "relu"),
        (("experiment=nested",), [], "relu"),
        (("experiment=[small,linear]",), [8], "relu"),
        (("experiment=linear", "preset=own"), [7], "relu"),
        (("experiment=linear", "network=mlp"), [64, 64], "tanh"),
    ],
)
def test_only_the_preset_that_is_found_by_itself_is_left_out(
    directories: list[Path], words: tuple[str, ...], hidden: list[int], activation: str
) -> None:
    network = load_config([*CARTPOLE, *words], directories).network
    assert network is not None
    assert network.arguments == {"hidden": hidden, "activation": activation}


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("~network.hidden", "network.hidden is missing"),
        ("~network", "algo=dqn needs a network"),
        ("++network={hiden: [3]}", "unknown key network.hiden; nearest: network.hidden"),
    ],
)
def test_what_is_taken_away_or_misspelt_is_not_put_right(directories: list[Path], word: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        load_config([*CARTPOLE, "network=mlp", word], directories)
    assert str(caught.value).startswith(words)


def test_what_only_the_preset_says_may_be_taken_away(tmp_path: Path) -> None:
    (tmp_path / "network").mkdir()
    (tmp_path / "network/bare.yaml").write_text("_target_: rlrun.nn.trunks.MLP\nhidden: [5]\n")
    found = [tmp_path, config_directory()]
    for words, message in (
        (["~network.activation"], r"^network\.activation is missing"),
        (["~network.hidden=[256,256]", "+network.hidden=[3]", "network.activation=tanh"], None),
    ):
        if message is not None:
            with pytest.raises(UserError, match=message):
                load_config([*CARTPOLE, "network=bare", *words], found)
            continue
        network = load_config([*CARTPOLE, "network=bare", *words], found).network
        assert network is not None
        assert network.arguments == {"hidden": [3], "activation": "tanh"}


def test_a_preset_may_bring_keys_that_words_change_then(tmp_path: Path) -> None:
    (tmp_path / "preset").mkdir()
    (tmp_path / "preset/dqn_frozenlake.yaml").write_text(
        "# @package _global_\nenv: {options: {is_slippery: false}}\nnetwork: {hidden: [3]}\n"
    )
    words = ["algo=dqn", "env=frozenlake", "network=mlp", "env.options.is_slippery=true"]
    config = load_config(words, [tmp_path, config_directory()])
    assert config.network is not None
    assert (config.env.arguments["options"], config.network.arguments["hidden"]) == ({"is_slippery": True}, [64, 64])
    (row,) = explanation(words, [tmp_path, config_directory()], ["env.options"]).rows
    assert row.place == "the command line: env.options.is_slippery=true"


def test_a_mistake_in_its_file_is_told_with_that_file(directories: list[Path]) -> None:
    with pytest.raises(UserError, match=r"network\.activation=tanhh is not valid") as caught:
        load_config([*CARTPOLE, "network=mistaken"], directories)
    assert f"set in {directories[0] / 'network/mistaken.yaml'}, line 3" in caught.value.details


def test_where_its_values_come_from_is_explained(directories: list[Path]) -> None:
    def places(*words: str) -> list[str]:
        return [row.place for row in explanation([*CARTPOLE, "network=mlp", *words], directories, ["network"]).rows[1:]]

    assert [place.split(",")[0] for place in places()] == ["conf/network/mlp.yaml"] * 2
    assert places("experiment=small")[0] == f"{directories[0] / 'experiment/small.yaml'}, line 3"
