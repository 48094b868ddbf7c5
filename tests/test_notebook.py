"""rlrun from Python: the same overrides, numbers, directories and refusals as on the command line."""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

import rlrun.loop.loop
from rlrun import UserError, compose, make, train
from rlrun.cli.main import run_command
from rlrun.config.config import Config

ROOT = Path(__file__).resolve().parent.parent
OVERRIDES = "algo=q_learning env=gridworld env.map=book debug=short logger=none device=cpu"


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_overrides_are_a_string_or_a_list() -> None:
    config = compose(f"{OVERRIDES} 'env.goal=end'")
    assert isinstance(config, Config)
    assert config == compose([*OVERRIDES.split(), "env.goal=end"])
    assert (config.algo.arguments["gamma"], config.total_steps) == (0.99, 2000)


def test_it_is_what_the_command_line_makes_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    overrides = f"{OVERRIDES} total_steps=1000"
    assert run_command(["rlrun", *overrides.split(), f"runs_dir={there}"]) == 0
    result = train(f"{overrides} runs_dir={here}")
    assert "1,000/1,000 steps" in capsys.readouterr().out  # plain lines
    by_command = there / result.directory.relative_to(here)
    for name in ("metrics.jsonl", "result.json"):
        assert (result.directory / name).read_bytes() == (by_command / name).read_bytes()
    written = json.loads((result.directory / "result.json").read_text())
    assert (result.step, result.evaluation_mean) == (1000, written["eval/episode_return"])
    assert list(result.evaluation_returns) == written["eval/returns"]
    steps, losses = result.curve("loss/td")
    assert steps == [500, 1000]
    assert losses == [row["loss/td"] for row in result.rows if "loss/td" in row]
    assert json.loads((result.directory / "manifest.json").read_text())["overrides"][0] == "algo=q_learning"


def test_a_finished_run_is_read_and_a_fresh_one_is_another(tmp_path: Path) -> None:
    config = compose(f"{OVERRIDES} runs_dir={tmp_path} total_steps=500")
    first = train(config)
    stamp = (first.directory / "result.json").stat().st_mtime_ns
    assert train(config) == first
    assert (first.directory / "result.json").stat().st_mtime_ns == stamp
    fresh = train(f"{OVERRIDES} runs_dir={tmp_path} total_steps=500 fresh=true")
    assert fresh.directory == first.directory.with_name("seed0-2")
    assert fresh.rows == first.rows


def test_what_is_made_can_be_stepped_and_leaves_nothing_on_disk(tmp_path: Path) -> None:
    config = compose(f"{OVERRIDES} record_episodes=true runs_dir={tmp_path / 'runs'}")
    with make(config) as made:
        assert made.env.spec.name == "gridworld"
        assert [progress.step for progress in made.steps(3)] == [1, 2, 3]
        before = made.agent.state_dict()["visits"].sum().item()
        assert len(made.evaluate().returns) == 2
        assert made.agent.state_dict()["visits"].sum().item() == before == 3
        rollout = made.collector.collect(made.agent)
        assert "loss/td" in made.agent.learn(rollout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("algo=q_learning env=gridworld algo.gama=0.5", r"algo\.gamma"),
        ("algo=q_learning env=gridwrld", "gridworld"),
        ("algo=q_learning env=gridworld algo.gamma=2", r"algo\.gamma=2\b"),
        ("algo=q_learning env=gridworld seed=0,1", "seed=0,1"),
        ("-m algo=q_learning env=gridworld seed=0,1", "'-m'"),
        ("algo=q_learning env=gridworld hydra.run.dir=foo", r"runs_dir=.*name="),
        ("algo=q_learning env=gridworld hydra/launcher=basic", "hydra/launcher"),
        ("algo=q_learning env=gridworld hydra.mode=MULTIRUN", r"hydra\.mode"),
        ("algo=q_learning env=gridworld +hydra.foo.bar=1", r"hydra\.foo\.bar=1"),
        ("algo=q_learning env=gridworld seed=1 seed=2", r"\bseed\b"),
        ("show runs", "'show'"),
        ("algo='q_learning", "algo='q_learning"),
    ],
)
def test_what_the_command_line_refuses_raises(overrides: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compose(overrides)


def test_overrides_are_not_none() -> None:
    with pytest.raises(UserError, match="None"):
        compose(None)  # type: ignore[arg-type]


def test_an_object_is_replaced_as_on_the_command_line() -> None:
    given = "'+algo.epsilon={_target_: rlrun.numerics.schedules.Constant, value: 0.25}'"
    config = compose(f"{OVERRIDES} ~algo.epsilon {given}")
    assert config.algo.arguments["epsilon"].arguments == {"value": 0.25}


def test_every_door_refuses() -> None:
    for door in (make, train):  # `compose` above
        with pytest.raises(UserError, match=r"algo\.gamma"):
            door("algo=q_learning env=gridworld algo.gama=0.5")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": -1}, "seed=-1"),
        ({"total_steps": "x"}, "total_steps=x"),
        ({"runs_dir": ""}, "runs_dir=''"),
        ({"fresh": "yes"}, "fresh=yes"),
        ({"device": 3}, "device"),
    ],
)
def test_a_config_that_was_changed_is_checked_again(changed: dict[str, Any], message: str) -> None:
    config = compose(OVERRIDES)
    for door in (make, train):
        with pytest.raises(UserError, match=message):
            door(replace(config, **changed))


@pytest.mark.parametrize("overrides", [OVERRIDES, "algo=dqn env=cartpole fresh=true"])
def test_a_config_that_is_checked_again_is_the_same(overrides: str) -> None:
    config = compose(overrides)
    with make(config) as made:
        assert made.config == replace(config, record_episodes=False)


def test_an_empty_directory_is_not_the_present_one() -> None:
    with pytest.raises(UserError, match="--config-dir ''"):
        compose(OVERRIDES, config_dir="")


def test_parts_that_do_not_fit_raise_when_they_are_made() -> None:
    config = compose("algo=q_learning env=cartpole")
    with pytest.raises(UserError, match="states"):
        make(config)
    with pytest.raises(UserError, match="config_dir"):
        make(config, config_dir="elsewhere")


def test_a_metric_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    result = train(f"{OVERRIDES} runs_dir={tmp_path} total_steps=500")
    with pytest.raises(UserError, match=r"loss/tdd\b.*loss/td\b"):
        result.curve("loss/tdd")


def test_files_of_ones_own_are_found(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "mine.yaml").write_text("_target_: rlrun.testing.scripted_env.ScriptedEnv\nnum_envs: 3\n")
    with make("algo=random env=mine", config_dir=tmp_path) as made:
        assert made.env.spec.num_envs == 3


def test_it_works_in_a_thread_and_while_an_event_loop_runs(tmp_path: Path) -> None:
    steps = []
    overrides = f"{OVERRIDES} total_steps=500 runs_dir={tmp_path}"
    thread = threading.Thread(target=lambda: steps.append(train(f"{overrides} seed=1").step))
    thread.start()
    thread.join()

    async def cell() -> None:  # as a notebook's kernel runs it
        steps.append(train(f"{overrides} seed=2").step)

    asyncio.run(cell())
    assert steps == [500, 500]


def test_a_program_of_ones_own_that_uses_hydra_goes_on(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("answer: 42\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert compose(OVERRIDES).labels["algo"] == "q_learning"
        assert OmegaConf.to_container(hydra_compose("own")) == {"answer": 42}


def test_importing_is_quick_to_ask_for() -> None:
    code = (
        "import sys, rlrun; assert 'torch' not in sys.modules and 'hydra' not in sys.modules; "
        "assert {'compose', 'make', 'train'} <= set(dir(rlrun))\n"
        "try: rlrun.compos\nexcept AttributeError: sys.exit(0)\nsys.exit(1)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())


def test_the_function_for_notebooks_is_no_module() -> None:
    assert isinstance(rlrun.loop.loop, ModuleType)
    assert rlrun.train is train
    assert train.__module__ == "rlrun.api"


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / "notebook.py"))
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "algo.gama" in printed.out
    assert "evaluated: " in printed.out
    assert len(list(tmp_path.glob("runs/gridworld/q_learning/*/seed[01]/result.json"))) == 2
