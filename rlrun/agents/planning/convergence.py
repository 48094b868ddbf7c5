"""Whether sweeps have converged, and whether they ever will: undiscounted values may have no limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from rlrun.errors import UserError
from rlrun.numerics.bellman import Bellman
from rlrun.types import State

ROUNDING = 1e-13  # relative to the largest value: the rounding error of sums in float64
_LONGEST_PATIENCE = 10_000  # sweeps; a large model is looked at before its values have travelled through all of it
_MOST_STATES_TO_SOLVE = 2_000  # a dense matrix of 32 MB, solved in about a second


class NoLimitError(UserError):
    """Undiscounted values have no finite limit.

    Args:
        because: they grow or fall forever, repeat, or count on rewards that only cancel one another.
        states: [S] bool, where; None: nowhere in particular.
        message: the line.
    """

    def __init__(
        self, because: Literal["grow", "fall", "repeat", "cancel"], states: Tensor | None, message: str
    ) -> None:
        super().__init__(f"{message}; choose gamma below 1")
        self.because, self.states = because, states


class Convergence:
    """Watches the sweeps: have the values converged, and will they ever?

    With gamma below 1 they always do. With gamma 1 the residual never rises, but it may stay constant, which proves
    nothing: values may fall by a cent a sweep until a costly exit is worth taking. So after it has been constant for a
    while, a window of n sweeps is examined. The values never converge if, from the window's first to its last,

    - all values of a set of states rose, and what was played in the window neither leaves the set nor ends: playing
      it again raises them by as much again, and the best does at least that;
    - all values of a set of states fell, and nothing that can be played leaves the set or ends: whatever is played,
      they fall by as much again; or
    - all values came back, by the same actions, while sweeps still change them: from there everything repeats.

    Otherwise the next window is twice as long. So finite values are never refused; and if values grow or fall forever,
    a long enough window shows it in the states with the largest or the smallest gain.

    Args:
        tolerance: converged when no value changes by more in a sweep, or only by rounding; reward units.
        bellman: of the model.
        gamma: discount factor per step.
        period: sweeps after which the same operation repeats: 1, or the sweeps between two improvements of a policy.
    """

    def __init__(self, tolerance: float, bellman: Bellman, gamma: float, period: int = 1) -> None:
        self._tolerance, self._bellman, self._discounted, self._period = tolerance, bellman, gamma < 1.0, period
        self._patience = min(2 * bellman.num_states + 100, _LONGEST_PATIENCE)
        self.residual = float("inf")  # largest change of a value in the last sweep, reward units
        self.exact = False  # the last sweep changed no value by more than rounding
        self.restart()

    def restart(self) -> None:
        """Starts over, towards another fixed point."""
        self._least, self._waited, self._converged_sweeps = float("inf"), 0, 0
        self._close()

    @property
    def worth_a_look(self) -> bool:
        """Whether to examine values that have converged: in such a sweep number 1, 2, 4, 8 ..., and when exact."""
        return self.exact or self._converged_sweeps.bit_count() == 1

    def _close(self) -> None:
        self._first: Tensor | None = None  # [S] the window's first values
        self._first_played: Tensor | None = None  # [A, S] bool: what those are the values of
        self._played: Tensor | None = None  # [A, S] bool: all that was played in the window since
        self._seen, self._length = 0, self._patience  # sweeps

    def converged(self, residual: float, values: Tensor, played: Callable[[], Tensor], offered: Tensor) -> bool:
        """Records one sweep and says whether the values have converged.

        Args:
            residual: the largest change.
            values: [S] after the sweep; must not be written to afterwards.
            played: returns [A, S] bool, the actions that the sweep used.
            offered: [A, S] bool, the actions that any sweep could have used.

        Raises:
            NoLimitError: if values change forever.
        """
        self.residual = residual
        rounding = ROUNDING * float(values.abs().max())
        self.exact = residual <= rounding
        if self.exact or residual <= self._tolerance:
            self._converged_sweeps += 1
            return True
        self._converged_sweeps = 0
        if self._discounted:
            return False
        if residual < self._least * (1.0 - 1e-9):
            self._least, self._waited = residual, 0
            self._close()
            return False
        self._waited += 1
        if self._first is None or self._first_played is None or self._played is None:
            if self._waited >= self._patience:
                self._open(values, played())
            return False
        now = played()
        self._seen += 1
        self._played = self._played | now
        change = values - self._first
        same = self._seen % self._period == 0 and float(change.abs().max()) <= rounding
        if same and torch.equal(now, self._first_played):
            self._refuse("repeat", None, f"they repeat every {self._seen} sweeps")
        if self._seen == self._length:
            self._judge(change, rounding * self._seen, self._played, offered)
            self._open(values, now)
            self._seen, self._length = 0, 2 * self._length
        return False

    def _open(self, values: Tensor, played: Tensor) -> None:
        self._first, self._first_played, self._played = values, played, torch.zeros_like(played)

    def _judge(self, change: Tensor, rounding: float, played: Tensor, offered: Tensor) -> None:
        rising = self._bellman.trapped(change > rounding, played)
        if rising.any():
            self._refuse("grow", rising, f"in {_some(rising)}, they grow forever")
        falling = self._bellman.trapped(change < -rounding, offered)
        if falling.any():
            self._refuse("fall", falling, f"in {_some(falling)}, they fall forever")

    def refuse_promises(self, kept: Tensor) -> None:
        """Refuses values that have converged although no policy achieves them where `kept` [S] is False.

        Raises:
            NoLimitError: always.
        """
        raise NoLimitError(
            "cancel",
            ~kept,
            f"values have converged, but no policy achieves them in {_some(~kept)}: rewards that only cancel one "
            "another forever have no sum without discount",
        )

    def _refuse(self, because: Literal["grow", "fall", "repeat"], states: Tensor | None, why: str) -> None:
        raise NoLimitError(
            because,
            states,
            f"values still change by {self.residual:g} a sweep and will not stop: {why}, so they have no finite limit "
            "without discount",
        )

    def state_dict(self) -> State:
        """The counters and the window."""
        window = {"first": self._first, "first_played": self._first_played, "played": self._played}
        return {
            "residual": self.residual,
            "exact": self.exact,
            "converged_sweeps": self._converged_sweeps,
            "least": self._least,
            "waited": self._waited,
            "seen": self._seen,
            "length": self._length,
            **({} if self._first is None else window),
        }

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        device = self._bellman.legal.device
        self.residual, self._least, self._waited = state["residual"], state["least"], state["waited"]
        self.exact, self._converged_sweeps = state["exact"], state["converged_sweeps"]
        self._seen, self._length = state["seen"], state["length"]
        self._first = state["first"].to(device) if "first" in state else None
        self._first_played = state["first_played"].to(device) if "first" in state else None
        self._played = state["played"].to(device) if "first" in state else None


def _some(marked: Tensor) -> str:
    return f"{int(marked.sum()):,} states (such as state {int(marked.to(torch.uint8).argmax())})"


def solution_if_slow(bellman: Bellman, policy: Tensor, gamma: float, sweeps: int) -> Tensor | None:
    """The values of a policy from its linear equations, once so many sweeps were made that solving is faster.

    An undiscounted evaluation takes as many sweeps as episodes have steps: the random policy needs 65,375 to leave the
    cliff. None in any other sweep, where the model is large, or where values may have no limit.

    Args:
        bellman: of the model.
        policy: [A, S].
        gamma: discount factor per step.
        sweeps: how many have evaluated this policy so far.
    """
    num_states = bellman.num_states
    if sweeps != 10 * num_states + 1_000 or num_states > _MOST_STATES_TO_SOLVE:
        return None
    if gamma == 1.0 and bellman.trapped(~bellman.terminal, policy > 0).any():
        return None
    return bellman.solve(policy, gamma)
