"""Runs that are really killed, at moments drawn at random, end in the same bits as runs that are not.

A small fixed set of what `benchmarks/kill_stress.py` does with hundreds of kills.
"""

import random

import pytest
from kill_stress import WORKS, stress


@pytest.mark.parametrize("name", WORKS)
def test_a_killed_run_ends_in_the_bits_of_an_undisturbed_one(name: str) -> None:
    seen = stress(WORKS[name], 3, random.Random(name))
    assert seen.kills == 3
    assert seen.begun_again == 0, "a run that had a checkpoint must go on from it"
    assert seen.unreadable == 0
    assert seen.double_rows == 0
    assert seen.different == []
