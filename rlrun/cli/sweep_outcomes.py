"""How the runs of one command ended: what a sweep says of those that failed, when the others are done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rlrun.errors import UserError
from rlrun.runs.interruption import Interrupted


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Filled while the runs are carried out in this process; other launchers' runs report by themselves."""

    begun: list[Sequence[str]] = field(default_factory=list)  # the overrides of each run
    refused: list[tuple[Sequence[str], UserError]] = field(default_factory=list)
    stopped: list[Interrupted] = field(default_factory=list)

    def failures(self) -> list[str]:
        """Lines on how many failed, which and why; none if none did."""
        said = [_line(self._name(overrides), error) for overrides, error in self.refused]
        head = f"{len(said)} of {len(self.begun)} failed:"
        return [f"{head} {said[0]}"] if len(said) == 1 else [head, *(f"  {line}" for line in said)] if said else []

    def _name(self, overrides: Sequence[str]) -> str:
        """A run by the overrides that not all of them have."""
        own = [override for override in overrides if not all(override in others for others in self.begun)]
        return " ".join(own or overrides)


def _line(name: str, error: UserError) -> str:
    """Which run failed and why; the name once, where the error begins with it."""
    why = " ".join(str(error).split())
    return why if why.startswith(f"{name}: ") else f"{name}: {why}"
