import pytest

from rlrun.schedules import Constant, Linear


def test_linear_by_hand() -> None:
    schedule = Linear(start=1.0, end=0.2, duration_steps=100, delay_steps=50)
    values = [schedule(step) for step in (0, 50, 75, 100, 150, 10_000)]
    assert values == pytest.approx([1.0, 1.0, 0.8, 0.6, 0.2, 0.2])


def test_linear_can_rise() -> None:
    assert Linear(start=0.0, end=1.0, duration_steps=4, delay_steps=0)(1) == 0.25


def test_constant() -> None:
    assert Constant(value=0.3)(7) == 0.3
