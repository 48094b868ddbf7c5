"""Many updates of one table at once, as if they came one after another.

With B environments a batch often holds the same entry several times. Adding up alpha * error for each would overshoot;
here every entry ends where it would after x ← x + α (y − x) for its targets y in order, with the table's other entries
as they were before the batch. The step size may fall with the number of visits.
"""

from __future__ import annotations

import torch
from torch import Tensor


def update_in_order(
    table: Tensor, visits: Tensor, index: Tensor, target: Tensor, alpha: float, alpha_power: float
) -> Tensor:
    """Moves `table[index]` towards `target`, in place, and counts the visits.

    The n-th visit of an entry uses α n^(−power): power 0 is a constant step size, α = power = 1 the average of all
    targets so far (Sutton and Barto 2018, equation 2.3).

    Args:
        table: [N] float64.
        visits: [N] int64.
        index: [K] int64, repetitions allowed.
        target: [K] float64.
        alpha: in (0, 1].
        alpha_power: at least 0.

    Returns:
        The errors y − x [K], against the table before.
    """
    error = target - table[index]
    if len(index) == 1:
        count = visits[index] + 1
        visits[index] = count
        table.index_add_(0, index, _step_size(count, alpha, alpha_power) * error)
        return error
    order = torch.argsort(index, stable=True)
    ordered = index[order]
    entries, size = torch.unique_consecutive(ordered, return_counts=True)
    ends = size.cumsum(0) - 1  # position of the last repetition of each entry
    group = torch.repeat_interleave(torch.arange(len(entries), device=index.device), size)
    position = torch.arange(len(ordered), device=index.device)
    repetition = position - (ends - size + 1)[group]
    step = _step_size(visits[ordered] + repetition + 1, alpha, alpha_power)
    # Later repetitions shrink the effect of earlier ones: weight = step * product over the later ones of (1 - step).
    kept = torch.where(repetition > 0, torch.log1p(-step), 0.0)  # the first one shrinks nothing that was done here
    if alpha_power == 0.0:  # in closed form, without the rounding of sums of logarithms; 0^0 is 1
        later = torch.pow(1.0 - step, (ends[group] - position).to(step.dtype))
    else:
        total = kept.cumsum(0)
        later = torch.exp(total[ends][group] - total)
    visits.index_add_(0, entries, size)
    table.index_add_(0, ordered, step * later * error[order])
    return error


def _step_size(count: Tensor, alpha: float, alpha_power: float) -> Tensor:
    return alpha * count.to(torch.float64).pow(-alpha_power)
