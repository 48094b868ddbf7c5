"""Numbers that change with the agent step. Steps are absolute: a longer run does not stretch its schedules."""

from __future__ import annotations

from typing import Annotated, Protocol

from pydantic import Field

from rlrun.errors import ArgumentError

__all__ = ["Schedule"]

_FOREVER = 2 * 10**15  # agent steps, longer than any run


def crosses(before: int, after: int, period: int | None) -> bool:
    """Whether a multiple of `period` lies in (before, after]; steps come in batches, so `step % period` misses."""
    return period is not None and before // period < after // period


class Schedule(Protocol):
    """A number that depends on the agent step."""

    def __call__(self, step: int) -> float:
        """The value at agent step `step`."""
        ...

    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        ...


def require_probability(schedule: Schedule, parameter: str) -> None:
    """Refuses a schedule that leaves [0, 1].

    Raises:
        ArgumentError: naming `parameter` and the value.
    """
    for value in schedule.bounds():
        if not 0.0 <= value <= 1.0:
            problem = f" reaches {value:g}, but it is a probability: every value must be from 0 to 1"
            raise ArgumentError(parameter, problem)


def schedule_from_zero(value: float | Schedule, parameter: str) -> Schedule:
    """A number as a constant schedule; refuses a schedule that goes below 0.

    Raises:
        ArgumentError: naming `parameter` and the value.
    """
    schedule = value if callable(value) else Constant(value=value)
    least, _ = schedule.bounds()
    if least < 0.0:
        raise ArgumentError(parameter, f" reaches {least:g}: every value must be at least 0")
    return schedule


class Constant:
    """Always `value`.

    Args:
        value: the number.
    """

    def __init__(self, *, value: float) -> None:
        self._value = value

    def __call__(self, step: int) -> float:
        """The value at any agent step."""
        del step
        return self._value

    def bounds(self) -> tuple[float, float]:
        """The value, twice."""
        return self._value, self._value


class Linear:
    """`start` for `delay_steps`, then a straight line to `end` that takes `duration_steps`, then `end`.

    Args:
        start: the first value.
        end: the last value.
        duration_steps: agent steps that the line takes.
        delay_steps: agent steps before it begins.
    """

    def __init__(
        self,
        *,
        start: float,
        end: float,
        duration_steps: Annotated[int, Field(gt=0)],
        delay_steps: Annotated[int, Field(ge=0)],
    ) -> None:
        self._start = start
        self._end = end
        self._duration_steps = duration_steps
        self._delay_steps = delay_steps

    def __call__(self, step: int) -> float:
        """The value at agent step `step`."""
        fraction = min(max((step - self._delay_steps) / self._duration_steps, 0.0), 1.0)
        return self._start + fraction * (self._end - self._start)

    def bounds(self) -> tuple[float, float]:
        """The ends of the line."""
        return min(self._start, self._end), max(self._start, self._end)


def unfinished(schedule: Schedule, key: str, total_steps: int) -> str | None:
    """A message about a schedule that has not reached its last value when a run ends; None if it has, or never does.

    Reached means equal to three digits. The step is found by bisection, so this works for any schedule that keeps its
    last value once it has reached it.

    Args:
        schedule: any.
        key: its key in the config.
        total_steps: agent steps of the run.
    """
    end = schedule(_FOREVER)
    is_still, is_last = f"{schedule(total_steps):.3g}", f"{end:.3g}"
    if is_still == is_last or schedule(_FOREVER // 2) != end:
        return None
    before, arrived = total_steps, _FOREVER // 2
    while arrived - before > 1:
        middle = (before + arrived) // 2
        before, arrived = (before, middle) if schedule(middle) == end else (middle, arrived)
    return (
        f"{key} is still {is_still} at the end of total_steps={total_steps}: its last value {is_last} is reached at "
        f"step {arrived:,}; a larger total_steps or a shorter schedule gets there"
    )
