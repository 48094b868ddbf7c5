"""Pictures of a cart and its pole."""

from __future__ import annotations

from math import cos, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 400, 160  # pixels
_SMOOTH = 2  # drawn this many times larger, then shrunk
_METRE = 72.0  # pixels; the track from -2.4 to 2.4 fits with a margin
_EDGE, _POLE = 2.4, 1.0  # metres: where the episode ends, and the pole's length (Barto, Sutton and Anderson 1983)
_CART = (0.5, 0.3)  # metres; for the looks only
_PAPER, _TRACK, _BODY, _WOOD, _AXLE = (255, 255, 255), (120, 120, 120), (40, 40, 40), (202, 152, 101), (129, 132, 203)


def render_cartpole(position: float, angle: float) -> NDArray[np.uint8]:
    """A picture, uint8 [160, 400, 3].

    Args:
        position: of the cart, in metres from the middle.
        angle: of the pole, in radians from upright, to the right.
    """
    scale = _METRE * _SMOOTH
    image = Image.new("RGB", (WIDTH * _SMOOTH, HEIGHT * _SMOOTH), _PAPER)
    draw = ImageDraw.Draw(image)
    middle, ground = WIDTH * _SMOOTH / 2, HEIGHT * _SMOOTH - 0.25 * scale
    draw.line((0, ground, WIDTH * _SMOOTH, ground), fill=_TRACK, width=_SMOOTH)
    for edge in (-_EDGE, _EDGE):
        place = middle + edge * scale
        draw.line((place, ground - 0.1 * scale, place, ground + 0.1 * scale), fill=_TRACK, width=_SMOOTH)
    x, y = middle + position * scale, ground - _CART[1] * scale / 2
    half, tall = _CART[0] * scale / 2, _CART[1] * scale / 2
    draw.rectangle((x - half, y - tall, x + half, y + tall), fill=_BODY)
    top = y - tall / 2
    tip = (x + _POLE * scale * sin(angle), top - _POLE * scale * cos(angle))
    draw.line((x, top, *tip), fill=_WOOD, width=round(0.09 * scale))
    radius = 0.05 * scale
    draw.ellipse((x - radius, top - radius, x + radius, top + radius), fill=_AXLE)
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX), np.uint8)
