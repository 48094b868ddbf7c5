"""What is said about a wrong key: what, where it was set, and what would be right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from added_directory import with_files

from rlrun.config.compose import load_config
from rlrun.config.explain import explanation
from rlrun.config.files import config_directory
from rlrun.errors import UserError

A_RATE = "it must be a number > 0 or an object (_target_) of the kind Schedule"
FILES = {
    "experiment/typo": "# @package _global_\nalgo:\n  exploration:\n    # by step\n    epsilon:\n      ennd: 0.5\n",
    "experiment/high": "# @package _global_\nalgo:\n  gamma: 1.5 # too much\n",
    "experiment/hidden": "# @package _global_\nalgo:\n  network:\n    hiden: [3]\n",
    "preset/mine": "# @package _global_\n# numbers\nalgo:\n  replay:\n    batch_sizes: 3\n",
}

EPSILON = "algo.exploration.epsilon"


@pytest.fixture
def directories(tmp_path: Path) -> list[Path]:
    return with_files(tmp_path, FILES)


def refused(directories: list[Path], *overrides: str) -> tuple[str, str]:
    with pytest.raises(UserError) as caught:
        load_config(overrides, directories)
    assert all(len(line) < 120 for line in caught.value.details)
    assert len(caught.value.details) < 20
    return str(caught.value), "\n".join(caught.value.details)


def test_a_key_in_a_file_is_told_with_file_and_line(directories: list[Path]) -> None:
    message, details = refused(directories, "algo=dqn", "env=pong", "experiment=typo")
    assert message == "unknown key algo.exploration.epsilon.ennd; nearest: algo.exploration.epsilon.end"
    assert f"set in {directories[0] / 'experiment/typo.yaml'}, line 6" in details
    assert "algo.exploration.epsilon.end = 0.02 (a number): the last value" in details
    _, details = refused(directories, "algo=dqn", "env=cartpole", "preset=mine")
    assert f"set in {directories[0] / 'preset/mine.yaml'}, line 5" in details


def test_a_word_on_the_command_line_is_quoted(directories: list[Path]) -> None:
    for word in ("+algo.gama=0.3", "algo.gama=0.3", "++algo.gama=0.3"):
        message, details = refused(directories, "algo=dqn", "env=pong", word)
        assert message == "unknown key algo.gama; nearest: algo.gamma"
        assert details.splitlines() == [
            f"set on the command line: {word}",
            "algo.gamma = 0.99 (a number >= 0 and <= 1): discount factor per agent step",
        ]


@pytest.mark.parametrize(
    ("word", "told"),
    [
        (
            "algo.gamma='0.9'",
            "algo.gamma='0.9' is not valid: it must be a number >= 0 and <= 1",
        ),
        (
            "algo.epsilon={_target_: builtins.dict}",
            "algo.epsilon._target_=builtins.dict cannot be checked: it does not say what it takes",
        ),
    ],
)
def test_what_is_nearly_right_is_told_with_what_is_right(directories: list[Path], word: str, told: str) -> None:
    message, details = refused(directories, "algo=q_learning", "env=frozenlake", word)
    assert message == told
    assert details.splitlines()[0] == f"set on the command line: {word}"


@pytest.mark.parametrize("right", ["env.options={is_slippery: false}", "env.options.is_slippery=false"])
def test_a_mapping_takes_any_key(directories: list[Path], right: str) -> None:
    config = load_config(["algo=q_learning", "env=frozenlake", right], directories)
    assert config.env.arguments["options"] == {"is_slippery": False}


def test_a_wrong_value_comes_with_its_meaning_and_what_it_would_be_otherwise(directories: list[Path]) -> None:
    gamma = next(
        number
        for number, line in enumerate((config_directory() / "algo/dqn.yaml").read_text().splitlines(), 1)
        if line.startswith("gamma:")
    )
    message, details = refused(directories, "algo=dqn", "env=pong", "experiment=high")
    assert message == "algo.gamma=1.5 is not valid: it must be a number >= 0 and <= 1"
    assert details.splitlines() == [
        f"set in {directories[0] / 'experiment/high.yaml'}, line 3",
        "algo.gamma: discount factor per agent step",
        f"without it: 0.99 (conf/algo/dqn.yaml, line {gamma})",
    ]
    assert "set on the command line: algo.gamma=2" in refused(directories, "algo=dqn", "env=pong", "algo.gamma=2")[1]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("algo=random", "algo.gamma=1"), "it belongs to algo=actor_critic, dqn, linear_q, linear_v, "),
        (("algo=dqn", "algo.trace_lambda=1"), "it belongs to algo=linear_q, linear_v, td, not to algo=dqn"),
        (("algo=dqn", "+env.game=pong"), "it belongs to env=atari, breakout, pong, not to env=cartpole"),
        (("algo=dqn", "algo.lr=1"), "nearest: algo.optimizer.learning_rate"),
        (("algo=dqn", "gamma=1"), "nearest: algo.gamma"),
        (("algo=dqn", "algo._targt_=1"), "nearest: algo._target_"),
        (("algo=dqn", "algo={gama: 1}"), "unknown key algo.gama; nearest: algo.gamma"),
    ],
)
def test_a_key_that_is_somebody_elses_says_whose(overrides: tuple[str, ...], words: str) -> None:
    assert words in refused([config_directory()], "env=cartpole", *overrides)[0]


@pytest.mark.parametrize("words", [["algo=dqn"], ["algo=dqn", "network=nature2015"], ["algo=random"]])
def test_a_typo_in_network_is_refused_even_where_no_network_is_used(directories: list[Path], words: list[str]) -> None:
    message, details = refused(directories, *words, "env=pong", "experiment=hidden")
    assert "algo.network.hiden" in message or "algo.network" in message
    assert "experiment/hidden.yaml" in message + details


def test_keys_of_a_network_of_ones_own_are_checked_like_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_network.py").write_text(
        "from rlrun.nn.trunks import MLP\n"
        "class Own(MLP):\n"
        "    def __init__(self, *, width: int) -> None:\n"
        "        super().__init__(hidden=[width], activation='relu')\n"
    )
    (tmp_path / "conf" / "network").mkdir(parents=True)
    (tmp_path / "conf" / "network" / "own.yaml").write_text("_target_: own_network.Own\nwidth: 3\n")
    (tmp_path / "conf" / "network" / "gone.yaml").write_text("_target_: nowhere_to_be_found.Gone\nwidth: 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found, words = [tmp_path / "conf", config_directory()], ["algo=dqn", "env=pong"]
    assert load_config([*words, "network=own"], found).algo.arguments["network"].arguments == {"width": 3}
    message, _ = refused(found, *words, "network=own", "algo.network.widht=3")
    assert message == "unknown key algo.network.widht; nearest: algo.network.width"
    message, _ = refused(found, *words, "network=own", "algo.network.width=wide")
    assert message.startswith("algo.network.width=wide is not valid")
    message, _ = refused(found, *words, "network=gone")
    assert message.startswith("algo.network._target_=nowhere_to_be_found.Gone cannot be imported")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "algo.replay.batch_size=200000",
            "algo.replay.batch_size=200000 is more than algo.replay.capacity_steps=100000",
        ),
        ("algo.target.period_steps=0", "period_steps=0 is not valid: it must be an integer > 0 or null"),
        ("env.num_envs=0", "env.num_envs=0 is not valid: it must be an integer > 0"),
    ],
)
def test_values_out_of_range(override: str, words: str) -> None:
    message, details = refused([config_directory()], "algo=dqn", "env=cartpole", override)
    assert message.endswith(words)
    assert f"set on the command line: {override}" in details


@pytest.mark.parametrize("value", ["nan", "-1"])
def test_a_learning_rate_out_of_range(value: str) -> None:
    override = f"algo.optimizer.learning_rate={value}"
    message, details = refused([config_directory()], "algo=dqn", "env=acrobot", override)
    assert message == f"{override} is not valid: {A_RATE}"
    assert f"set on the command line: {override}" in details


def test_an_unknown_option_comes_with_what_the_nearest_are_and_where_others_are_searched(
    directories: list[Path],
) -> None:
    message, details = refused([config_directory()], "algo=dqn", "env=CartPole-v1")
    assert message.startswith("unknown env 'CartPole-v1'; nearest: cartpole; available: acrobot, atari, ")
    cartpole, *others = details.splitlines()
    assert cartpole.startswith("env cartpole: CartPole-v1 (Barto, Sutton and Anderson 1983): keep a pole upright")
    assert others == [
        "any Gymnasium id with discrete actions: env=gym env.id=CartPole-v1",
        "files of your own are found with --config-dir DIR (docs/plugins.md)",
    ]
    _, details = refused([config_directory()], "algo=dqn", "env=pong", "device=gpu")
    assert [line.split(":")[0] for line in details.splitlines()[:3]] == ["device cpu", "device auto", "device cuda"]
    with pytest.raises(UserError) as caught:
        load_config(["algo=mine", "env=pong"], directories)
    assert caught.value.details[-1] == f"searched besides rlrun's own: {directories[0] / 'algo'}"


@pytest.mark.parametrize("override", ["algo.exploration.epsilon=0.1", "algo.exploration.epsilon=null"])
def test_one_value_for_an_object_is_answered_with_its_keys_and_how_to_replace_it(override: str) -> None:
    words = ["algo=dqn", "env=cartpole"]
    _, details = refused([config_directory()], *words, override)
    assert "it has keys of its own: algo.exploration.epsilon." in details
    replacement = "another one: 'algo.exploration.epsilon={_target_: rlrun.numerics.schedules.Constant, value: ...}'"
    assert replacement in details.splitlines()
    message, _ = refused(
        [config_directory()], *words, "algo.exploration.epsilon._target_=rlrun.numerics.schedules.Constant"
    )
    assert "algo.exploration.epsilon={_target_: ...}" in message
    words += [word.replace("...", "0.1") for word in re.findall(r"'(.*?)'", replacement)]
    exploration = load_config(words, [config_directory()]).algo.arguments["exploration"]
    assert exploration.arguments["epsilon"].arguments == {"value": 0.1}


def test_an_object_that_comes_from_a_group_is_chosen_by_its_name() -> None:
    words = ["algo=dqn", "env=cartpole"]
    message, details = refused([config_directory()], *words, "optimizer=rmsprop")
    assert message.endswith("optimizer@algo.optimizer")
    assert "optimizer@algo.optimizer=: a group of config files" in details.splitlines()
    config = load_config([*words, "optimizer@algo.optimizer=rmsprop"], [config_directory()])
    assert config.algo.arguments["optimizer"].target == "rlrun.nn.optimizers.RMSProp"


def test_a_misspelt_key_is_told_before_the_one_that_is_missing_for_it(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nenv:\n  gaem: pong\n")
    message, details = refused([tmp_path, config_directory()], "algo=dqn", "env=atari", "experiment=mine")
    assert message == "unknown key env.gaem; nearest: env.game"
    assert f"set in {tmp_path / 'experiment/mine.yaml'}, line 3" in details
    message, _ = refused([config_directory()], "algo=dqn", "env=atari")
    assert message == "env.game has no value yet: give env.game=..."


def test_a_file_that_is_not_yaml_is_told_with_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "broken.yaml"
    file.write_text("# @package _global_\nseed: 1\n\talgo: 2\n")
    message, _ = refused([tmp_path, config_directory()], "algo=dqn", "env=pong", "experiment=broken")
    assert message.startswith(f"{file} is not YAML: line 3, column 1: ")
    assert "\n" not in message


def test_a_class_without_a_docstring_is_explained_by_the_comments_in_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "algo").mkdir()
    (tmp_path / "silent_agent.py").write_text(
        "from rlrun.agents.random import Random\n"
        "class Silent(Random):\n"
        "    def __init__(self, *, pace: int, spec: object) -> None: ...\n"
    )
    (tmp_path / "algo" / "silent.yaml").write_text("_target_: silent_agent.Silent\npace: 3 # steps a turn; ours\n")
    monkeypatch.syspath_prepend(tmp_path)
    directories, words = [tmp_path, config_directory()], ["algo=silent", "env=cartpole"]
    _, details = refused(directories, *words, "algo.pase=1")
    assert "algo.pace = 3 (an integer): steps a turn; ours" in details.splitlines()
    (row,) = explanation(words, directories, ["algo.pace"]).rows
    assert (row.key.meaning, row.note) == ("steps a turn; ours", "")
