"""The libraries that rlrun is compared with, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tianshou_workloads import DIFFERENCES, tianshou_settings
from workloads import WORKLOADS, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One library.

    Args:
        name: as it calls itself.
        version: that the settings are for.
        program: runs it in a separate process; in this directory.
        csv: the comparison's file in `benchmarks/results`.
        settings: what its program is given for a workload.
        differences: what differs, by workload.
        with_ceilings: whether the machine's ceilings are measured in its rounds; once is enough for the page.
    """

    name: str
    version: str
    program: str
    csv: str
    settings: Callable[[Workload], dict[str, Any]]
    differences: Mapping[str, Sequence[str]]
    with_ceilings: bool

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    @property
    def path(self) -> Path:
        """Its program."""
        return Path(__file__).resolve().parent / self.program


SB3 = Peer(
    name="stable-baselines3",
    version="2.9.2",
    program="peer_sb3.py",
    csv="speed.csv",
    settings=Workload.peer_settings,
    differences={name: workload.differences for name, workload in WORKLOADS.items()},
    with_ceilings=True,
)
TIANSHOU = Peer(
    name="Tianshou",
    version="2.0.1",
    program="peer_tianshou.py",
    csv="speed_tianshou.csv",
    settings=tianshou_settings,
    differences=DIFFERENCES,
    with_ceilings=False,
)
PEERS = {"sb3": SB3, "tianshou": TIANSHOU}
