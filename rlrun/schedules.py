"""Numbers that change with the agent step. Steps are absolute: a longer run does not stretch its schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

from pydantic import Field

Schedule: TypeAlias = Callable[[int], float]  # the value at an agent step


class Constant:
    """Always `value`."""

    def __init__(self, *, value: float) -> None:
        self._value = value

    def __call__(self, step: int) -> float:
        """The value at any agent step."""
        del step
        return self._value


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
