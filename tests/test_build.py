"""A checked config becomes a run."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from pathlib import Path

import pytest

from rlrun import make
from rlrun.build import build, directory_of
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.errors import UserError
from rlrun.loop.collect import Collector
from rlrun.loop.loop import train

ENV = "# Scripted.\n_target_: rlrun.testing.scripted_env.ScriptedEnv\nnum_envs: 2\n"
SHORT = ["total_steps=600", "log_every_steps=200", "evaluation.episodes=3", "evaluation.num_envs=3", "logger=none"]


@pytest.fixture
def directories(tmp_path: Path) -> list[Path]:
    (tmp_path / "conf" / "env").mkdir(parents=True)
    (tmp_path / "conf" / "env" / "scripted.yaml").write_text(ENV)
    return [tmp_path / "conf", config_directory()]


def test_a_run_is_built_without_touching_the_disk_and_trains(directories: list[Path], tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    config = load_config(["algo=random", "env=scripted", f"runs_dir={runs}", "name=n", "seed=4", *SHORT], directories)
    built = build(config)
    assert not runs.exists()
    run = built.run
    assert run.directory == directory_of(config) == runs / "scripted" / "random" / "n" / "seed4"
    assert run.collector.env.spec.num_envs == 2
    assert run.evaluator.env.spec.num_envs == 3
    assert run.evaluator.env is not run.collector.env
    assert (built.device, built.num_threads) == ("cpu", 1) or built.device == "cuda"
    run.directory.mkdir(parents=True)
    result = train(run)
    built.close()
    assert result.step == 600
    # slot b plays episode 0: 2 + b steps of rewards 1 + 10 t + 100 b, and half a point for each action 1
    rewards = [sum(1 + 10 * t + 100 * b for t in range(2 + b % 3)) for b in range(3)]
    extra = result.evaluation.returns - sorted(rewards)
    assert ((extra >= 0) & (extra <= 0.5 * result.evaluation.lengths)).all()
    assert json.loads((run.directory / "metrics.jsonl").read_text().splitlines()[0])["step"] == 200


def test_algorithms_get_their_network_and_the_collector_what_they_ask_for(
    directories: list[Path], tmp_path: Path
) -> None:
    config = load_config(
        [
            "algo=dqn",
            "env=scripted",
            f"runs_dir={tmp_path}",
            "algo.network.hidden=[8]",
            "algo.replay.learning_starts_steps=100",
            *SHORT,
        ],
        directories,
    )
    built = build(config)
    rollout = built.run.collector.collect(built.run.agent)
    assert rollout.action.shape == (config.algo.arguments["rollout_steps"], 2)
    assert isinstance(built.run.collector, Collector)
    built.close()


def test_parts_that_do_not_fit_together_are_refused_and_leave_nothing(directories: list[Path], tmp_path: Path) -> None:
    config = load_config(
        ["algo=dqn", "env=scripted", f"runs_dir={tmp_path / 'runs'}", "network=nature2015"], directories
    )
    with pytest.raises(UserError, match=r"image|frame|observation"):
        build(config)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("setting", ["device.compile=inductor", "device.precision=bfloat16"])
def test_what_the_algorithm_would_not_heed_is_refused(directories: list[Path], tmp_path: Path, setting: str) -> None:
    overrides = ["env=scripted", f"runs_dir={tmp_path}", setting]
    with pytest.raises(UserError, match=rf"{setting} .*algo=random .*`execution`"):
        build(load_config(["algo=random", *overrides], directories))
    for algo in ("dqn", "actor_critic"):
        build(load_config([f"algo={algo}", *overrides], directories)).close()


def test_what_the_algorithm_has_no_use_for_as_it_is_configured_is_refused(
    directories: list[Path], tmp_path: Path
) -> None:
    overrides = [
        "algo=actor_critic",
        "algo.advantage.estimator=monte_carlo",
        "algo.advantage.episodes_per_batch=8",
        "env=scripted",
    ]
    overrides += [f"runs_dir={tmp_path}", "device=cpu"]
    with pytest.raises(UserError, match=r"device\.compile=inductor .*device\."):
        build(load_config([*overrides, "device.compile=inductor"], directories))
    build(load_config([*overrides, "device.precision=bfloat16"], directories)).close()


def test_an_unusable_runs_dir_is_refused_before_anything_is_built(directories: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = load_config(["algo=dqn", "env=scripted", f"runs_dir={tmp_path / 'file'}"], directories)
    with pytest.raises(UserError, match=r"/file .*runs_dir$"):
        build(config)


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["algo=dqn", "env=cartpole", "preset=null"], "algo.exploration.epsilon "),
        (["algo=dqn", "env=cartpole", "preset=null", "total_steps=1050000"], None),
        (["algo=dqn", "env=cartpole"], None),
        (["algo=sarsa", "env=cliffwalking"], None),
    ],
)
def test_a_schedule_that_will_not_be_through_is_told_about(
    overrides: list[str], key: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = load_config([*overrides, "device=cpu", "logger=none", f"runs_dir={tmp_path}"], [config_directory()])
    with closing(build(config, tmp_path)):
        warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert [line.startswith(str(key)) for line in warnings] == ([] if key is None else [True])


@pytest.mark.parametrize("overrides", ["algo=value_iteration env=acrobot", "algo=q_learning env=cartpole"])
def test_an_agent_that_does_not_fit_an_environment_is_named_with_it(overrides: str) -> None:
    algo, env = overrides.split()
    with pytest.raises(UserError, match=rf"^{algo} .* {env}: "):
        make(f"{overrides} device=cpu")
