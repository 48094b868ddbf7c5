"""`rlrun explain`: every key has a type, a value, an origin and a meaning."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from refusals import wrong_key

from rlrun.cli.main import run_command
from rlrun.config.compose import load_config
from rlrun.config.explain import Explanation, explanation
from rlrun.config.files import config_directory, options
from rlrun.config.provenance import read

CONF = config_directory()
NEEDED = {"atari": ["env.game=space_invaders"], "gym": ["env.id=MountainCar-v0"], "mdp": ["env.mdp=racing_car"]}
ALGOS, ENVS = options([CONF], "algo"), options([CONF], "env")


def explained(*overrides: str, prefixes: tuple[str, ...] = ()) -> Explanation:
    return explanation(overrides, [CONF], prefixes)


def words_for(algo: str, env: str) -> list[str]:
    return [f"algo={algo}", f"env={env}", *NEEDED.get(env, [])]


def leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every dotted key of a nested mapping, mappings themselves included."""
    for name, inside in value.items():
        yield f"{prefix}{name}"
        if isinstance(inside, Mapping):
            yield from leaves(inside, f"{prefix}{name}.")


PAIRS = [(algo, "gridworld") for algo in ALGOS] + [("dqn", env) for env in ENVS]
DRAWN = random.Random(5).sample(PAIRS, 4)  # what constructors mean is tested for all of them in test_catalogue.py


@pytest.mark.parametrize(
    ("algo", "env"), [pytest.param(*pair, marks=[] if pair in DRAWN else [pytest.mark.slow]) for pair in PAIRS]
)
def test_no_key_is_without_meaning_type_or_origin(algo: str, env: str) -> None:
    found = explained(*words_for(algo, env))
    config = load_config(words_for(algo, env), [CONF])
    plain = {key: value for key, value in config.as_plain().items() if value is not None or key == "name"} | {
        "fresh": False
    }
    named = {row.key.name for row in found.rows}
    options_of_environment = {key for key in leaves(plain) if key.startswith("env.options.")}
    assert named == {key for key in leaves(plain) if not key.endswith("_target_")} - options_of_environment
    for row in found.rows:
        assert row.key.meaning, row.key.name
        assert row.key.kind, row.key.name
        assert row.place or row.key.name == "logger", row.key.name  # `logger: {}` has no line of its own


@pytest.mark.slow
@pytest.mark.parametrize("env", ENVS)
@pytest.mark.parametrize("algo", ALGOS)
def test_every_pair_has_meanings(algo: str, env: str) -> None:
    assert [row.key.name for row in explained(*words_for(algo, env)).rows if not row.key.meaning] == []


def test_values_come_from_the_last_file_or_the_command_line() -> None:
    rows = {row.key.name: row for row in explained("algo=dqn", "env=cartpole", "algo.gamma=0.5", "seed=3").rows}
    assert (rows["algo.gamma"].key.value, rows["algo.gamma"].place) == (0.5, "the command line: algo.gamma=0.5")
    assert (rows["seed"].key.value, rows["seed"].place) == (3, "the command line: seed=3")
    preset = {setting.key: setting for setting in read(CONF / "preset/dqn_cartpole.yaml", "")}
    batch = rows["algo.replay.batch_size"]
    assert batch.key.value == 64
    assert batch.place == f"conf/preset/dqn_cartpole.yaml, line {preset['algo.replay.batch_size'].line}"
    assert batch.note == "rl-zoo3"
    assert batch.key.unit == "transitions"
    assert rows["algo.optimizer.eps"].place.startswith("conf/algo/dqn.yaml, line ")
    assert rows["algo.optimizer"].place == "conf/optimizer/adam.yaml, line 2"
    assert rows["algo.exploration.epsilon.delay_steps"].key.value == 0


def test_a_network_that_is_named_keeps_its_own_numbers_and_their_origin() -> None:
    rows = {row.key.name: row for row in explained("algo=dqn", "env=cartpole", "network=mlp").rows}
    assert rows["algo.network.hidden"].key.value == [64, 64]
    assert rows["algo.network.hidden"].place.startswith("conf/network/mlp.yaml, line ")


def test_papers_and_equations_are_told() -> None:
    found = explained("algo=actor_critic", "env=pong", "experiment=a2c", prefixes=("algo",))
    papers = {name: " ".join(about.sources) for name, _, about in found.components}
    assert "Mnih et al. 2016" in papers["algo"]
    sources = explained("algo=dqn", "env=pong", prefixes=("algo",)).components[0][2].sources
    assert "Algorithm 1 and Extended Data Table 1" in " ".join(sources)


def test_a_prefix_shows_a_subtree_and_a_wrong_one_is_refused() -> None:
    names = [row.key.name for row in explained("algo=dqn", "env=pong", prefixes=("algo.exploration.epsilon",)).rows]
    assert names[0] == "algo.exploration.epsilon"
    assert len(names) == 5
    wrong_key(lambda: explained("algo=dqn", "env=pong", prefixes=("algo.gama",)), "algo.gama", "algo.gamma")


def test_a_pipe_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rlrun", "explain", "algo=dqn", "env=pong", "algo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("# key\tvalue\t")
    assert all(line.count("\t") == 6 for line in lines[1:] if not line.startswith("# "))
    assert any(line.startswith("algo.gamma\t0.99\ta number >= 0 and <= 1\t") for line in lines)
    assert "\x1b" not in "".join(lines)


def test_one_key_is_told_at_length(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rlrun", "explain", "algo=dqn", "env=pong", "algo.target.period_steps"]) == 0
    out = capsys.readouterr().out
    assert "type and range    an integer > 0 or null\n" in out
    assert "unit              agent steps\n" in out
    assert "source and notes  rl-zoo3 (2015: 10,000)\n" in out


def test_a_terminal_gets_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    assert run_command(["rlrun", "explain", "algo=dqn", "env=pong", "algo.network"]) == 0
    out = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)  # without colours
    assert "\t" not in out
    assert "[32, 64, 64]" in out
    assert max(len(line) for line in out.splitlines()) <= 100


def test_a_users_own_class_is_explained_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "algo").mkdir()
    (tmp_path / "my_agents.py").write_text(
        "from rlrun.agents.random import Random\n"
        "class Mine(Random):\n"
        '    """Acts. After Nobody 1999.\n\n    Args:\n        rollout_steps: steps that it takes.\n    """\n'
    )
    (tmp_path / "algo" / "mine.yaml").write_text("_target_: my_agents.Mine\nrollout_steps: 3 # steps; ours\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_agents", raising=False)
    for place in (3, 5):  # the flag may stand anywhere
        overrides = ["rlrun", "explain", "algo=mine", "env=cartpole", "algo"]
        overrides[place:place] = ["--config-dir", str(tmp_path)]
        assert run_command(overrides) == 0
        out = capsys.readouterr().out
        assert "# algo: my_agents.Mine: Acts. After Nobody 1999." in out
        assert f"{tmp_path / 'algo/mine.yaml'}, line 2\tsteps that it takes\tsteps; ours" in out


def test_the_defaults_of_a_users_own_constructor_are_explained_recorded_and_can_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "algo").mkdir()
    (tmp_path / "agent_with_defaults.py").write_text(
        "from typing import Literal\n"
        "from rlrun.agents.random import Random\n"
        "class Mine(Random):\n"
        '    """Acts.\n\n    Args:\n        rollout_steps: steps that it takes.\n        mode: how it acts.\n    """\n'
        "    def __init__(self, *, spec, rollout_steps: int, mode: Literal['calm', 'wild'] = 'calm',\n"
        "                 friend: object = object()):\n"
        "        super().__init__(spec=spec, rollout_steps=rollout_steps)\n"
    )
    (tmp_path / "algo" / "mine.yaml").write_text("_target_: agent_with_defaults.Mine\nrollout_steps: 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    directories, overrides = [tmp_path, CONF], ["algo=mine", "env=cartpole"]
    plain = load_config(overrides, directories).as_plain()["algo"]
    assert plain == {"_target_": "agent_with_defaults.Mine", "rollout_steps": 3, "mode": "calm"}
    rows = {row.key.name: row for row in explanation(overrides, directories).rows}
    assert (rows["algo.mode"].key.value, rows["algo.mode"].place) == ("calm", "the default of agent_with_defaults.Mine")
    assert rows["algo.friend"].key.value == "an object of type object"
    assert load_config([*overrides, "+algo.mode=wild"], directories).algo.arguments["mode"] == "wild"
    wrong_key(lambda: load_config([*overrides, "+algo.mode=abc"], directories), "algo.mode", "abc", "calm, wild")
    assert load_config([*overrides, "algo.mode=wild"], directories).algo.arguments["mode"] == "wild"
