"""Colours that mean numbers, readable without telling red from green."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlrun.types import Float64Array

RGB = tuple[int, int, int]
PAPER: RGB = (255, 255, 255)
BLACK: RGB = (0, 0, 0)
LINE: RGB = (150, 150, 150)
WALL: RGB = (60, 60, 60)
END: RGB = (226, 226, 226)
END_BORDER: RGB = (190, 60, 150)  # a purple that neither scale contains
UNKNOWN: RGB = (176, 176, 176)
HATCH: RGB = (120, 120, 120)

# Nine anchors of viridis (Smith and van der Walt 2015, CC0): dark is low, light is high.
_ONE_SIGN = np.array(
    [
        (68, 1, 84),
        (71, 44, 122),
        (59, 81, 139),
        (44, 113, 142),
        (33, 144, 141),
        (39, 173, 129),
        (92, 200, 99),
        (170, 220, 50),
        (253, 231, 37),
    ],
    np.float64,
)
# Blue below zero, white at zero, orange above.
_TWO_SIGNS = np.array(
    [(33, 92, 172), (103, 169, 207), (209, 229, 240), (248, 248, 248), (254, 224, 182), (241, 163, 64), (190, 92, 6)],
    np.float64,
)


@dataclass(frozen=True, slots=True)
class Scale:
    """What numbers look like: viridis where all have one sign, blue over white to orange where zero lies between."""

    low: float
    high: float

    @staticmethod
    def of(values: Float64Array, limits: tuple[float, float] | None = None) -> Scale:
        """The scale from the least to the greatest finite value, or the one given, in either order."""
        if limits is not None:
            return Scale(min(limits), max(limits))
        finite = values[np.isfinite(values)]
        return Scale(float(finite.min()), float(finite.max())) if finite.size else Scale(0.0, 0.0)

    def colours(self, values: Float64Array) -> NDArray[np.uint8]:
        """Uint8 [..., 3]; values beyond the scale look like its ends, infinite and NaN ones are grey."""
        largest = max(abs(self.low), abs(self.high))
        two_signs = self.low < 0 < self.high
        low, high = (-1.0, 1.0) if two_signs else (self.low / (largest or 1.0), self.high / (largest or 1.0))
        # Divided first: the difference of two enormous values may overflow.
        scaled = np.nan_to_num(values / (largest or 1.0), nan=0.0, posinf=0.0, neginf=0.0)
        position = np.clip((scaled - low) / (high - low), 0.0, 1.0) if high > low else np.full(values.shape, 0.5)
        anchors = _TWO_SIGNS if two_signs else _ONE_SIGN
        stops = np.linspace(0.0, 1.0, len(anchors))
        colours = np.stack([np.interp(position, stops, anchors[:, channel]) for channel in range(3)], axis=-1)
        colours[~np.isfinite(values)] = UNKNOWN
        rounded: NDArray[np.uint8] = np.rint(colours).astype(np.uint8)
        return rounded


def ink_on(colour: NDArray[np.uint8] | RGB) -> RGB:
    """Black or white, whichever stands out more (relative luminance and its even point as in WCAG 2)."""
    red, green, blue = ((float(part) / 255.0) ** 2.2 for part in colour)
    return BLACK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else PAPER
