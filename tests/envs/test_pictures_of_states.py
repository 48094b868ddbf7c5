"""What a cart with a pole, and a state that has only a name, look like."""

import numpy as np
from numpy.typing import NDArray

from rlrun.envs.render.cartpole import HEIGHT, WIDTH, render_cartpole
from rlrun.envs.render.names import render_name


def wood(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The mean (column, row) of the pole's pixels."""
    row, column = np.nonzero((np.abs(picture.astype(int) - (202, 152, 101)).max(axis=-1)) < 10)
    return np.array([column.mean(), row.mean()])


def test_a_cart_in_the_middle_with_an_upright_pole_is_symmetric() -> None:
    picture = render_cartpole(0.0, 0.0)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert abs(wood(picture)[0] - (WIDTH - 1) / 2) < 1.0


def test_a_metre_is_72_pixels() -> None:
    moved = wood(render_cartpole(1.0, 0.0)) - wood(render_cartpole(0.0, 0.0))
    np.testing.assert_allclose(moved, [72.0, 0.0], atol=0.6)


def test_a_positive_angle_leans_to_the_right_about_the_axle() -> None:
    upright, leaning = wood(render_cartpole(0.0, 0.0)), wood(render_cartpole(0.0, 0.2))
    # The middle of a pole of 1 m: half a metre times the sine to the right, and as much lower as 1 - cosine says.
    np.testing.assert_allclose(leaning - upright, [36.0 * np.sin(0.2), 36.0 * (1 - np.cos(0.2))], atol=1.5)
    np.testing.assert_allclose(wood(render_cartpole(0.0, -0.2))[0] + leaning[0], WIDTH - 1, atol=1.5)


def test_names_differ_and_long_ones_fit() -> None:
    names = ("cool", "warm", "a state with a name that is far too long to be written into one small picture")
    pictures = [render_name(names, state) for state in range(3)]
    assert {picture.shape for picture in pictures} == {(96, 240, 3)}
    assert not np.array_equal(pictures[0], pictures[1])
    for picture in pictures:
        ink = picture.max(axis=-1) < 100  # black letters, not the blue frame
        assert ink.any()
        assert not ink[:, :12].any()
        assert not ink[:, -12:].any()
