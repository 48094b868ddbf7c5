"""The workloads that `benchmarks/speed` times are what they say: networks of the right size, and as many updates."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from against_peers import chosen, row_of, turns
from agreement import disagreements, facts_of_rlrun
from memory import rlrun_overrides
from one_emulator import one_emulator
from peers import PEERS, Peer
from rlrun_timings import Timing, one_thread_overrides, speed_overrides, timing_of
from workloads import COMPARISONS, WORKLOADS, shrunk

from rlrun.cli.main import run_command
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.nn.flat import FlatOptimizer

# Weights and biases, counted by hand from the papers' and rl-zoo3's layers.
NATURE = (8 * 8 * 4 * 32 + 32) + (4 * 4 * 32 * 64 + 64) + (3 * 3 * 64 * 64 + 64) + (7 * 7 * 64 * 512 + 512)
PARAMETERS = {
    "dqn_pong": NATURE + 512 * 6 + 6,
    "a2c_pong_16": NATURE + 512 * 6 + 6 + 512 + 1,
    "dqn_cartpole": (4 * 256 + 256) + (256 * 256 + 256) + (256 * 2 + 2),
    "actor_critic_cartpole_8": 2 * ((4 * 64 + 64) + (64 * 64 + 64)) + (64 * 2 + 2) + (64 + 1),
}


@pytest.mark.parametrize("name", list(PARAMETERS))
def test_facts_of_a_workload_are_those_of_the_standard_hyperparameters(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_emulator(monkeypatch)
    facts = facts_of_rlrun(shrunk(WORKLOADS[name], 20).all_overrides())
    assert facts["num_parameters"] == PARAMETERS[name]
    arguments = WORKLOADS[name].peer["arguments"]
    for ours, theirs in (
        ("learning_rate", "learning_rate"),
        ("batch_size", "batch_size"),
        ("entropy_bonus", "ent_coef"),
    ):
        if theirs in arguments:
            assert facts[ours] == arguments[theirs]
    if "gradient_steps" in arguments:
        assert facts["updates_per_step"] == arguments["gradient_steps"] / arguments["train_freq"]
        assert facts["target_period_steps"] == arguments["target_update_interval"]
    assert facts["num_envs"] == WORKLOADS[name].peer["num_envs"]
    assert facts["gamma"] == 0.99


@pytest.mark.parametrize("name", ["dqn_cartpole", "actor_critic_cartpole_8"])
def test_rlrun_makes_the_updates_that_the_facts_promise(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = shrunk(WORKLOADS[name], 20)
    threads = torch.get_num_threads()
    steps_made: list[FlatOptimizer] = []
    step = FlatOptimizer.step

    def counted(optimizer: FlatOptimizer) -> None:
        steps_made.append(optimizer)
        step(optimizer)

    monkeypatch.setattr(FlatOptimizer, "step", counted)
    try:
        assert run_command(["rlrun", *speed_overrides(workload), f"runs_dir={tmp_path}"]) == 0
    finally:
        torch.set_num_threads(threads)
    total = workload.warm_up_steps + workload.measured_steps
    starts = workload.learning_starts_steps or 0
    rounds = sum(step >= starts for step in range(workload.update_steps, total + 1, workload.update_steps))
    facts = facts_of_rlrun(workload.all_overrides())
    assert len(steps_made) == rounds * workload.update_steps * facts["updates_per_step"]


@pytest.mark.parametrize("factor", [1, 7, 20, 10_000])
def test_rows_and_rounds_of_learning_coincide(factor: int) -> None:
    for workload in WORKLOADS.values():
        short = shrunk(workload, factor)
        assert short.row_steps % short.update_steps == 0
        assert (short.learning_starts_steps or 0) <= short.warm_up_steps
        if short.exploration_waits:
            assert (short.learning_starts_steps or 0) + (short.exploration_steps or 0) <= short.warm_up_steps
        assert shrunk(workload, 1) == workload


@pytest.mark.parametrize("num_envs", [8, 64])
def test_a_compiled_workload_is_the_same_but_for_one_argument(num_envs: int) -> None:
    plain, compiled = (
        WORKLOADS[f"actor_critic_cartpole_{num_envs}"],
        WORKLOADS[f"actor_critic_cartpole_{num_envs}_compiled"],
    )
    assert compiled.overrides == (*plain.overrides, "device.compile=inductor")
    assert compiled.is_compiled
    assert not plain.is_compiled
    assert compiled.peer_settings() == plain.peer_settings()
    (pair,) = [each for each in COMPARISONS.values() if each.ours is compiled]
    assert pair.theirs is WORKLOADS["actor_critic_cartpole_8"]
    beside = "" if num_envs == 8 else ", against the peer's 8"
    assert pair.title == f"actor-critic CartPole, {num_envs} environments, device.compile=inductor{beside}"


TOLD = {
    "memory": rlrun_overrides(10_000),
    "dqn_pong side by side": one_thread_overrides(WORKLOADS["dqn_pong"]),
    "actor_critic_cartpole_8 side by side": one_thread_overrides(WORKLOADS["actor_critic_cartpole_8"]),
    **{name: speed_overrides(workload) for name, workload in WORKLOADS.items()},
}


@pytest.mark.parametrize("name", TOLD)
def test_what_the_programs_tell_rlrun_is_accepted(name: str) -> None:
    load_config([*TOLD[name], "runs_dir=runs"], [config_directory()])


def test_both_sides_are_told_the_same_steps() -> None:
    workload = WORKLOADS["dqn_pong"]
    settings = workload.peer_settings()
    assert settings["arguments"]["learning_starts"] == 10_000
    assert settings["exploration_ends_at_step"] == 10_400
    assert {
        "algo.replay.learning_starts_steps=10000",
        "algo.exploration.epsilon.delay_steps=10000",
        "algo.exploration.epsilon.duration_steps=400",
    } <= {*workload.all_overrides()}
    assert f"total_steps={settings['warm_up_steps'] + settings['measured_steps']}" in speed_overrides(workload)
    assert WORKLOADS["dqn_cartpole"].peer_settings()["exploration_ends_at_step"] == 8000


def test_disagreements_name_what_differs_and_what_is_missing() -> None:
    ours = {"optimizer": "RMSProp", "gamma": 0.99, "batch_size": 32, "decay": 0.99}
    theirs = {"optimizer": "RMSpropTFLike", "gamma": 0.99 + 1e-15, "batch_size": 64}
    assert disagreements(ours, theirs) == ["batch_size: rlrun 32, peer 64", "decay: rlrun 0.99, peer None"]
    assert disagreements({"optimizer": "Adam"}, {"optimizer": "RMSprop"}) == ["optimizer: rlrun Adam, peer RMSprop"]


def test_a_target_network_is_copied_at_most_once_in_a_round_of_learning() -> None:
    ours = {"target_period_steps": 10, "update_steps": 256}
    assert disagreements(ours, {"target_period_steps": 256.0, "update_steps": 256}) == []
    assert disagreements(ours, {"target_period_steps": 257, "update_steps": 256}) == [
        "target_period_steps: rlrun 256, peer 512"
    ]
    # 250 updates of one in 4 steps: a float on the peer's side, and not a round more by its error
    assert (
        disagreements(
            {"target_period_steps": 1000, "update_steps": 4},
            {"target_period_steps": 250 / 0.25 + 1e-10, "update_steps": 4},
        )
        == []
    )


def test_a_timing_weighs_rows_by_the_time_they_took() -> None:
    columns = ("step", "time/steps_per_second", "time/env_share", "time/act_share", "time/learn_share")
    values = [
        (100, 1.0, 0.9, 0.1, 0.0),
        (200, 7.0, 0.9, 0.1, 0.0),
        (300, 100, 0.5, 0.1, 0.4),
        (600, 100, 0.1, 0.1, 0.8),
    ]
    rows = [dict(zip(columns, row, strict=True)) for row in values]
    timing = timing_of(rows, warm_up_steps=200)  # 1 s, then 3 s
    assert timing.steps_per_second == pytest.approx(100.0)
    assert (timing.env_share, timing.act_share, timing.learn_share) == pytest.approx((0.2, 0.1, 0.7))
    with pytest.raises(ValueError, match="200"):
        timing_of(rows[:2], warm_up_steps=200)


def test_a_round_measures_every_side_once_and_ratios_are_of_one_round() -> None:
    comparisons = chosen(["a2c_pong_64", "a2c_pong_64_against_16"])
    assert [(turn.workload.name, turn.is_peer) for turn in turns(comparisons)] == [
        ("a2c_pong_64", False),
        ("a2c_pong_64", True),
        ("a2c_pong_16", True),
    ]
    ours = [Timing(speed, 0.1, 0.2, 0.7) for speed in (100.0, 300.0, 200.0)]
    row = row_of(comparisons[1], ours, [50.0, 100.0, 40.0], {"a2c_pong_16": 7})
    assert (row["ratio"], row["ratio_min"], row["ratio_max"]) == (3.0, 2.0, 5.0)
    assert (row["rlrun_steps_per_second"], row["peer_steps_per_second"]) == (200.0, 50.0)
    assert (row["rlrun_envs"], row["peer_envs"]) == (64, 16)
    assert set(COMPARISONS) >= {"dqn_pong", "a2c_pong_16", "dqn_cartpole", "actor_critic_cartpole_64_against_8"}


@pytest.mark.parametrize("peer", PEERS.values(), ids=list(PEERS))
def test_a_peers_program_imports_nothing_of_ours(peer: Peer) -> None:
    code = (
        f"import runpy, sys; runpy.run_path({str(peer.path)!r}); "
        "print([n for n in sys.modules if n.startswith('rlrun')])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
