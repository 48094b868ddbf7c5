"""How many cores a process may use, and how many of them are free."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor
from pathlib import Path

import psutil  # type: ignore[import-untyped]

_LOOKING_SECONDS = 0.25  # how long other processes are observed; the kernel counts in hundredths of a second
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


def available_cores() -> int:
    """Cores that this process may use: under `taskset`, batch systems and containers fewer than the machine has."""
    allowed = len(_allowed())
    physical = psutil.cpu_count(logical=False) or allowed
    quota = min(_quotas(), default=float(allowed))
    return max(1, min(allowed, physical, floor(quota)))


def busy_cores() -> float:
    """How many of the cores that this process may run on are busy now, with any process; blocks while it measures."""
    percent: list[float] = psutil.cpu_percent(interval=_LOOKING_SECONDS, percpu=True)
    return sum(percent[core] for core in _allowed() if core < len(percent)) / 100.0


def free_cores() -> int:
    """How many of the available cores are free now, at least 1; a core that is at most half busy counts as free.

    More threads than free cores are slower than a single one: each waits for all others at every layer.
    """
    allowed = len(_allowed())
    physical = min(allowed, psutil.cpu_count(logical=False) or allowed)
    return max(1, min(available_cores(), physical - floor(busy_cores() + 0.5)))


def _allowed() -> list[int]:
    """The cores, by number, on which this process may run."""
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):
        return list(process.cpu_affinity())
    return list(range(psutil.cpu_count() or 1))


def _quotas() -> Iterator[float]:
    """The CPU limit, in cores, of each control group above this process (man 7 cgroups)."""
    for folder in _control_groups():
        try:
            if (limit := folder / "cpu.max").is_file():  # version 2
                quota, period = limit.read_text().split()
            elif (limit := folder / "cpu.cfs_quota_us").is_file():  # version 1
                quota, period = limit.read_text().strip(), (folder / "cpu.cfs_period_us").read_text().strip()
            else:
                continue
            if quota not in ("max", "-1"):
                yield int(quota) / int(period)
        except OSError:
            continue  # not readable by this user


def _control_groups() -> Iterator[Path]:
    """Folders of the control groups that this process is in, and of those above them."""
    try:
        lines = _OWN_CGROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root = _CGROUPS
        elif "cpu" in controllers.split(","):
            root = _CGROUPS / "cpu"
        else:
            continue
        inside = root / path.lstrip("/")
        yield from (folder for folder in (inside, *inside.parents) if folder == root or root in folder.parents)
