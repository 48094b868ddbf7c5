from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rlrun.replay.ring import newest
from rlrun.runs.state_comparison import first_difference


def state(**differing: Any) -> dict[str, Any]:
    return {"a": [torch.arange(6.0).reshape(2, 3), {"b": np.arange(3)}], "c": (1, 2.5, "x", None)} | differing


def test_equal_states_have_no_difference() -> None:
    assert first_difference(state(), state()) is None
    transposed = torch.arange(6.0).reshape(2, 3).t().contiguous().t()
    assert first_difference(state()["a"][0], transposed) is None, "how they lie in memory does not matter"


@pytest.mark.parametrize(
    ("other", "place"),
    [
        (state(c=(1, 2.5, "y", None)), "c/2"),
        (state(c=(1, 2.25, "y", None)), "c/1"),
        (state(c=(1, 2.5)), "c"),
        (state(d=1), "everything"),
        (state(a=[torch.arange(6.0).reshape(2, 3), {"b": np.array([0, 1, 3])}]), "a/1/b"),
        (state(a=[torch.arange(6.0).reshape(2, 3), {"b": np.arange(3.0)}]), "a/1/b"),
        (state(a=[torch.arange(6.0).reshape(3, 2), {"b": np.arange(3)}]), "a/0"),
        (state(a=[torch.arange(6.0).reshape(2, 3).double(), {"b": np.arange(3)}]), "a/0"),
        (state(a=[torch.arange(6.0).reshape(2, 3).numpy(), {"b": np.arange(3)}]), "a/0"),
    ],
)
def test_the_first_difference_is_named_by_its_path(other: Any, place: str) -> None:
    assert first_difference(state(), other) == place


@pytest.mark.parametrize("make", [float, torch.tensor, lambda value: np.array([value])])
def test_numbers_are_compared_by_their_bits(make: Any) -> None:
    nan = float("nan")
    assert first_difference(make(nan), make(nan)) is None
    assert first_difference(make(0.0), make(-0.0)) == "everything"
    assert first_difference(make(1.0), make(1.0 + 2**-23)) == "everything"


@dataclass(frozen=True)
class Cut:
    """Rows first ... stop - 1, cut into pieces of these sizes; row i holds the number i."""

    first: int
    sizes: tuple[int, ...]
    changed: int = -1

    @property
    def stop(self) -> int:
        return self.first + sum(self.sizes)

    def pieces(self) -> Iterator[tuple[int, Tensor]]:
        number = self.first
        for size in self.sizes:
            rows = torch.arange(number, number + size).reshape(-1, 1)
            rows[rows == self.changed] = -1
            yield number, rows
            number += size


def test_rows_are_compared_wherever_they_lie_and_however_they_are_cut() -> None:
    ring = torch.tensor([[4], [5], [2], [3]])
    assert first_difference(newest(ring, 6), Cut(2, (1, 3))) is None
    assert first_difference(Cut(2, (3, 3, 1)), Cut(2, (1, 4, 2))) is None
    assert first_difference({"r": Cut(2, (3, 3, 1))}, {"r": Cut(2, (1, 4, 2), changed=7)}) == "r, row 7"
    assert first_difference(Cut(2, (3, 3)), Cut(2, (3,))) == "everything, row 2"
    assert first_difference(Cut(0, ()), Cut(0, ())) is None
    assert first_difference(Cut(0, (1,)), torch.zeros(1, 1)) == "everything"
