"""Where a key takes text, numbers and truth values are meant as they are written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from added_directory import with_files
from refusals import wrong_key

from rlrun.cli.main import run_command
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory

CONF = config_directory()
GRID = ["algo=value_iteration", "env=gridworld", "evaluation.episodes=1", "logger=none", "device=cpu"]
MAP = "G : exit 1\n\nS.G\n"


@pytest.mark.parametrize("name", ["2026", "1e5", "1_1_1", "1.", ".5x", "true", "inf", "-1", "007", "a"])
def test_a_name_is_kept_as_it_is_written(name: str) -> None:
    if name == ".5x":
        wrong_key(lambda: load_config([*GRID, f"name={name}"], [CONF]), "name", ".5x")
    else:
        assert load_config([*GRID, f"name={name}"], [CONF]).name == name


def test_null_is_no_name_and_quotes_stay() -> None:
    assert load_config([*GRID, "name=null"], [CONF]).name is None
    assert load_config([*GRID, "name='1e5'"], [CONF]).name == "1e5"
    assert str(load_config([*GRID, "runs_dir=2026"], [CONF]).runs_dir) == "2026"


@pytest.mark.parametrize(
    ("overrides", "key", "expected"),
    [
        ("algo=random env=gridworld env.map=lecture", "env.map", "lecture"),
        ("algo=td env=gridworld algo.policy=uniform", "algo.policy", "uniform"),
        ("algo=td env=gridworld algo.gamma=1", "algo.gamma", 1.0),
        ("algo=td env=gridworld seed=1_0", "seed", 10),
        ("algo=random env=gym env.id=FrozenLake-v1 env.options={map_name:5}", "env.options", {"map_name": 5}),
    ],
)
def test_only_where_the_key_takes_nothing_but_strings(overrides: str, key: str, expected: object) -> None:
    plain = load_config(overrides.split(), [CONF]).as_plain()
    group, _, name = key.partition(".")
    assert (plain[group][name] if name else plain[group]) == expected


def test_a_constructor_of_ones_own_says_what_its_key_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worlds_by_number.py").write_text(
        "from rlrun.envs.cartpole import CartPole\n"
        "class World(CartPole):\n"
        "    def __init__(self, *, map: int, title: str, num_envs: int):\n"
        "        super().__init__(num_envs=num_envs, max_episode_steps=9)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "worlds_by_number", raising=False)
    text = "_target_: worlds_by_number.World\nmap: 1\ntitle: one\nnum_envs: 1\n"
    directories = with_files(tmp_path, {"env/world": text})
    arguments = load_config(["algo=random", "env=world", "env.map=7", "env.title=7"], directories).env.arguments
    assert (arguments["map"], arguments["title"]) == (7, "7")


def test_files_called_like_numbers_are_found_also_in_sweeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "1e5").write_text(MAP)
    (tmp_path / "2026").write_text(MAP.replace("exit 1", "exit 2"))
    assert run_command(["rlrun", "-m", *GRID, "env.map=1e5,2026", "seed=1_0"]) == 0, capsys.readouterr().err
    made = list(tmp_path.glob("runs/gridworld/value_iteration/*/seed10/result.json"))
    assert len(made) == 2
    assert run_command(["rlrun", "-m", *GRID, "name=1_1_1,2e3"]) == 0
    assert {path.name for path in tmp_path.glob("runs/gridworld/value_iteration/*")} >= {"1_1_1", "2e3"}
