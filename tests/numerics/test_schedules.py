import pytest

from rlrun.errors import UserError
from rlrun.numerics.schedules import Constant, Linear, Schedule, require_probability, unfinished

DQN_2015 = Linear(start=1.0, end=0.1, duration_steps=1_000_000, delay_steps=50_000)


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
    with pytest.raises(UserError, match=r"algo\.epsilon .* (10|-0\.1)\b"):
        require_probability(schedule, "algo.epsilon")
    require_probability(Linear(start=1.0, end=0.0, duration_steps=9, delay_steps=0), "algo.epsilon")


class Halving:
    """It comes nearer to 0 for ever."""

    def __call__(self, step: int) -> float:
        return 1.0 / (1.0 + step)

    def bounds(self) -> tuple[float, float]:
        return 0.0, 1.0


class Stairs:
    """2, then 1 from step 50 on, then 0.25 from step 1,000 on."""

    def __call__(self, step: int) -> float:
        return 2.0 if step < 50 else 1.0 if step < 1000 else 0.25

    def bounds(self) -> tuple[float, float]:
        return 0.25, 2.0


@pytest.mark.parametrize(
    ("schedule", "total_steps", "now", "end", "arrived"),
    [
        (DQN_2015, 100_000, "0.955", "0.1", "1,050,000"),
        (DQN_2015, 1_000_000, "0.145", "0.1", "1,050,000"),
        (Linear(start=0.0, end=1.0, duration_steps=4, delay_steps=0), 3, "0.75", "1", "4"),
        (Linear(start=1.0, end=0.0, duration_steps=7, delay_steps=10), 1, "1", "0", "17"),  # it has not begun
        (Stairs(), 999, "1", "0.25", "1,000"),
    ],
)
def test_a_schedule_that_does_not_arrive_says_where_it_stops(
    schedule: Schedule, total_steps: int, now: str, end: str, arrived: str
) -> None:
    line = unfinished(schedule, "algo.epsilon", total_steps)
    assert line is not None
    assert f"algo.epsilon is still {now} at the end of total_steps={total_steps}" in line
    assert f"{end} is reached at step {arrived};" in line


@pytest.mark.parametrize(
    ("schedule", "total_steps"),
    [
        (Constant(value=0.3), 1),
        (DQN_2015, 1_050_000),
        (DQN_2015, 1_049_999),  # it is as good as there
        (Linear(start=7e-4, end=0.0, duration_steps=100_000, delay_steps=0), 100_000),  # it ends with the run
        (Linear(start=0.5, end=0.5, duration_steps=1_000_000, delay_steps=0), 10),
        (Stairs(), 1000),
        (Halving(), 10),
    ],
)
def test_a_schedule_that_arrives_or_never_will_says_nothing(schedule: Schedule, total_steps: int) -> None:
    assert unfinished(schedule, "algo.epsilon", total_steps) is None
