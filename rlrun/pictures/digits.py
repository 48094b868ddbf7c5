"""How numbers are written where there is little room, and which actions count as best."""

from __future__ import annotations

import numpy as np

from rlrun.types import BoolArray, Float64Array

SCIENTIFIC = -1  # stands for a number of decimals where plain digits would be too many


def decimals_for(values: Float64Array) -> int:
    """How many digits after the point tell the values apart: 2 below ten, 1 below a thousand; or `SCIENTIFIC`."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size else 0.0
    if largest >= 1e6 or 0 < largest < 1e-3:
        return SCIENTIFIC
    if largest >= 1000:
        return 0
    if largest >= 10 or largest == 0:
        return 1
    return 2 if largest >= 0.1 else 4


def decimals_in_text(values: Float64Array) -> int:
    """The same where there is more room, as on a terminal: at least 2, up to a million."""
    decimals = decimals_for(values)
    return decimals if decimals == SCIENTIFIC else max(decimals, 2)


def written(value: float, decimals: int) -> str:
    """The number; never `-0.0`."""
    if not np.isfinite(value):
        return "nan" if np.isnan(value) else "inf" if value > 0 else "-inf"
    if decimals == SCIENTIFIC:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa}e{int(exponent)}" if value else "0"
    return f"{round(float(value), decimals) + 0.0:.{decimals}f}"


def best_actions(q: Float64Array, legal: BoolArray) -> BoolArray:
    """[S, A]: every legal action as good as the best one of its state, but for rounding."""
    known = legal & ~np.isnan(q)
    masked = np.where(known, q, -np.inf)
    best = masked.max(axis=1, keepdims=True)
    slack = np.where(np.isfinite(best), 1e-9 * np.maximum(1.0, np.abs(best)), 0.0)
    best_known: BoolArray = known & (masked >= best - slack)
    return best_known
