"""Which of several equally good actions to take, so that the policy achieves its values.

Without discount any action that keeps the value ties with one that makes progress: before a goal that pays 1, walking
into a wall is worth 1 too, forever. A policy of tied actions achieves its values if with probability 1 it reaches an
end, or states worth 0 in which it stays without reward (Bertsekas and Tsitsiklis 1991 call it proper; Puterman 1994,
section 7.2, equalizing). So it heads for ends first, then for such states, in the fewest expected steps.

Where neither can be reached, no policy achieves the value: where waiting is free, sweeps from 0 put off a cost forever.
`lowered` corrects that.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rlrun.numerics.bellman import TIE, Bellman, lowest

_LONGER = 0.01  # of a step: where sweeps for the fewest expected steps stop, which makes them at most 1% too many


class Choice(NamedTuple):
    """One action of each state, and whether it achieves the state's value."""

    action: Tensor  # [S] int64; 0 in terminal states
    kept: Tensor  # [S] bool; True in terminal states


def choose(bellman: Bellman, values: Tensor, q: Tensor, gamma: float) -> Choice:
    """Among the actions of largest q, one in each state that achieves it.

    With gamma below 1 the first of them will do: an action that falls short by e loses e / (1 − gamma) at most, so ties
    are narrower by (1 − gamma). With gamma 1 a policy loses in a state at most its tie times the expected steps, and
    among tied policies this is, within 1%, the one with the fewest.

    Args:
        bellman: of the model.
        values: [S], terminal states 0.
        q: [A, S], of the same sweep as the values.
        gamma: discount factor per step.
    """
    if gamma < 1.0:
        tied = bellman.greedy_set(q, tie=TIE * (1.0 - gamma))
        return Choice(lowest(tied), torch.ones_like(bellman.terminal))
    tied = bellman.greedy_set(q)
    nowhere = torch.zeros_like(bellman.terminal)
    action, kept = _quickest(bellman, tied, nowhere)
    if not kept.all():
        resting, staying = staying_free(bellman, ~kept & (values.abs() <= TIE), tied)
        towards, sure = _quickest(bellman, tied, resting | kept)
        towards = torch.where(resting, lowest(staying), towards)
        action, kept = torch.where(kept, action, towards), kept | sure
    return Choice(torch.where(kept, action, lowest(tied)), kept)


def staying_free(bellman: Bellman, within: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """The largest part of the states `within` [S] in which one can stay forever without reward, and how.

    Returns:
        [S] bool, and those of `pairs` [A, S] that earn nothing and stay there, [A, S] bool.
    """
    inside = within & ~bellman.terminal
    while True:
        staying = pairs & bellman.free & ~bellman.leaving(inside) & inside
        remaining = staying.any(dim=0)
        if torch.equal(remaining, inside):
            return inside, staying
        inside = remaining


def keeps_promises(bellman: Bellman, values: Tensor, policy: Tensor) -> bool:
    """Whether a policy of tied actions reaches, from everywhere, an end, or states worth 0 to stay in without reward.

    Args:
        bellman: of the model.
        values: [S].
        policy: [A, S].
    """
    played = policy > 0
    worthless = (values.abs() <= TIE) & ~(played & ~bellman.free).any(dim=0)
    resting = bellman.trapped(worthless, played)
    return not bool(bellman.trapped(~resting, played).any())


def lowered(bellman: Bellman, values: Tensor, q: Tensor, kept: Tensor) -> Tensor | None:
    """Values that no longer put off a cost forever; None where none did.

    Where one can stay without reward, a state is worth no more than its best way out, or 0 for staying. Further sweeps
    spread the best way out among those states, and find the largest values that some policy achieves.

    Args:
        bellman: of the model.
        values: [S], converged, and no less than the best policy's.
        q: [A, S], their backup.
        kept: [S] bool, where `choose` found an action that achieves the value.
    """
    waiting, staying = staying_free(bellman, ~kept, bellman.greedy_set(q))
    way_out = q.masked_fill(staying, -torch.inf).amax(dim=0).clamp(min=0.0)
    lower = torch.where(waiting, torch.minimum(values, way_out), values)
    return lower if bool((values - lower > TIE * values.abs().clamp(min=1.0)).any()) else None


def _quickest(bellman: Bellman, pairs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The way to an end or to `target` [S] bool by `pairs` [A, S] with probability 1, in the fewest expected steps.

    Returns:
        [S] int64, the action, which is valid only where there is such a way; [S] bool, where there is.
    """
    arrived = target | bellman.terminal
    sure = ~arrived
    while True:  # an action that may leave the remaining states leads to where there is no way
        allowed = pairs & ~(bellman.following((~sure & ~arrived).to(torch.float64)) > 0)
        steps = _fewest_possible_steps(bellman, allowed, sure, arrived)
        remaining = sure & torch.isfinite(steps)
        if torch.equal(remaining, sure):
            break
        sure = remaining
    # From below: steps grow towards the fewest expected ones. Once none grows by a whole step, the current
    # actions reach the end: in states that they never leave, the average growth would be the step that each costs.
    steps = torch.where(sure, steps, 0.0)
    while True:
        each = bellman.following(steps).add_(1.0).masked_fill_(~allowed, torch.inf)
        fewest = torch.where(sure, each.amin(dim=0), 0.0)
        growth = float((fewest - steps).max())
        steps = fewest
        if growth <= _LONGER:
            return lowest(each <= fewest * (1.0 + TIE)), sure | arrived


def _fewest_possible_steps(bellman: Bellman, pairs: Tensor, within: Tensor, arrived: Tensor) -> Tensor:
    """In how many steps `pairs` [A, S] may lead from states `within` [S] to an end or to `arrived` [S]: [S] float64."""
    steps = torch.where(arrived, 0.0, torch.inf).to(torch.float64)
    step = 0.0
    while True:
        step += 1.0
        reaching = (bellman.leaving(steps == torch.inf) & pairs).any(dim=0) & within & (steps == torch.inf)
        if not reaching.any():
            return steps
        steps = torch.where(reaching, step, steps)
