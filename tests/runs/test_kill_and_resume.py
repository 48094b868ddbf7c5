"""Runs that are really stopped, by SIGKILL and SIGTERM, end in the same bits as runs that are not.

A small fixed set of what `benchmarks/kill_stress.py` does with hundreds of kills.
"""

import random
from signal import SIGKILL, SIGTERM

import pytest
from kill_stress import WORKLOADS, Plan, plans_for, stress

from rlrun.config.arguments import changed

PLANS = (
    Plan("save", SIGKILL),
    Plan("evaluation", SIGTERM),
    Plan("evaluation", SIGTERM),  # of the same one, which is made first when the run goes on
    Plan("training", SIGKILL),
    Plan("start", SIGKILL),
)
SHORTER = {
    "gridworld q_learning": ("total_steps=3000", "log_every_steps=100", "evaluation.every_steps=600"),
    "cartpole actor_critic": ("total_steps=8000", "log_every_steps=250", "evaluation.every_steps=2500"),
    "cartpole reinforce": ("total_steps=5000", "log_every_steps=250", "evaluation.every_steps=1600"),
    "cartpole dqn": ("total_steps=1200", "evaluation.every_steps=400"),
    "pong dqn, sticky actions, 3 environments": (
        "total_steps=300",
        "env.reseed_every_steps=50",
        "algo.replay.learning_starts_steps=90",
        "algo.replay.capacity_steps=200",
        "log_every_steps=50",
        "evaluation.every_steps=150",
    ),
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_killed_run_ends_in_the_bits_of_an_undisturbed_one(name: str) -> None:
    seen = stress(changed(WORKLOADS[name], *SHORTER.get(name, ())), PLANS, random.Random(name))
    assert (seen.kills, seen.asked) == (3, 2)
    assert seen.resumed >= 1
    assert seen.begun_again == 0, "a run that had a checkpoint must go on from it"
    assert seen.in_saves >= 1
    assert seen.in_evaluations >= 1, "the other may have been in its last step"
    assert seen.unreadable == 0
    assert seen.double_rows == 0
    assert seen.different == []


def test_most_stops_come_after_training_began_and_a_fifth_of_them_ask() -> None:
    plans = plans_for(400, random.Random(0))
    assert sum(plan.number == SIGKILL for plan in plans) == 400
    assert 60 < sum(plan.number == SIGTERM for plan in plans) < 140
    assert 0.7 < sum(plan.moment != "start" for plan in plans) / len(plans) < 0.9
    assert all(plan.number == SIGKILL for plan in plans if plan.moment == "save"), "what is held still hears nothing"
