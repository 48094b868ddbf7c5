"""How many cores there are for a process, and how many others leave free."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from rlrun.compute import cores
from rlrun.compute.cores import available_cores, busy_cores, free_cores


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Of 16 hardware threads, 12 are for this process; the folder of its control groups, which limit nothing yet."""
    monkeypatch.setattr(cores, "_allowed", lambda: list(range(2, 14)))
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 16 if logical else 8)
    monkeypatch.setattr(cores, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "_OWN_CGROUPS", tmp_path / "own")
    (tmp_path / "cgroup" / "batch" / "job").mkdir(parents=True)
    (tmp_path / "own").write_text("0::/batch/job\n")
    return tmp_path / "cgroup"


def test_hardware_threads_of_one_core_count_once(eight_cores: Path) -> None:
    assert available_cores() == 8


def test_affinity_limits(eight_cores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_allowed", lambda: [3, 5, 7])
    assert available_cores() == 3


@pytest.mark.parametrize(
    ("limits", "cores"),
    [
        ({"batch/job": "max 100000"}, 8),
        ({"batch/job": "300000 100000"}, 3),
        ({"batch": "250000 100000", "batch/job": "max 100000"}, 2),  # whole cores only
        ({"batch": "400000 100000", "batch/job": "50000 100000"}, 1),
        ({"": "600000 100000"}, 6),  # as it is seen inside a container
    ],
)
def test_quotas_of_all_control_groups_above_limit(eight_cores: Path, limits: dict[str, str], cores: int) -> None:
    for folder, limit in limits.items():
        (eight_cores / folder / "cpu.max").write_text(f"{limit}\n")
    assert available_cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", 8), ("200000", 4)])
def test_quotas_of_version_1_limit(eight_cores: Path, quota: str, cores: int) -> None:
    folder = eight_cores / "cpu" / "job"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu.cfs_period_us").write_text("50000\n")
    (eight_cores.parent / "own").write_text("5:memory:/job\n4:cpuacct,cpu:/job\n0::/\n")
    assert available_cores() == cores


def test_a_system_without_control_groups_limits_nothing(eight_cores: Path) -> None:
    (eight_cores.parent / "own").unlink()
    assert available_cores() == 8


def test_only_cores_that_this_process_may_use_count_as_busy(eight_cores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    percent = [100.0, 100.0, 75.0, 50.0, *[0.0] * 11, 100.0]  # 0, 1 and 15 are for others
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: percent)
    assert busy_cores() == 1.25
    assert free_cores() == 7


@pytest.mark.parametrize(("busy", "free"), [(0.0, 3), (4.4, 3), (5.0, 3), (6.0, 2), (8.0, 1), (12.0, 1)])
def test_a_quota_and_other_work_limit_together(
    eight_cores: Path, monkeypatch: pytest.MonkeyPatch, busy: float, free: int
) -> None:
    (eight_cores / "cpu.max").write_text("300000 100000")
    monkeypatch.setattr(cores, "busy_cores", lambda: busy)
    assert free_cores() == free


def test_a_process_that_computes_is_seen() -> None:
    process = multiprocessing.get_context("spawn").Process(target=_compute, daemon=True)
    process.start()
    try:
        deadline = time.monotonic() + 20.0
        while busy_cores() < 0.8 and time.monotonic() < deadline:
            pass
        assert busy_cores() > 0.5
    finally:
        process.kill()
        process.join()


def _compute() -> None:
    while True:
        pass
