"""Number formats for pictures and terminals, and which actions count as best."""

from __future__ import annotations

import numpy as np

from rlrun.types import BoolArray, Float64Array

SCIENTIFIC = -1  # instead of a number of decimals, if fixed notation would be too long


def decimals_for(values: Float64Array) -> int:
    """The number of decimals that distinguishes the values, if there is room; or `SCIENTIFIC`."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max(initial=0.0))
    if largest >= 1e6 or 0 < largest < 1e-3:
        return SCIENTIFIC
    return 4 if 0 < largest < 0.1 else 2


def fewer_decimals(decimals: int) -> list[int]:
    """Numbers of decimals to try in turn until the text fits."""
    return [SCIENTIFIC] if decimals == SCIENTIFIC else [*range(decimals, -1, -1)]


def written(value: float, decimals: int) -> str:
    """The number; never `-0.0`."""
    if not np.isfinite(value):
        return "nan" if np.isnan(value) else "inf" if value > 0 else "-inf"
    if decimals == SCIENTIFIC:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa}e{int(exponent)}" if value else "0"
    return f"{round(float(value), decimals) + 0.0:.{decimals}f}"


def best_actions(q: Float64Array, legal: BoolArray) -> BoolArray:
    """[S, A]: every legal action as good as the best one of its state, up to rounding."""
    known = legal & ~np.isnan(q)
    masked = np.where(known, q, -np.inf)
    best = masked.max(axis=1, keepdims=True)
    slack = np.where(np.isfinite(best), 1e-9 * np.maximum(1.0, np.abs(best)), 0.0)
    best_known: BoolArray = known & (masked >= best - slack)
    return best_known
