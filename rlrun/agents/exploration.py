"""How an agent explores."""

from __future__ import annotations

from dataclasses import dataclass

from rlrun.numerics.schedules import Schedule, require_probability


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplorationSettings:
    """A random action with probability epsilon, otherwise the one with the highest value.

    Args:
        epsilon: in training, by agent step.

    Raises:
        ArgumentError: if `epsilon` is not a probability at some step.
    """

    epsilon: Schedule

    def __post_init__(self) -> None:
        require_probability(self.epsilon, "epsilon")
