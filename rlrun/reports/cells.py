"""Numbers of a report as text."""

from __future__ import annotations

from collections.abc import Callable
from math import isinf, isnan

from rlrun.pictures.numbers import written
from rlrun.reports.summaries import Estimate

NONE = "–"


def number(value: float | None) -> str:
    """A score: two decimals, or none from 1,000 on."""
    if value is None or isnan(value):
        return NONE
    return f"{value:,.0f}" if abs(value) >= 1_000 else written(value, 2)


def count(value: float) -> str:
    """A number of steps, or `never`."""
    return NONE if isnan(value) else "never" if isinf(value) else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """`12 s`, `3.4 min` or `1.2 h`, or `never`."""
    if isnan(seconds) or isinf(seconds):
        return count(seconds)
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6_000 else f"{seconds / 3_600:.1f} h"


def with_interval(estimate: Estimate | None, text: Callable[[float], str] = number) -> str:
    """`1.20 [1.00, 1.40]`; the value alone where there is no interval."""
    if estimate is None:
        return NONE
    value = text(estimate.value)
    if isnan(estimate.low) or isinf(estimate.low):
        return value
    return f"{value} [{text(estimate.low)}, {text(estimate.high)}]"
