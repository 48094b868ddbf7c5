"""Keys that have no effect beside the others: refused where a person gives them, and no part of the experiment."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from added_directory import with_files
from refusals import refusal, wrong_key

from rlrun import compose, train
from rlrun.annotations import Condition, used_unless, used_when
from rlrun.cli.main import run_command
from rlrun.config import catalogue
from rlrun.config.compose import load_config
from rlrun.config.config import Config, check_plain
from rlrun.config.explain import explanation
from rlrun.config.files import config_directory, options
from rlrun.config.sweep import check_sweep
from rlrun.config.unused_keys import unused_keys
from rlrun.errors import WrongKeyError
from rlrun.runs.manifest import experiment_hash

CONF = config_directory()


class Rule(NamedTuple):
    """A key, with what it has no effect, with what it has one, and another value of it."""

    overrides: str
    key: str
    unused: str
    used: str
    other: Any
    reason: str = ""  # where it does not read as `unused` does
    remedy: str = ""


ACTOR_CRITIC = "algo=actor_critic env=cartpole preset=null env.num_envs=4"
REINFORCE = "algo=reinforce env=cartpole preset=null env.num_envs=4"
DQN = "algo=dqn env=cartpole preset=null algo.replay.learning_starts_steps=100"
LINEAR = "algo=linear_q env=gridworld preset=null env.observation=index"
ONE_HOT = "{_target_:rlrun.agents.linear.features.OneHot}"
PAIRED = f"~algo.features +algo.features={{_target_:rlrun.agents.linear.features.Paired,features:{ONE_HOT}}}"
OTHER_OPTIMIZER = {"_target_": "rlrun.nn.optimizers.Adam", "learning_rate": 0.5, "eps": 1e-3}
RULES = [
    Rule(
        ACTOR_CRITIC,
        "algo.advantage.gae_lambda",
        "algo.advantage.estimator=n_step",
        "algo.advantage.estimator=gae",
        0.5,
    ),
    Rule(
        ACTOR_CRITIC,
        "algo.advantage.rollout_steps",
        "algo.advantage.estimator=monte_carlo",
        "algo.advantage.estimator=td",
        7,
        remedy="another",
    ),
    Rule(
        ACTOR_CRITIC,
        "algo.advantage.episodes_per_batch",
        "algo.advantage.estimator=gae",
        "algo.advantage.estimator=monte_carlo",
        8,
    ),
    Rule(REINFORCE, "algo.baseline.optimizer", "algo.baseline.kind=none", "algo.baseline.kind=value", OTHER_OPTIMIZER),
    Rule(REINFORCE, "algo.baseline.updates", "algo.baseline.kind=batch_mean", "algo.baseline.kind=value", 3),
    Rule(REINFORCE, "algo.baseline.decay", "algo.baseline.kind=value", "algo.baseline.kind=moving_average", 0.5),
    Rule(
        DQN,
        "algo.target.double",
        "algo.target.period_steps=null",
        "algo.target.period_steps=50",
        True,
        remedy="another",
    ),
    Rule(DQN, "algo.huber_delta", "algo.loss=squared", "algo.loss=huber", 0.01),
    Rule(DQN, "algo.replay.folder", "algo.replay.storage=memory", "algo.replay.storage=disk", "/nowhere"),
    Rule(DQN, "algo.network.activation", "algo.network.hidden=[]", "algo.network.hidden=[8]", "relu", remedy="another"),
    Rule(LINEAR, "algo.replacing", "algo.trace_lambda=0", "algo.trace_lambda=0.5", True, "algo.trace_lambda=0.0", "a"),
    Rule(
        LINEAR,
        "algo.bias",
        PAIRED,
        "algo.alpha=0.1",
        False,
        "algo.features._target_=rlrun.agents.linear.features.Paired",
        "a",
    ),
]
EXECUTED = {"algo.replay.folder"}  # which has an effect, and defines no experiment all the same
NAMES = [rule.key for rule in RULES]


def composed(*overrides: str) -> Config:
    return load_config([word for each in overrides for word in each.split()], [CONF])


def with_value(config: Config, key: str, value: Any) -> Config:
    """What an algorithm's file or a preset with another value would give."""
    plain: dict[str, Any] = config.as_plain() | {"fresh": False}
    *parents, name = key.split(".")
    inside = plain
    for parent in parents:
        inside = inside[parent]
    inside[name] = value
    return check_plain(plain, config.labels)


def digest(config: Config) -> str:
    return experiment_hash(config.experiment())


def test_every_rule_of_every_constructor_is_tested_here() -> None:
    declared = {
        (target, name)
        for target in catalogue.target_names()
        if (known := catalogue.target(target)) is not None
        for name, parameter in known.parameters.items()
        if parameter.conditions
    }
    tested = set()
    for rule in RULES:
        config = composed(rule.overrides, rule.unused)
        group, *inner, name = rule.key.split(".")
        component = getattr(config, group)
        for each in inner:
            component = component.arguments[each]
        tested.add((component.target, name))
    assert tested == declared


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_a_key_defines_the_experiment_only_where_it_has_an_effect(rule: Rule) -> None:
    without, with_effect = composed(rule.overrides, rule.unused), composed(rule.overrides, rule.used)
    assert rule.key in unused_keys(without)
    assert rule.key not in unused_keys(with_effect)
    assert digest(with_value(without, rule.key, rule.other)) == digest(without)
    changes = digest(with_value(with_effect, rule.key, rule.other)) != digest(with_effect)
    assert changes is (rule.key not in EXECUTED)
    assert digest(without) != digest(with_effect) or rule.key in EXECUTED


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_giving_a_key_without_effect_is_refused_with_what_would_give_it_one(rule: Rule) -> None:
    value = "0.5" if rule.key.endswith("optimizer") else str(rule.other).lower()
    given = f"{rule.key}.learning_rate=0.5" if rule.key.endswith("optimizer") else f"{rule.key}={value}"
    with pytest.raises(WrongKeyError) as caught:
        composed(rule.overrides, rule.unused, given)
    assert caught.value.key == rule.key
    told = [rule.key, rule.reason or rule.unused, *([] if rule.remedy else [rule.used])]
    assert [each for each in told if each not in str(caught.value)] == []
    assert given in caught.value.details[0]
    composed(rule.overrides, rule.used, given)


# What the rule says, seen in numbers: only the main ones, since each trains twice.
SHORT = "total_steps=400 log_every_steps=100 evaluation.every_steps=200 evaluation.episodes=2 device=cpu logger=none"
TRAINED = [rule for rule in RULES if rule.key != "algo.baseline.optimizer"]


@pytest.mark.parametrize("rule", TRAINED, ids=[rule.key for rule in TRAINED])
def test_a_key_that_is_called_unused_changes_no_number(rule: Rule, tmp_path: Path) -> None:
    plain = replace(composed(rule.overrides, rule.unused, SHORT), runs_dir=tmp_path)
    rows = []
    for name, config in (("one", plain), ("other", with_value(plain, rule.key, rule.other))):
        rows.append((train(replace(config, name=name)).directory / "metrics.jsonl").read_bytes())
    assert rows[0] == rows[1]
    assert len(rows[0].splitlines()) >= 4


def test_defaults_and_presets_are_only_not_used() -> None:
    config = composed("algo=actor_critic env=cartpole algo.advantage.estimator=n_step")  # the preset is tuned for gae
    assert set(unused_keys(config)) == {"algo.advantage.gae_lambda", "algo.advantage.episodes_per_batch"}
    assert "gae_lambda" not in config.experiment()["algo"]["advantage"]
    assert config.as_plain()["algo"]["advantage"]["gae_lambda"] == 0.97  # the constructor still takes it


@pytest.mark.parametrize(
    ("overrides", "refused"),
    [
        ("algo=dqn env=cartpole experiment=both", True),
        ("algo=dqn env=cartpole experiment=delta algo.loss=squared", False),  # given, and then overruled
        ("algo=dqn env=cartpole experiment=[delta,squared]", False),
        ("algo=dqn env=cartpole experiment=[squared,delta]", True),
        ("algo=dqn env=cartpole preset=squared experiment=delta", True),
        ("algo=dqn env=cartpole preset=both", False),
        ("algo=dqn env=cartpole experiment=delta", False),
    ],
)
def test_an_experiment_of_ones_own_gives_keys_unless_something_stronger_decides(
    overrides: str, refused: bool, tmp_path: Path
) -> None:
    delta, squared = "  huber_delta: 0.5\n", "  loss: squared\n"
    head = "# @package _global_\nalgo:\n"
    directories = with_files(
        tmp_path,
        {
            "experiment/both": head + delta + squared,
            "experiment/delta": head + delta,
            "experiment/squared": head + squared,
            "preset/both": head + delta + squared,
            "preset/squared": head + squared,
        },
    )
    if not refused:
        load_config(overrides.split(), directories)
        return
    error = wrong_key(lambda: load_config(overrides.split(), directories), "algo.huber_delta", "algo.loss=squared")
    assert "experiment" in error.details[0]
    assert ".yaml, line 3" in error.details[0]


@pytest.mark.parametrize("game", ["pong", "breakout", "seaquest"])
@pytest.mark.parametrize("experiment", options([CONF], "experiment"))
def test_no_experiment_of_ours_is_refused(experiment: str, game: str) -> None:
    algo = "actor_critic" if experiment == "a2c" else "dqn"
    composed(f"algo={algo} env=atari env.game={game} experiment={experiment}")


def test_a_sweep_is_refused_before_its_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = [
        *ACTOR_CRITIC.split(),
        *SHORT.split(),
        "algo.advantage.estimator=gae,n_step",
        "algo.advantage.gae_lambda=0.9",
    ]
    assert run_command(["rlrun", "-m", *overrides]) == 2
    error = capsys.readouterr().err
    assert "algo.advantage.gae_lambda" in error
    assert "algo.advantage.estimator=n_step" in error
    assert list(tmp_path.iterdir()) == []


def test_a_sweeper_that_chooses_is_told_too_unless_it_chooses_what_decides() -> None:
    chooser = "hydra.sweeper._target_=somebodys.Chooser"
    overrides = [*ACTOR_CRITIC.split(), chooser, "algo.advantage.gae_lambda=interval(0.5,0.9)"]
    wrong_key(lambda: check_sweep(overrides, [CONF]), "algo.advantage.gae_lambda", "algo.advantage.estimator=n_step")
    check_sweep([*overrides, "algo.advantage.estimator=gae"], [CONF])
    check_sweep([*overrides, "algo.advantage.estimator=gae,n_step"], [CONF])


def test_a_whole_object_and_its_group_are_refused_too() -> None:
    for given in ("optimizer@algo.baseline.optimizer=rmsprop", "algo.baseline.optimizer={learning_rate:0.1}"):
        overrides = (REINFORCE, "algo.baseline.kind=none", given)
        wrong_key(partial(composed, *overrides), "algo.baseline.optimizer", "algo.baseline.kind=none")


def test_python_meets_the_same_rule() -> None:
    wrong_key(
        lambda: compose(f"{ACTOR_CRITIC} algo.advantage.gae_lambda=0.5"),
        "algo.advantage.gae_lambda",
        "algo.advantage.estimator=n_step",
    )


def test_explain_shows_what_is_not_used_and_why() -> None:
    overrides = [*REINFORCE.split(), "algo.baseline.kind=none"]
    notes = {row.key.name: row.note for row in explanation(overrides, [CONF]).rows}
    marked = {name for name, note in notes.items() if note.startswith("NOT USED")}
    inside = {"algo.baseline.optimizer.learning_rate", "algo.baseline.optimizer.eps"}
    assert marked == {"algo.baseline.optimizer", *inside, "algo.baseline.updates", "algo.baseline.decay"}
    for name in ("algo.baseline.optimizer", *inside, "algo.baseline.updates"):
        assert "algo.baseline.kind=none" in notes[name]
        assert "algo.baseline.kind=value" in notes[name]


def test_resuming_refuses_a_key_without_effect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = train(f"{DQN} {SHORT} runs_dir={tmp_path} algo.loss=squared").directory
    assert run_command(["rlrun", "resume", str(directory), "total_steps=500", "algo.huber_delta=3"]) == 2
    error = capsys.readouterr().err
    assert "algo.huber_delta" in error
    assert "algo.loss=squared" in error


PLUGIN = """
from typing import Annotated
from rlrun.agents.random import Random
from rlrun.annotations import used_when
class Mine(Random):
    def __init__(self, *, spec, rollout_steps: int, mode: str = "calm",
                 heat: Annotated[float, used_when({condition})] = 0.5):
        super().__init__(spec=spec, rollout_steps=rollout_steps)
"""


def with_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, condition: str) -> list[Path]:
    (tmp_path / "agent_of_moods.py").write_text(PLUGIN.replace("{condition}", condition))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "agent_of_moods", raising=False)
    return with_files(tmp_path, {"algo/mine": "_target_: agent_of_moods.Mine\nrollout_steps: 3\n"})


def test_a_constructor_of_ones_own_declares_it_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directories = with_plugin(tmp_path, monkeypatch, 'mode="wild"')
    overrides = ["algo=mine", "env=cartpole"]
    assert "heat" not in load_config(overrides, directories).experiment()["algo"]
    wild = load_config([*overrides, "+algo.mode=wild", "+algo.heat=0.7"], directories)
    assert wild.experiment()["algo"]["heat"] == 0.7
    act = [*overrides, "+algo.heat=0.7"]
    wrong_key(lambda: load_config(act, directories), "algo.heat", "algo.mode=calm", "algo.mode=wild")


def test_a_condition_about_no_argument_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directories = with_plugin(tmp_path, monkeypatch, 'mod="wild"')
    refusal(lambda: load_config(["algo=mine", "env=cartpole"], directories), "agent_of_moods.Mine", "heat", "mod")


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        (used_when(mode="a"), {"a": True, "b": False}),
        (used_when(mode=("a", "b")), {"a": True, "b": True, "c": False}),
        (used_unless(mode=None), {None: False, 3: True}),
        (used_unless(mode=("a", None)), {None: False, "a": False, "b": True}),
    ],
)
def test_conditions(condition: Condition, met: Mapping[Any, bool]) -> None:
    assert {value: condition.met(value) for value in met} == met
