"""Colour scales for numbers, readable with red-green colour blindness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba

from rlrun.pictures.numbers import decimals_for, written
from rlrun.types import Float64Array

WALL, END, END_EDGE, UNKNOWN, LINE = "#3c3c3c", "#e2e2e2", "#be3c96", "#b0b0b0", "#969696"
_LARGEST = 1e300  # differences of larger numbers may overflow


@dataclass(frozen=True, slots=True)
class Scale:
    """A colour scale: viridis if all numbers have one sign, else purple over white (zero) to orange."""

    low: float
    high: float

    @staticmethod
    def of(values: Float64Array, limits: tuple[float, float] | None = None) -> Scale:
        """The scale from the least to the greatest finite value, or between `limits`."""
        finite = np.clip(values[np.isfinite(values)], -_LARGEST, _LARGEST)
        return Scale(*(limits or (finite.min(), finite.max()) if finite.size else (0.0, 0.0)))

    def _mappable(self) -> ScalarMappable:
        if self.low < 0 < self.high:
            largest = max(-self.low, self.high)
            return ScalarMappable(Normalize(-largest, largest), "PuOr_r")
        return ScalarMappable(Normalize(self.low, self.high), "viridis")

    def colours(self, values: Float64Array) -> Float64Array:
        """RGBA [..., 4] in [0, 1]; values beyond the scale are clamped, infinite and NaN ones are grey."""
        known = np.isfinite(values)
        plain = np.clip(np.where(known, values, 0.0), -_LARGEST, _LARGEST)
        return np.where(known[..., None], self._mappable().to_rgba(plain), to_rgba(UNKNOWN))

    def draw_bar(self, axes: Axes) -> None:
        """Fills the axes with the colours from the least to the greatest value, labelled with both."""
        ends = [self.low, self.high] if self.low < self.high else [self.low]
        labels = [written(end, decimals_for(np.array(ends))) for end in ends]
        bar = axes.figure.colorbar(self._mappable(), cax=axes, orientation="horizontal")
        bar.set_ticks(ends, labels=labels, fontsize=8)
        bar.outline.set_linewidth(0.5)
        axes.tick_params(length=0, pad=2)
        if len(ends) > 1:
            axes.set_xlim(*ends)
            for label, side in zip(axes.get_xticklabels(), ("left", "right"), strict=True):
                label.set(horizontalalignment=side)


def ink_on(colours: Float64Array) -> Float64Array:
    """Black or white, whichever has more contrast (relative luminance and threshold of WCAG 2).

    Colours RGBA [..., 4] in [0, 1] -> [..., 4].
    """
    luminance = colours[..., :3] ** 2.2 @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(luminance[..., None] > 0.179, to_rgba("black"), to_rgba("white"))
