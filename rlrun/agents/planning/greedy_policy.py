"""The greedy policy of a planner: among tied actions it takes those that achieve the values."""

from __future__ import annotations

import logging

from torch import Tensor

from rlrun.agents.planning.convergence import Convergence
from rlrun.numerics.bellman import Bellman, as_policy
from rlrun.numerics.tied_actions import Choice, choose, lowered
from rlrun.types import Tables

_LOG = logging.getLogger(__name__)


class GreedyPolicy:
    """A planner's actions, from its values.

    Args:
        bellman: of the model.
        gamma: discount factor per step.
    """

    def __init__(self, bellman: Bellman, gamma: float) -> None:
        self._bellman, self._gamma = bellman, gamma
        self._of: Tensor | None = None  # the Q that the choice was made from
        self._choice: Choice | None = None

    def choice(self, values: Tensor, q: Tensor) -> Choice:
        """The choice for these values [S] and q [A, S], which must not be written to; made once for each q."""
        if self._choice is None or self._of is not q:
            self._of, self._choice = q, choose(self._bellman, values, q, self._gamma)
        return self._choice

    def tables(self, values: Tensor, q: Tensor, margin: float) -> Tables:
        """V, Q, the policy, and all actions that are equally good within `margin`."""
        terminal = self._bellman.terminal
        action = as_policy(self.choice(values, q).action, self._bellman.num_actions).masked_fill_(terminal, 0.0)
        best = self._bellman.greedy_set(q, margin)
        columns = [column.T.cpu().numpy().copy() for column in (q, action, best)]
        return Tables(values.cpu().numpy().copy(), columns[0], columns[1], best=columns[2], gamma=self._gamma)

    def unfinished(self, values: Tensor, q: Tensor, convergence: Convergence) -> Tensor | None:
        """Values to continue sweeping from, although these have converged; None: the policy achieves them.

        Raises:
            NoLimitError: if no policy can achieve them.
        """
        if self._gamma < 1.0:
            return None
        if not convergence.worth_a_look:
            return values
        kept = self.choice(values, q).kept
        if kept.all():
            return None
        lower = lowered(self._bellman, values, q, kept)
        if lower is None:
            if convergence.exact:
                convergence.refuse_promises(kept)
            return values
        _LOG.info(
            f"lowered the values of {int((lower < values).sum()):,} states, which put off a cost forever: no policy "
            "achieves them"
        )
        convergence.restart()
        return lower
