"""Overrides are read once: which choose options, which keys they set, and the runs of a sweep."""

from __future__ import annotations

import pytest

from rlrun.config.arguments import changed, expanded, is_choice, keys_set, parse, refuse_repeated
from rlrun.config.files import config_directory
from rlrun.errors import UserError

CONF = [config_directory()]


@pytest.mark.parametrize(
    ("word", "choice", "keys"),
    [
        ("algo=dqn", True, ["algo"]),
        ("optimizer@algo.optimizer=adam", True, ["algo.optimizer"]),
        ("experiment=[a,b]", True, ["experiment"]),
        ("algo={gamma: 0.9, epsilon: {end: 0.1}}", False, ["algo.gamma", "algo.epsilon.end"]),
        ("+algo.gamma=0.9", False, ["algo.gamma"]),
        ("seed=1,2", False, ["seed"]),
        ("~algo.gamma", False, []),
        ("env.options={}", False, ["env.options"]),
    ],
)
def test_what_an_override_is_about(word: str, choice: bool, keys: list[str]) -> None:
    (item,) = parse([word])
    assert is_choice(item) is choice
    assert keys_set(item) == keys


@pytest.mark.parametrize(
    "word", ["seed", "=0.9", "seed=[1", "algo.gamma=0.9,", "seed==1", "seed=1 # no", "alg\u043e=dqn"]
)
def test_what_cannot_be_read_is_quoted(word: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(["algo=dqn", word])
    assert str(caught.value).startswith(f"cannot read '{word}'")


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["seed=0", "+seed=1"], "seed"),
        (["algo=dqn", "algo=random"], "algo"),
        (["env={num_envs: 2}", "env.num_envs=3"], "env.num_envs"),
        (["experiment=a", "experiment=[b]"], "experiment"),
    ],
)
def test_a_key_is_given_once(overrides: list[str], key: str) -> None:
    with pytest.raises(UserError) as caught:
        refuse_repeated(parse(overrides))
    assert str(caught.value).startswith(f"{key} is given twice, as {overrides[0]} and as {overrides[1]}")
    refuse_repeated(parse([overrides[0], overrides[0], "~algo.epsilon", "algo.epsilon={a: 1}"]))


def test_changes_take_the_place_of_what_is_there() -> None:
    assert changed(["algo=dqn", "seed=1", "+a=2"], "seed=3", "a=4") == ["algo=dqn", "seed=3", "a=4"]


def test_a_sweep_is_every_combination_the_last_key_fastest() -> None:
    runs = list(expanded(parse(["algo=a,b", "seed=range(0,2)", "name=x", "experiment=null,[p]"]), CONF))
    assert runs[:3] == [
        ["algo=a", "seed=0", "name=x", "experiment=null"],
        ["algo=a", "seed=0", "name=x", "experiment=[p]"],
        ["algo=a", "seed=1", "name=x", "experiment=null"],
    ]
    assert len(runs) == 8
    assert [run[0] for run in expanded(parse(["algo=glob(q_*)"]), CONF)] == ["algo=q_iteration", "algo=q_learning"]


@pytest.mark.parametrize("word", ["seed=range(3,0)", "seed=interval(0,1)", "algo=glob(zz*)", "seed=range(0,200000)"])
def test_a_sweep_without_runs_or_with_too_many_is_refused(word: str) -> None:
    with pytest.raises(UserError) as caught:
        list(expanded(parse(["name=x", word]), CONF))
    assert str(caught.value).startswith(word)
