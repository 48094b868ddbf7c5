"""What is said about a wrong key: what, where it was set, and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
from added_directory import with_files
from refusals import refusal, wrong_key

from rlrun.config.compose import load_config
from rlrun.config.explain import explanation
from rlrun.config.files import config_directory
from rlrun.errors import UnknownKeyError, WrongKeyError

FILES = {
    "experiment/typo": "# @package _global_\nalgo:\n  exploration:\n    # by step\n    epsilon:\n      ennd: 0.5\n",
    "experiment/high": "# @package _global_\nalgo:\n  gamma: 1.5 # too much\n",
    "experiment/hidden": "# @package _global_\nalgo:\n  network:\n    hiden: [3]\n",
    "experiment/early": "# @package _global_\nenv:\n  gaem: pong\n",
    "preset/mine": "# @package _global_\n# numbers\nalgo:\n  replay:\n    batch_sizes: 3\n",
}
CONF = [config_directory()]
PONG, CARTPOLE = ("algo=dqn", "env=pong"), ("algo=dqn", "env=cartpole")


@pytest.fixture
def directories(tmp_path: Path) -> list[Path]:
    return with_files(tmp_path, FILES)


def wrong(directories: list[Path], overrides: tuple[str, ...], key: str, *named: str) -> WrongKeyError:
    return wrong_key(lambda: load_config(overrides, directories), key, *named)


@pytest.mark.parametrize(
    ("overrides", "key", "right", "file", "line"),
    [
        ((*PONG, "experiment=typo"), "algo.exploration.epsilon.ennd", "algo.exploration.epsilon.end", "typo", 6),
        ((*CARTPOLE, "preset=mine"), "algo.replay.batch_sizes", "algo.replay.batch_size", "mine", 5),
        ((*PONG, "experiment=high"), "algo.gamma", "number >= 0 and <= 1", "high", 3),
        (("algo=dqn", "env=atari", "experiment=early"), "env.gaem", "env.game", "early", 3),  # before what is missing
    ],
)
def test_a_key_in_a_file_is_told_with_file_and_line(
    directories: list[Path], overrides: tuple[str, ...], key: str, right: str, file: str, line: int
) -> None:
    place = wrong(directories, overrides, key, right).details[0]
    assert f"{file}.yaml, line {line}" in place
    assert str(directories[0]) in place


@pytest.mark.parametrize("override", ["+algo.gama=0.3", "algo.gama=0.3", "++algo.gama=0.3", "algo={gama: 0.3}"])
def test_an_override_is_quoted_and_the_option_is_named(override: str) -> None:
    error = wrong(CONF, (*PONG, override), "algo.gama", "algo.gamma")
    assert isinstance(error, UnknownKeyError)
    assert override in error.details[0]
    assert "algo=dqn" in error.details[1]


@pytest.mark.parametrize(
    ("override", "key", "named"),
    [
        ("algo.gamma='0.9'", "algo.gamma", "'0.9'"),  # in quotes, since it looks like a number
        ("algo.epsilon={_target_: builtins.dict}", "algo.epsilon._target_", "builtins.dict"),
        ("algo.gamma=2", "algo.gamma", "number >= 0 and <= 1"),
    ],
)
def test_a_wrong_value_is_told_with_where_it_was_set(override: str, key: str, named: str) -> None:
    assert override in wrong(CONF, ("algo=q_learning", "env=frozenlake", override), key, named).details[0]


@pytest.mark.parametrize("right", ["env.options={is_slippery: false}", "env.options.is_slippery=false"])
def test_a_mapping_takes_any_key(directories: list[Path], right: str) -> None:
    config = load_config(["algo=q_learning", "env=frozenlake", right], directories)
    assert config.env.arguments["options"] == {"is_slippery": False}


@pytest.mark.parametrize(
    ("overrides", "key", "right"),
    [
        (("algo=dqn", "algo.lr=1"), "algo.lr", "algo.optimizer.learning_rate"),
        (("algo=dqn", "gamma=1"), "gamma", "algo.gamma"),
        (("algo=dqn", "algo._targt_=1"), "algo._targt_", "algo._target_"),
        (("algo=random", "algo.gamma=1"), "algo.gamma", "algo"),  # a key of others
        (("algo=dqn", "+env.game=pong"), "env.game", "env"),
    ],
)
def test_the_nearest_key_is_named(overrides: tuple[str, ...], key: str, right: str) -> None:
    wrong(CONF, ("env=cartpole", *overrides), key, right)


@pytest.mark.parametrize("words", [["algo=dqn"], ["algo=dqn", "network=nature2015"], ["algo=random"]])
def test_a_typo_in_network_is_refused_even_where_no_network_is_used(directories: list[Path], words: list[str]) -> None:
    error = refusal(lambda: load_config([*words, "env=pong", "experiment=hidden"], directories), "algo.network")
    assert "experiment/hidden.yaml" in f"{error} {error.details}"


def test_keys_of_a_network_of_ones_own_are_checked_like_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_network.py").write_text(
        "from rlrun.nn.trunks import MLP\n"
        "class Own(MLP):\n"
        "    def __init__(self, *, width: int) -> None:\n"
        "        super().__init__(hidden=[width], activation='relu')\n"
    )
    files = {
        "network/own": "_target_: own_network.Own\nwidth: 3\n",
        "network/gone": "_target_: nowhere_to_be_found.Gone\nwidth: 3\n",
    }
    found = with_files(tmp_path, files)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_config([*PONG, "network=own"], found).algo.arguments["network"].arguments == {"width": 3}
    wrong(found, (*PONG, "network=own", "algo.network.widht=3"), "algo.network.widht", "algo.network.width")
    wrong(found, (*PONG, "network=own", "algo.network.width=wide"), "algo.network.width", "wide")
    wrong(found, (*PONG, "network=gone"), "algo.network._target_", "nowhere_to_be_found.Gone")


@pytest.mark.parametrize(
    ("override", "key", "named"),
    [
        ("algo.replay.batch_size=200000", "algo.replay.batch_size", "algo.replay.capacity_steps=100000"),
        ("algo.target.period_steps=0", "algo.target.period_steps", "integer > 0 or null"),
        ("env.num_envs=0", "env.num_envs", "integer > 0"),
        ("algo.optimizer.learning_rate=nan", "algo.optimizer.learning_rate", "nan"),
        ("algo.optimizer.learning_rate=-1", "algo.optimizer.learning_rate", "Schedule"),
    ],
)
def test_values_out_of_range(override: str, key: str, named: str) -> None:
    assert override in wrong(CONF, (*CARTPOLE, override), key, named).details[0]


def test_an_object_takes_the_place_of_one_with_other_keys() -> None:
    constant = "rlrun.numerics.schedules.Constant"
    key = "algo.exploration.epsilon"
    refusal(lambda: load_config([*CARTPOLE, f"{key}._target_={constant}"], CONF), f"{key}={{_target_: ...}}")
    config = load_config([*CARTPOLE, f"{key}={{_target_: {constant}, value: 0.1}}"], CONF)
    assert config.algo.arguments["exploration"].arguments["epsilon"].arguments == {"value": 0.1}


def test_an_object_that_comes_from_a_group_is_chosen_by_its_name() -> None:
    wrong(CONF, (*CARTPOLE, "optimizer=rmsprop"), "optimizer", "optimizer@algo.optimizer")
    config = load_config([*CARTPOLE, "optimizer@algo.optimizer=rmsprop"], CONF)
    assert config.algo.arguments["optimizer"].target == "rlrun.nn.optimizers.RMSProp"


def test_a_file_that_is_not_yaml_is_told_with_line_and_column(tmp_path: Path) -> None:
    found = with_files(tmp_path, {"experiment/broken": "# @package _global_\nseed: 1\n\talgo: 2\n"})
    file = str(tmp_path / "experiment" / "broken.yaml")
    refusal(lambda: load_config([*PONG, "experiment=broken"], found), file, "line 3, column 1")


def test_a_class_without_a_docstring_is_explained_by_the_comments_in_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "silent_agent.py").write_text(
        "from rlrun.agents.random import Random\n"
        "class Silent(Random):\n"
        "    def __init__(self, *, pace: int, spec: object) -> None: ...\n"
    )
    text = "_target_: silent_agent.Silent\npace: 3 # steps a turn; ours\n"
    directories, words = with_files(tmp_path, {"algo/silent": text}), ("algo=silent", "env=cartpole")
    monkeypatch.syspath_prepend(tmp_path)
    wrong(directories, (*words, "algo.pase=1"), "algo.pase", "algo.pace")
    (row,) = explanation(words, directories, ["algo.pace"]).rows
    assert (row.key.meaning, row.note) == ("steps a turn; ours", "")
