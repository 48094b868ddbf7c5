import numpy as np
import pytest
import torch

from rlrun.numerics.tabular_updates import update_in_order


def one_by_one(
    table: list[float], visits: list[int], index: list[int], target: list[float], alpha: float, power: float
) -> None:
    """The textbook's loop."""
    for entry, y in zip(index, target, strict=True):
        visits[entry] += 1
        table[entry] += alpha * visits[entry] ** -power * (y - table[entry])


@pytest.mark.parametrize(("alpha", "power"), [(0.1, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.6), (1.0, 0.8)])
@pytest.mark.parametrize("size", [1, 2, 40])
def test_repeated_entries_end_where_a_loop_over_them_ends(alpha: float, power: float, size: int) -> None:
    rng = np.random.default_rng(size)
    table, visits = rng.normal(size=6), rng.integers(0, 3, size=6)
    plain, counted = table.tolist(), visits.tolist()
    tensor, counts = torch.from_numpy(table.copy()), torch.from_numpy(visits.copy())
    for _ in range(3):
        index, target = rng.integers(0, 6, size=size), rng.normal(size=size) * 10
        before = tensor.clone()
        error = update_in_order(tensor, counts, torch.from_numpy(index), torch.from_numpy(target), alpha, power)
        np.testing.assert_allclose(error.numpy(), target - before.numpy()[index])
        one_by_one(plain, counted, index.tolist(), target.tolist(), alpha, power)
    np.testing.assert_allclose(tensor.numpy(), plain, rtol=1e-10, atol=1e-10)
    assert counts.tolist() == counted


def test_by_hand_two_visits_of_one_entry() -> None:
    table, visits = torch.tensor([4.0, 8.0], dtype=torch.float64), torch.zeros(2, dtype=torch.int64)
    update_in_order(table, visits, torch.tensor([1, 0, 1]), torch.tensor([0.0, 6.0, 2.0]).double(), 0.5, 0.0)
    assert table.tolist() == [5.0, 3.0]  # 8 -> 4 -> 3
    assert visits.tolist() == [1, 2]


def test_step_size_1_over_n_is_the_average_of_all_targets() -> None:
    table, visits = torch.full((1,), 99.0, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
    targets = [3.0, -1.0, 10.0, 2.5, 7.0]
    for chunk in (targets[:2], targets[2:]):
        index = torch.zeros(len(chunk), dtype=torch.int64)
        update_in_order(table, visits, index, torch.tensor(chunk).double(), 1.0, 1.0)
    assert table.item() == pytest.approx(np.mean(targets))
