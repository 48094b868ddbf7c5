"""What takes more memory than there is, or more runs than can be checked, is refused before anything is built."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from refusals import wrong_key

from rlrun import compose, make
from rlrun.cli.main import run_command
from rlrun.config import catalogue
from rlrun.config.memory_need import in_words, refuse_long_rollouts, refuse_too_large
from rlrun.errors import UserError, WrongKeyError
from rlrun.types import EnvSpec, Steps, WholeEpisodes

CPU = torch.device("cpu")
GIB = 2**30


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ("algo=dqn env=cartpole env.num_envs=1000000000", "env.num_envs"),
        ("algo=dqn env=cartpole evaluation.num_envs=1000000000", "evaluation.num_envs"),
        ("algo=random env=gridworld env.num_envs=100000000000", "env.num_envs"),
        ("algo=random env=acrobot env.num_envs=1000000000", "env.num_envs"),
        ("algo=random env=pong env.num_envs=1000000000", "env.num_envs"),
        ("algo=random env=cartpole env.num_envs=1000000000000000000000", "env.num_envs"),
        ("algo=dqn env=cartpole algo.replay.capacity_steps=100000000000", "algo.replay.capacity_steps"),
        ("algo=q_learning env=gridworld algo.rollout_steps=1000000000000", "algo.rollout_steps"),
        ("algo=reinforce env=cartpole algo.episodes_per_batch=1000000000000", "algo.episodes_per_batch"),
        ("algo=td env=random_walk env.num_states=100000000000", "env.num_states"),
        ("algo=dqn env=cartpole algo.network.hidden=[1000000,1000000]", "algo.network.hidden"),
        ("algo=dqn env=pong algo.network.hidden=1000000000000", "algo.network.hidden"),
    ],
)
def test_a_number_that_no_machine_has_memory_for_is_one_line(
    overrides: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["rlrun", *overrides.split(), "device=cpu"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"rlrun: error: {key}=")
    assert "needs at least" in printed.err
    assert "are free here" in printed.err
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_python_and_the_checks_refuse_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    wrong_key(lambda: make("algo=random env=cartpole env.num_envs=1000000000 device=cpu"), "env.num_envs")
    assert run_command(["rlrun", "check", "algo=random", "env=cartpole", "env.num_envs=1000000000"]) == 2
    assert "env.num_envs=1000000000 needs at least" in capsys.readouterr().err


def test_a_sweep_is_refused_before_its_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["rlrun", "-m", "algo=random", "env=cartpole", "env.num_envs=2,1000000000"]) == 2
    assert "env.num_envs=1000000000 needs at least" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "overrides",
    [["seed=range(1000000000)"], ["seed=range(400)", "algo.rollout_steps=range(1,400)"], ["seed=range(100001)"]],
)
def test_a_sweep_without_end_is_refused_at_once(overrides: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rlrun", "-m", "algo=random", "env=cartpole", *overrides]) == 2
    assert "makes a sweep of more than 100,000 runs" in capsys.readouterr().err


def needed(overrides: str, room: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("rlrun.config.memory_need.available_memory", lambda device: room)
    try:
        refuse_too_large(compose(overrides), CPU)
    except WrongKeyError as error:
        return str(error)
    return ""


def test_the_estimate_is_the_sum_of_what_constructors_say(monkeypatch: pytest.MonkeyPatch) -> None:
    # 1,100 bytes for each slot of CartPole, in training and in evaluation, and 100 steps of 18 bytes in each slot
    overrides = "algo=random env=cartpole env.num_envs=1000000 evaluation.num_envs=1000 algo.rollout_steps=100"
    exact = 1_000_000 * (1_100 + 100 * 18) + 1_000 * 1_100
    assert needed(overrides, exact, monkeypatch) == ""
    message = needed(overrides, exact - 1, monkeypatch)
    each = (exact - 1_100_000) / GIB
    assert message.startswith(
        f"env.num_envs=1000000 needs at least {each:.2f} GiB of memory, {exact / GIB:.2f} GiB with"
    )
    assert message.endswith("at most 999,999 fit")


def test_of_layers_every_weight_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    # 1 x 20,000 + 20,000 x 30,000 + 30,000 x 1 weights of 12 bytes at least
    weights = 12 * (20_000 + 20_000 * 30_000 + 30_000)
    overrides = "algo=dqn env=cartpole preset=null algo.network.hidden=[20000,30000] algo.replay.capacity_steps=1000"
    assert needed(overrides, weights + 10**6, monkeypatch) == ""
    assert needed(overrides, weights, monkeypatch).startswith(
        "algo.network.hidden=[20000, 30000] needs at least 6.71 GiB"
    )


def test_what_is_not_used_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = "algo=actor_critic env=cartpole preset=null env.num_envs=1"
    config = compose(f"{overrides} algo.advantage.estimator=monte_carlo algo.advantage.episodes_per_batch=1")
    assert "rollout_steps" in config.algo.arguments["advantage"].unused
    assert needed(overrides, 2**20, monkeypatch) == ""  # so little is not asked about


def test_an_environment_that_says_nothing_is_bounded_by_what_any_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    known = catalogue.target("rlrun.envs.gridworld.GridWorld")
    assert known is not None
    assert "takes" not in known.parameters["num_envs"].entry
    overrides = "algo=random env=gridworld env.num_envs=100000000 evaluation.num_envs=1 algo.rollout_steps=1"
    assert needed(overrides, 100_000_000 * (40 + 18) + 40, monkeypatch) == ""
    assert needed(overrides, 100_000_000 * (40 + 18) + 39, monkeypatch).startswith("env.num_envs=100000000 needs")


def spec(num_envs: int) -> EnvSpec:
    return EnvSpec("pictures", spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(2), num_envs)


def test_rollouts_are_asked_about_when_observations_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = 16 * (1_001 * math.prod((4, 84, 84)) + 1_000 * 18)
    monkeypatch.setattr("rlrun.config.memory_need.available_memory", lambda device: exact)
    refuse_long_rollouts(Steps(1_000), spec(16))
    refuse_long_rollouts(WholeEpisodes(1), spec(10**9))
    monkeypatch.setattr("rlrun.config.memory_need.available_memory", lambda device: exact - 1)
    wrong_key(lambda: refuse_long_rollouts(Steps(1_000), spec(16)), "env.num_envs", "1,000", "=16 ", "0.42 GiB")


@pytest.mark.parametrize(
    "error",
    [MemoryError("Unable to allocate 8 TiB"), RuntimeError("[enforce fail] DefaultCPUAllocator: can't ...\nat")],
)
def test_an_allocation_that_failed_is_told_in_a_line(error: Exception) -> None:
    with pytest.raises(UserError), in_words():
        raise error
    with pytest.raises(RuntimeError, match="something else"), in_words():
        raise RuntimeError("something else")
