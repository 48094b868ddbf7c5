import pytest

from rlrun.errors import UserError
from rlrun.schedules import Constant, Linear, Schedule, require_probability


def test_linear_by_hand() -> None:
    schedule = Linear(start=1.0, end=0.2, duration_steps=100, delay_steps=50)
    values = [schedule(step) for step in (0, 50, 75, 100, 150, 10_000)]
    assert values == pytest.approx([1.0, 1.0, 0.8, 0.6, 0.2, 0.2])


def test_linear_can_rise() -> None:
    assert Linear(start=0.0, end=1.0, duration_steps=4, delay_steps=0)(1) == 0.25


def test_constant() -> None:
    assert Constant(value=0.3)(7) == 0.3


@pytest.mark.parametrize(
    "schedule", [Linear(start=1.0, end=10.0, duration_steps=9, delay_steps=0), Constant(value=-0.1)]
)
def test_probabilities_stay_between_0_and_1(schedule: Schedule) -> None:
    with pytest.raises(UserError, match=r"algo\.epsilon goes to (10|-0\.1), but it is a probability"):
        require_probability(schedule, "algo.epsilon")
    require_probability(Linear(start=1.0, end=0.0, duration_steps=9, delay_steps=0), "algo.epsilon")
