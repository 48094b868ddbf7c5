import io
import re

import pytest
from rich.console import Console

import rlrun.loop.progress
from rlrun.loop.progress import LiveDisplay, PlainDisplay, RecentSpeed


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rlrun.loop.progress, "monotonic", clock)
    return clock


def test_the_speed_is_that_of_the_last_minute(clock: Clock) -> None:
    speed = RecentSpeed(start=500, total_steps=10_000)
    assert (speed.steps_per_second, str(speed)) == (0.0, "- steps/s")
    step = 500
    for steps in [10] * 10 + [300] * 6 + [600] * 3:  # every 10 seconds: 100 s of 1 a second, 60 of 30, 30 of 60
        clock.now += 10.0
        step += steps
        speed.update(step)
    # The last minute made 3 * 300 and 3 * 600 steps; from the beginning it would be 3,700 / 190.
    assert speed.steps_per_second == 2700 / 60
    assert step == 4200
    assert str(speed) == "45 steps/s  2:09 left"  # 5,800 / 45 = 128.9 s


def test_evaluation_and_saving_are_no_part_of_it(clock: Clock) -> None:
    speed = RecentSpeed(start=0, total_steps=40_000)
    clock.now += 30.0
    speed.update(300)
    clock.now += 600.0  # an evaluation, in which the step is told again
    speed.update(300)
    assert speed.steps_per_second == 10.0
    speed.exclude(600.0)
    clock.now += 10.0
    speed.update(500)
    assert speed.steps_per_second == 500 / 40
    assert str(speed) == "12 steps/s  52:40 left"  # 39,500 / 12.5 = 3,160 s
    clock.now += 45.0
    speed.update(1400)
    assert speed.steps_per_second == 1400 / 85  # nothing that was told is a minute old: from the beginning
    clock.now += 10.0
    speed.update(1600)
    assert speed.steps_per_second == 1300 / 65  # from the 300 steps on, which were told 65 s of training ago


def test_what_is_told_less_than_once_in_a_minute_counts_from_the_time_before(clock: Clock) -> None:
    speed = RecentSpeed(start=0, total_steps=1_000_000)
    for steps in (100, 20_000):
        clock.now += 200.0
        speed.update(steps)
    assert speed.steps_per_second == 19_900 / 200
    assert str(speed) == "100 steps/s  2:44:09 left"  # 980,000 / 99.5 = 9,849.2 s


@pytest.mark.parametrize("kind", [LiveDisplay, PlainDisplay])
def test_both_displays_leave_out_what_is_no_training(
    clock: Clock, kind: type[LiveDisplay] | type[PlainDisplay]
) -> None:
    out = io.StringIO()
    display = kind(Console(file=out, width=120, force_terminal=kind is LiveDisplay))
    display.begin(start=0, total_steps=3000)
    clock.now += 90.0
    display.exclude(80.0)
    display.update(1000, {})
    display.close()
    assert "100 steps/s  0:20 left" in re.sub(r"\x1b\[[\d;?]*\w", "", out.getvalue())


def test_plain_lines_show_speed_time_left_and_the_newest_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(rlrun.loop.progress, "monotonic", lambda: clock[0])
    out = io.StringIO()
    display = PlainDisplay(Console(file=out, width=200))
    display.begin(start=1000, total_steps=10000)
    clock[0] += 1.0
    display.update(1100, {"train/episode_return": 5.0})  # too soon for a line, but not forgotten
    clock[0] += 29.0
    display.update(4000, {"eval/episode_return": 7.25, "eval/greedy_return": 9.0, "loss/td": 3.0})
    assert out.getvalue() == "4,000/10,000 steps  100 steps/s  1:00 left  return 5.0  eval 7.2  greedy 9.0\n"


def test_the_last_line_is_always_printed() -> None:
    out = io.StringIO()
    display = PlainDisplay(Console(file=out, width=200))
    display.begin(start=0, total_steps=10)
    display.update(10, {})
    assert out.getvalue().startswith("10/10 steps")


def test_a_terminal_shows_one_line_with_everything() -> None:
    out = io.StringIO()
    display = LiveDisplay(Console(file=out, width=120, force_terminal=True))
    display.begin(start=0, total_steps=200)
    display.update(100, {"train/episode_return": 12.5})
    display.say("a line that stays")
    display.close()
    assert "100/200 steps" in out.getvalue()
    assert "return 12.5" in out.getvalue()
    assert "a line that stays\n" in out.getvalue().replace("\r\n", "\n")


def test_planners_show_how_much_values_still_change(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(rlrun.loop.progress, "monotonic", lambda: clock[0])
    out = io.StringIO()
    display = PlainDisplay(Console(file=out, width=200))
    display.begin(start=0, total_steps=100)
    clock[0] = 20.0
    display.update(40, {"plan/residual": 0.00123, "plan/policy_changes": 3.0})
    clock[0] = 21.0
    display.update(50, {"plan/residual": 2e-9, "eval/episode_return": -1.95})  # too soon for a line
    clock[0] = 50.0
    display.update(100, {})
    assert out.getvalue().splitlines() == [
        "40/100 steps  2 steps/s  0:30 left  residual 1.2e-03",
        "100/100 steps  2 steps/s  0:00 left  residual 2.0e-09  eval -1.9",
    ]


def test_a_terminal_shows_the_residual() -> None:
    out = io.StringIO()
    display = LiveDisplay(Console(file=out, width=120, force_terminal=True))
    display.begin(start=0, total_steps=200)
    display.update(100, {"plan/residual": 12.5})
    display.close()
    assert "residual 1.2e+01" in out.getvalue()
