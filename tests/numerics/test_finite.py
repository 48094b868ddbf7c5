import numpy as np
import pytest

from rlrun.numerics.finite import LARGEST_FLOAT32, fits_float32
from rlrun.types import Array

SIZES = (1, 4, 64, 65, 1000)  # on both sides of where it counts in another way
SIZES_AND_PLACES = [(size, place) for size in SIZES for place in {0, size // 2, size - 1}]


@pytest.mark.parametrize(("size", "place"), SIZES_AND_PLACES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_one_that_is_not_finite_is_found_wherever_it_is(size: int, place: int, dtype: type, wrong: float) -> None:
    array: Array = np.linspace(-3, 5, size).astype(dtype)
    assert fits_float32(array)
    array[place] = wrong
    assert not fits_float32(array)
    assert not fits_float32(array.reshape(size, 1)[::-1])


@pytest.mark.parametrize("size", SIZES)
def test_infinities_of_both_signs_do_not_cancel(size: int) -> None:
    array = np.zeros(size + 1, np.float32)
    array[0], array[-1] = np.inf, -np.inf
    assert not fits_float32(array)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_largest_in_float32_fits_and_what_is_larger_does_not(size: int) -> None:
    array = np.full(size, LARGEST_FLOAT32)  # all of them: their sum, and their length as a vector, do not fit
    assert fits_float32(array)
    assert fits_float32(-array.astype(np.float32))
    array[-1] = np.nextafter(LARGEST_FLOAT32, np.inf)
    assert not fits_float32(array)
    array[0], array[-1] = 1e300, -1e300
    assert not fits_float32(array)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_integers_fit(size: int, dtype: type) -> None:
    assert fits_float32(np.ones(size, dtype))
    assert fits_float32(np.ones((0, size), np.float32))
    assert fits_float32(np.array(1.5))
