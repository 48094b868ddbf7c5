import io

import pytest
from rich.console import Console

import rlrun.progress
from rlrun.progress import LiveDisplay, PlainDisplay


def test_plain_lines_show_speed_time_left_and_the_newest_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(rlrun.progress, "monotonic", lambda: clock[0])
    out = io.StringIO()
    display = PlainDisplay(Console(file=out, width=200), start=1000, total_steps=10000)
    clock[0] += 1.0
    display.update(1100, {"train/episode_return": 5.0})  # too soon for a line, but not forgotten
    clock[0] += 29.0
    display.update(4000, {"eval/episode_return": 7.25, "eval/greedy_return": 9.0, "loss/td": 3.0})
    assert out.getvalue() == "4,000/10,000 steps  100 steps/s  1:00 left  return 5.0  eval 7.2  greedy 9.0\n"


def test_the_last_line_is_always_printed() -> None:
    out = io.StringIO()
    display = PlainDisplay(Console(file=out, width=200), start=0, total_steps=10)
    display.update(10, {})
    assert out.getvalue().startswith("10/10 steps")


def test_a_terminal_shows_one_line_with_everything() -> None:
    out = io.StringIO()
    display = LiveDisplay(Console(file=out, width=120, force_terminal=True), start=0, total_steps=200)
    display.update(100, {"train/episode_return": 12.5})
    display.say("a line that stays")
    display.close()
    assert "100/200 steps" in out.getvalue()
    assert "return 12.5" in out.getvalue()
    assert "a line that stays\n" in out.getvalue().replace("\r\n", "\n")


def test_planners_show_how_much_values_still_change(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(rlrun.progress, "monotonic", lambda: clock[0])
    out = io.StringIO()
    display = PlainDisplay(Console(file=out, width=200), start=0, total_steps=100)
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
    display = LiveDisplay(Console(file=out, width=120, force_terminal=True), start=0, total_steps=200)
    display.update(100, {"plan/residual": 12.5})
    display.close()
    assert "residual 1.2e+01" in out.getvalue()
