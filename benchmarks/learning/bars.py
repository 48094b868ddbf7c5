"""Learning bars: what an agent must reach, in how many agent steps, for how many of its seeds. A YAML file each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
BARS, RESULTS = HERE / "bars", HERE / "results"
PROTOCOL, EPISODES, EVALUATION_SEED = "own", 100, 0  # of the fresh episodes that decide about every bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A published number.

    Args:
        value: the mean return.
        source: who published it.
        protocol: how it was measured, which is seldom as here.
    """

    value: float
    source: str
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One file of `bars/`.

    Args:
        name: of the file, without its ending.
        title: agent and environment, for people.
        overrides: the experiment, as after `rlrun`.
        seeds: of its runs.
        budget_steps: agent steps.
        evaluation: how the final policy is evaluated, in words; the numbers themselves are overrides.
        threshold: what the mean return of the final policy must reach.
        needed: how many seeds must reach it.
        anchors: published numbers.
        most_minutes: wall time that a run may take; None: any.
        notes: what was tried, and what else must be known.
    """

    name: str
    title: str
    overrides: Sequence[str]
    seeds: Sequence[int]
    budget_steps: int
    evaluation: str
    threshold: float
    needed: int
    anchors: Sequence[Anchor]
    most_minutes: float | None = None
    notes: Sequence[str] = ()

    @property
    def arguments(self) -> list[str]:
        """The overrides, with the budget."""
        return [*self.overrides, f"total_steps={self.budget_steps}"]

    @property
    def results(self) -> Path:
        """The numbers of its finished runs: a row for each seed."""
        return RESULTS / f"{self.name}.csv"

    @property
    def curves(self) -> Path:
        """The evaluations during training of its finished runs."""
        return RESULTS / f"{self.name}_curves.csv"


def load_bar(path: Path) -> Bar:
    """Reads a file.

    Raises:
        SystemExit: if it is not a bar.
    """
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    known = {field.name for field in fields(Bar)} - {"name"}
    if not isinstance(content, dict) or not content.keys() <= known:
        raise SystemExit(f"{path} is not a bar: its keys must be among {', '.join(sorted(known))}")
    try:
        anchors = [Anchor(**anchor) for anchor in content.pop("anchors")]
        bar = Bar(name=path.stem, anchors=anchors, **content)
    except (TypeError, KeyError) as error:
        raise SystemExit(f"{path} is not a bar: {error}") from error
    if not 1 <= bar.needed <= len(bar.seeds):
        raise SystemExit(f"{path}: needed={bar.needed} must be from 1 to the number of seeds, {len(bar.seeds)}")
    return bar


def load_bars(names: Sequence[str] = (), folder: Path = BARS) -> list[Bar]:
    """The bars with these names; all of them where none is given.

    Raises:
        SystemExit: if there is no such bar.
    """
    paths = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    for name in names:
        if name not in paths:
            raise SystemExit(f"there is no bar {name}; available: {', '.join(paths)}")
    return [load_bar(paths[name]) for name in names or paths]
