"""When sweeps have settled, and whether they ever will: values without discount may have no limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from rlrun.errors import UserError
from rlrun.numerics.bellman import Bellman
from rlrun.types import State

ROUNDING = 1e-13  # of the largest value: what sums of float64 numbers leave
_LONGEST_PATIENCE = 10_000  # sweeps; a large model is looked at before its values have travelled through all of it
_MOST_STATES_TO_SOLVE = 2_000  # a dense matrix of 32 MB, solved in about a second


class NoLimitError(UserError):
    """Values have no finite limit without discount.

    Args:
        because: they grow or fall for ever, repeat, or are promises of rewards that only cancel one another.
        states: [S] bool, where; None: nowhere in particular.
        message: the line.
    """

    def __init__(
        self, because: Literal["grow", "fall", "repeat", "cancel"], states: Tensor | None, message: str
    ) -> None:
        super().__init__(f"{message}; choose gamma below 1")
        self.because, self.states = because, states


class Settling:
    """Watches sweep after sweep: have the values settled, and will they ever?

    Below gamma 1 they always do. With gamma 1 the residual never rises, but it may stand still, and that proves
    nothing: values may fall by a cent a sweep until a costly exit is worth taking. So when it has stood still for a
    while, a window of n sweeps is looked at. The values never settle if, from the window's first to its last,

    - all values of a set of states rose, and what was played in the window neither leaves the set nor ends: playing
      it again raises them by as much again, and the best does at least that;
    - all values of a set of states fell, and nothing that can be played leaves the set or ends: whatever is played,
      they fall by as much again; or
    - all values came back, by the same actions, while sweeps still change them: from there everything repeats.

    Where none of it holds, a window of twice the length is next. So finite values are never called endless; and if
    values grow or fall for ever, a long enough window shows it in the states with the largest or the smallest gain.

    Args:
        tolerance: settled when no value changed by more in one sweep, or by more than rounding; reward units.
        bellman: of the model.
        gamma: discount factor per step.
        period: sweeps after which the same is done again: 1, or how often a policy is improved between sweeps.
    """

    def __init__(self, tolerance: float, bellman: Bellman, gamma: float, period: int = 1) -> None:
        self._tolerance, self._bellman, self._discounted, self._period = tolerance, bellman, gamma < 1.0, period
        self._patience = min(2 * bellman.num_states + 100, _LONGEST_PATIENCE)
        self.residual = float("inf")  # largest change of a value in the last sweep, reward units
        self.exact = False  # the last sweep changed no value by more than rounding
        self.restart()

    def restart(self) -> None:
        """Another fixed point is looked for from here on."""
        self._least, self._waited, self._settled_sweeps = float("inf"), 0, 0
        self._close()

    @property
    def worth_a_look(self) -> bool:
        """Whether to look closely at values that have settled: at first, when twice as settled, and when exact."""
        return self.exact or self._settled_sweeps.bit_count() == 1

    def _close(self) -> None:
        self._first: Tensor | None = None  # [S] the window's first values
        self._first_played: Tensor | None = None  # [A, S] bool: what those are the values of
        self._played: Tensor | None = None  # [A, S] bool: all that was played in the window since
        self._seen, self._length = 0, self._patience  # sweeps

    def settled(self, residual: float, values: Tensor, played: Callable[[], Tensor], offered: Tensor) -> bool:
        """Takes note of one sweep.

        Args:
            residual: the largest change.
            values: [S] after the sweep; not to be written to afterwards.
            played: gives [A, S] bool, the actions that the sweep's values are those of.
            offered: [A, S] bool, the actions that any sweep might have played.

        Raises:
            NoLimitError: if values change for ever.
        """
        self.residual = residual
        rounding = ROUNDING * float(values.abs().max())
        self.exact = residual <= rounding
        if self.exact or residual <= self._tolerance:
            self._settled_sweeps += 1
            return True
        self._settled_sweeps = 0
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
            self._refuse("repeat", None, f"every {self._seen} sweeps they are the same again")
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
            self._refuse("grow", rising, f"in {_some(rising)}, they grow for ever")
        falling = self._bellman.trapped(change < -rounding, offered)
        if falling.any():
            self._refuse("fall", falling, f"in {_some(falling)}, they fall for ever")

    def refuse_promises(self, kept: Tensor) -> None:
        """Refuses values that stand still although no policy gets them where `kept` [S] is False.

        Raises:
            NoLimitError: always.
        """
        raise NoLimitError(
            "cancel",
            ~kept,
            f"values have settled, but no policy gets them in {_some(~kept)}: rewards that only cancel one another for "
            "ever have no sum without discount",
        )

    def _refuse(self, because: Literal["grow", "fall", "repeat"], states: Tensor | None, why: str) -> None:
        raise NoLimitError(
            because,
            states,
            f"values still change by {self.residual:g} a sweep and will not stop: {why}, so they have no finite limit "
            "without discount",
        )

    def state_dict(self) -> State:
        """How long it has waited, and the window."""
        window = {"first": self._first, "first_played": self._first_played, "played": self._played}
        return {
            "residual": self.residual,
            "exact": self.exact,
            "settled_sweeps": self._settled_sweeps,
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
        self.exact, self._settled_sweeps = state["exact"], state["settled_sweeps"]
        self._seen, self._length = state["seen"], state["length"]
        self._first = state["first"].to(device) if "first" in state else None
        self._first_played = state["first_played"].to(device) if "first" in state else None
        self._played = state["played"].to(device) if "first" in state else None


def _some(marked: Tensor) -> str:
    return f"{int(marked.sum()):,} states, such as number {int(marked.to(torch.uint8).argmax())}"


def solution_if_slow(bellman: Bellman, policy: Tensor, gamma: float, sweeps: int) -> Tensor | None:
    """The values of a policy from its linear equations, once it has taken so many sweeps that these are quicker.

    An evaluation without discount takes as long as episodes do: the random policy needs 65,375 steps to leave the
    cliff. None in any other sweep, where the model is large, or where values may have no limit.

    Args:
        bellman: of the model.
        policy: [A, S].
        gamma: discount factor per step.
        sweeps: that this policy has been evaluated by.
    """
    num_states = bellman.num_states
    if sweeps != 10 * num_states + 1_000 or num_states > _MOST_STATES_TO_SOLVE:
        return None
    if gamma == 1.0 and bellman.trapped(~bellman.terminal, policy > 0).any():
        return None
    return bellman.solve(policy, gamma)
