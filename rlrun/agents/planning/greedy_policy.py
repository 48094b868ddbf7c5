"""The greedy policy of a planner: of tied actions it takes those that get what the values claim."""

from __future__ import annotations

import logging

from torch import Tensor

from rlrun.agents.planning.settling import Settling
from rlrun.numerics.bellman import Bellman, as_policy
from rlrun.numerics.tied_actions import Choice, choose, lowered
from rlrun.types import Tables

_LOG = logging.getLogger(__name__)


class GreedyPolicy:
    """How a planner acts on its values.

    Args:
        bellman: of the model.
        gamma: discount factor per step.
    """

    def __init__(self, bellman: Bellman, gamma: float) -> None:
        self._bellman, self._gamma = bellman, gamma
        self._of: Tensor | None = None  # the Q that was chosen by
        self._choice: Choice | None = None

    def choice(self, values: Tensor, q: Tensor) -> Choice:
        """By these values [S] and q [A, S], which are never written to; chosen once for each q."""
        if self._choice is None or self._of is not q:
            self._of, self._choice = q, choose(self._bellman, values, q, self._gamma)
        return self._choice

    def tables(self, values: Tensor, q: Tensor, margin: float) -> Tables:
        """V, Q, the policy that acts, and all actions that are equally good within `margin`."""
        terminal = self._bellman.terminal
        action = as_policy(self.choice(values, q).action, self._bellman.num_actions).masked_fill_(terminal, 0.0)
        best = self._bellman.greedy_set(q, margin)
        columns = [column.T.cpu().numpy().copy() for column in (q, action, best)]
        return Tables(values.cpu().numpy().copy(), columns[0], columns[1], best=columns[2], gamma=self._gamma)

    def unfinished(self, values: Tensor, q: Tensor, settling: Settling) -> Tensor | None:
        """Values to continue sweeping from, although these have settled; None: this policy gets them.

        Raises:
            NoLimitError: if no policy will ever get them.
        """
        if self._gamma < 1.0:
            return None
        if not settling.worth_a_look:
            return values
        kept = self.choice(values, q).kept
        if kept.all():
            return None
        lower = lowered(self._bellman, values, q, kept)
        if lower is None:
            if settling.exact:
                settling.refuse_promises(kept)
            return values
        _LOG.info(
            f"values of {int((lower < values).sum()):,} states put off a cost for ever, which no policy gets: lowered"
        )
        settling.restart()
        return lower
