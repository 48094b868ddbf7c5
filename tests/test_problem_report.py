"""What is said about a wrong key: what, where it was set, and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlrun.composition import load_config
from rlrun.config_files import config_directory
from rlrun.errors import UserError

FILES = {
    "experiment/typo": "# @package _global_\nalgo:\n  # exploration\n  epsilon:\n    ennd: 0.5\n",
    "experiment/high": "# @package _global_\nalgo:\n  gamma: 1.5 # too much\n",
    "experiment/hidden": "# @package _global_\nnetwork:\n  hiden: [3]\n",
    "experiment/strides": "# @package _global_\nnetwork:\n  strides: 3\n",
    "preset/mine": "# @package _global_\n# numbers\nalgo:\n  batch_sizes: 3\n",
}


@pytest.fixture
def directories(tmp_path: Path) -> list[Path]:
    for name, text in FILES.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return [tmp_path, config_directory()]


def refused(directories: list[Path], *overrides: str) -> tuple[str, str]:
    with pytest.raises(UserError) as caught:
        load_config(overrides, directories)
    assert all(len(line) < 120 for line in caught.value.details)
    assert len(caught.value.details) < 20
    return str(caught.value), "\n".join(caught.value.details)


def test_a_key_in_a_file_is_told_with_file_and_line(directories: list[Path]) -> None:
    message, details = refused(directories, "algo=dqn", "env=pong", "experiment=typo")
    assert message == "unknown key algo.epsilon.ennd; nearest: algo.epsilon.end"
    assert f"set in {directories[0] / 'experiment/typo.yaml'}, line 5" in details
    assert "algo.epsilon.end = 0.02 (a number): the last value" in details
    _, details = refused(directories, "algo=dqn", "env=cartpole", "preset=mine")
    assert f"set in {directories[0] / 'preset/mine.yaml'}, line 4" in details


def test_a_word_on_the_command_line_is_quoted(directories: list[Path]) -> None:
    for word in ("+algo.gama=0.3", "algo.gama=0.3", "++algo.gama=0.3"):
        message, details = refused(directories, "algo=dqn", "env=pong", word)
        assert message == "unknown key algo.gama; nearest: algo.gamma"
        assert details.splitlines() == [
            f"set on the command line: {word}",
            "algo.gamma = 0.99 (a number >= 0 and <= 1): discount factor per agent step",
        ]


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
        (("algo=dqn", "algo.epsilon.value=1"), "it belongs to algo=linear_q, q_learning, sarsa, not to algo=dqn"),
        (("algo=dqn", "+env.game=pong"), "it belongs to env=atari, breakout, pong, not to env=cartpole"),
        (("algo=dqn", "+network.kernels=[3]"), "it belongs to network=nature2015, nips2013, not to network=mlp"),
        (("algo=dqn", "+algo.optimizer.decay=0.9"), "it belongs to rlrun.nn.optimizers.CentredRMSProp, "),
        (("algo=dqn", "algo.lr=1"), "nearest: algo.optimizer.learning_rate"),
        (("algo=dqn", "gamma=1"), "nearest: algo.gamma"),
        (("algo=dqn", "algo._targt_=1"), "nearest: algo._target_"),
        (("algo=dqn", "algo={gama: 1}"), "unknown key algo.gama; nearest: algo.gamma"),
        (("algo=dqn", "hydra.job.nme=x"), "nearest: hydra.job.name"),
    ],
)
def test_a_key_that_is_somebody_elses_says_whose(overrides: tuple[str, ...], words: str) -> None:
    assert words in refused([config_directory()], "env=cartpole", *overrides)[0]


@pytest.mark.parametrize("network", [[], ["network=nature2015"], ["network=mlp"]])
@pytest.mark.parametrize("algo", ["dqn", "random"])
def test_a_typo_in_network_is_refused_even_where_that_network_is_not_used(
    directories: list[Path], algo: str, network: list[str]
) -> None:
    message, _ = refused(directories, f"algo={algo}", "env=pong", "experiment=hidden", *network)
    if algo == "random" and network:
        assert "algo=random uses no network" in message or "network.hiden" in message
    else:
        assert message.startswith("unknown key network.hiden")


def test_a_value_that_no_network_takes_is_refused_even_where_that_network_is_not_used(directories: list[Path]) -> None:
    message, details = refused(directories, "algo=dqn", "env=pong", "network=nips2013", "experiment=strides")
    assert message == "network.strides=3 is not valid: it must be a list (each a whole number > 0)"
    assert f"set in {directories[0] / 'experiment/strides.yaml'}, line 3" in details


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("algo.batch_size=200000", "algo.batch_size=200000 is more than algo.replay_capacity_steps=100000"),
        ("algo.target_period_steps=0", "target_period_steps=0 is not valid: it must be a whole number > 0 or null"),
        ("algo.optimizer.learning_rate=nan", "algo.optimizer.learning_rate=nan is not valid: it must be a number > 0"),
        ("algo.optimizer.learning_rate=-1", "algo.optimizer.learning_rate=-1 is not valid: it must be a number > 0"),
        ("env.num_envs=0", "env.num_envs=0 is not valid: it must be a whole number > 0"),
    ],
)
def test_values_out_of_range(override: str, words: str) -> None:
    message, details = refused([config_directory()], "algo=dqn", "env=cartpole", override)
    assert message.endswith(words)
    assert f"set on the command line: {override}" in details
