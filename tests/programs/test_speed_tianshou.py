"""What Tianshou is told is the work that rlrun and stable-baselines3 do; its program is not run here."""

from __future__ import annotations

from typing import Any

import pytest
from against_peers import check_same_workload, row_of
from agreement import Facts, disagreements, facts_of_rlrun
from one_emulator import one_emulator
from peer_process import peer_command
from peers import SB3, TIANSHOU
from rlrun_timings import Timing
from tianshou_workloads import ARGUMENTS, DIFFERENCES
from workloads import COMPARISONS, WORKLOADS, shrunk


def promised(settings: dict[str, Any], num_parameters: int) -> Facts:
    """The facts that the program reads off Tianshou's objects if they are as they were told."""
    told = {
        name: settings[name] for name in ("learning_rate", "eps", "gamma", "num_envs", "max_grad_norm", "update_steps")
    }
    told |= {"num_parameters": num_parameters}
    if settings["algorithm"] == "DQN":
        updates_per_step = settings["updates_per_round"] / settings["update_steps"]
        names = ("batch_size", "replay_capacity_steps", "final_epsilon")
        return {
            **told,
            **{name: settings[name] for name in names},
            "optimizer": "Adam",
            "updates_per_step": updates_per_step,
            "target_period_steps": settings["target_period_updates"] / updates_per_step,
        }
    return {
        **told,
        **{name: settings[name] for name in ("value_coefficient", "entropy_bonus", "decay")},
        "optimizer": "RMSprop",
        "updates_per_step": 1 / settings["update_steps"],
        "batch_size": settings["update_steps"],
    }


@pytest.mark.parametrize("name", list(ARGUMENTS))
def test_what_tianshou_is_told_agrees_with_rlrun(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one_emulator(monkeypatch)
    workload = shrunk(WORKLOADS[name], 20)
    facts = facts_of_rlrun(workload.all_overrides())
    settings = TIANSHOU.settings(workload)
    assert disagreements(facts, promised(settings, facts["num_parameters"])) == []
    wrong = settings | {"learning_rate": 2 * settings["learning_rate"]}
    assert len(disagreements(facts, promised(wrong, facts["num_parameters"]))) == 1


@pytest.mark.parametrize("name", list(ARGUMENTS))
def test_both_peers_make_the_same_steps(name: str) -> None:
    theirs, others = TIANSHOU.settings(WORKLOADS[name]), SB3.settings(WORKLOADS[name])
    for same in ("algorithm", "env", "num_envs", "num_threads", "warm_up_steps", "measured_steps"):
        assert theirs[same] == others[same]
    assert theirs.get("exploration_ends_at_step") == others.get("exploration_ends_at_step")
    assert theirs.get("learning_starts_steps") == others["arguments"].get("learning_starts")
    assert theirs.get("hidden", [64, 64]) == others.get("net_arch", [64, 64])  # its default
    assert theirs["warm_up_steps"] % theirs["update_steps"] == 0
    assert theirs["measured_steps"] % theirs["update_steps"] == 0


def test_tianshou_has_a_workload_for_every_comparison_and_says_what_differs() -> None:
    assert {*ARGUMENTS} == {comparison.theirs.name for comparison in COMPARISONS.values()}
    assert {*DIFFERENCES} == {workload.name for each in COMPARISONS.values() for workload in (each.ours, each.theirs)}
    assert all(DIFFERENCES.values())


def test_a_peer_has_a_program_and_a_name_of_its_own() -> None:
    assert peer_command({}, "python")[1].endswith("benchmarks/speed/peer_sb3.py")
    assert peer_command({}, "python", TIANSHOU)[1].endswith("benchmarks/speed/peer_tianshou.py")
    comparison = COMPARISONS["actor_critic_cartpole_8"]
    row = row_of(comparison, [Timing(30.0, 0.1, 0.2, 0.7)], [10.0], {"actor_critic_cartpole_8": 7}, TIANSHOU)
    assert (row["peer"], row["ratio"]) == ("Tianshou 2.0.1", 3.0)


def test_another_version_another_fact_or_too_few_updates_end_the_comparison() -> None:
    workload = shrunk(WORKLOADS["dqn_cartpole"], 20)
    facts = facts_of_rlrun(workload.all_overrides())
    updates = round(workload.measured_steps * facts["updates_per_step"])
    right = {"version": "2.0.1", "facts": promised(TIANSHOU.settings(workload), facts["num_parameters"])}
    assert check_same_workload(workload, right | {"updates": updates}, TIANSHOU) == facts["num_parameters"]
    with pytest.raises(SystemExit, match=rf"updates: 1 .*\b{updates}\b"):
        check_same_workload(workload, right | {"updates": 1}, TIANSHOU)
    with pytest.raises(SystemExit, match=r"version: .*2\.0\.1.*2\.9\.2"):
        check_same_workload(workload, right | {"updates": updates}, SB3)
