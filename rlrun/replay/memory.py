"""How much memory or disk a replay needs, and whether it is there: checked at the start, not hours into a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import torch

from rlrun.errors import ArgumentError
from rlrun.types import EnvSpec, Space, bytes_of

STEPS_PER_FINAL = 512  # initial room for true last frames: one per this many steps; doubled when full
_GIB = 2**30


def action_dtype(num_actions: int) -> torch.dtype:
    """The smallest integer dtype that holds actions 0 ... num_actions - 1."""
    if num_actions <= 2**8:
        return torch.uint8
    return torch.int16 if num_actions <= 2**15 else torch.int32


def torch_dtype(space: Space) -> torch.dtype:
    """The dtype in which elements of a space are kept."""
    dtype: torch.dtype = getattr(torch, str(space.dtype))
    return dtype


def kept_parts(spec: EnvSpec) -> dict[str, Space]:
    """The parts of observations that a replay keeps: all but a simulator's state."""
    return {name: space for name, space in spec.parts_of_observation.items() if name != "state"}


def initial_finals(length: int, num_envs: int) -> int:
    """The initial room for true last frames."""
    return max(1, length * num_envs // STEPS_PER_FINAL)


def estimate_bytes(spec: EnvSpec, capacity_steps: int) -> int:
    """The bytes that `UniformReplay` allocates for `capacity_steps` agent steps, with all extras of `spec`.

    With stacked frames there is room for one end of an episode in 512 steps; shorter episodes take one more frame each,
    later.
    """
    return _fact_bytes(spec, capacity_steps) + observation_bytes(spec, capacity_steps)


def observation_bytes(spec: EnvSpec, capacity_steps: int) -> int:
    """The bytes of observations and extras, which may be kept on disk."""
    length = capacity_steps // spec.num_envs
    seen, all_parts = bytes_of(spec.obs_space), sum(map(bytes_of, kept_parts(spec).values()))
    beside = length * spec.num_envs * (2 * (all_parts - seen) + sum(map(bytes_of, spec.extras.values())))
    if spec.frame_stack == 1:
        return beside + 2 * length * spec.num_envs * seen
    ring = (length + spec.frame_stack) * spec.num_envs
    return beside + (1 + ring + initial_finals(length, spec.num_envs)) * (seen // spec.frame_stack)


def _fact_bytes(spec: EnvSpec, capacity_steps: int) -> int:
    """The bytes that are always in memory."""
    length = capacity_steps // spec.num_envs
    step_bytes = action_dtype(spec.num_actions).itemsize + 4 + 4 + 1  # reward, discount, last
    upcoming = sum(map(bytes_of, kept_parts(spec).values()))  # the next observation
    facts = spec.num_envs * (length * step_bytes + upcoming)
    if spec.frame_stack == 1:
        return facts
    ages = (length + spec.frame_stack) * spec.num_envs
    serials = 4 * length * spec.num_envs
    return facts + ages + serials + 8 * spec.frame_stack


def describe(capacity_steps: int, in_memory: int, on_disk: int = 0, folder: Path | None = None) -> str:
    """One line for the log, such as `replay: 100,000 steps, 0.66 GiB`; arguments in bytes."""
    place = f" in memory, {readable(on_disk)} on disk in {folder}" if folder is not None else ""
    return f"replay: {capacity_steps:,} steps, {readable(in_memory)}{place}"


def require_memory(spec: EnvSpec, capacity_steps: int, available_bytes: int) -> None:
    """Refuses a replay that would not fit in memory.

    Raises:
        ArgumentError: if it needs more than `available_bytes`; names the capacity that would fit.
    """
    _require(
        capacity_steps,
        available_bytes,
        lambda steps: estimate_bytes(spec, steps),
        "are available",
        "; storage=disk keeps observations in a file instead",
    )


def require_memory_beside_disk(spec: EnvSpec, capacity_steps: int, available_bytes: int) -> None:
    """Refuses a replay on disk whose part in memory would not fit.

    Raises:
        ArgumentError: if that needs more than `available_bytes`; names the capacity that would fit.
    """
    _require(
        capacity_steps,
        available_bytes,
        lambda steps: _fact_bytes(spec, steps),
        "of memory are available for the part that is not on disk",
    )


def require_disk(spec: EnvSpec, capacity_steps: int, free_bytes: int, folder: Path) -> None:
    """Refuses a replay that would not fit on disk.

    Raises:
        ArgumentError: if it needs more than the `free_bytes` on `folder`'s file system; names the capacity that fits.
    """
    _require(
        capacity_steps,
        free_bytes,
        lambda steps: observation_bytes(spec, steps),
        f"are free on the disk of {folder}",
        "; folder=DIR uses another disk",
    )


def _require(capacity_steps: int, room: int, need: Callable[[int], int], where: str, advice: str = "") -> None:
    needed = need(capacity_steps)
    if needed <= room:
        return
    low, high = 0, capacity_steps  # needs grow with capacity: bisect for the largest that fits
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if need(middle) <= room else (low, middle)
    raise ArgumentError(
        "capacity_steps",
        f"={capacity_steps} needs {readable(needed)}, but {readable(room)} {where}: at most {low:,} steps fit{advice}",
    )


def available_memory(device: torch.device) -> int:
    """Bytes that can still be allocated on `device`, within the limits of control groups."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([int(psutil.virtual_memory().available), *left_in_control_groups(Path("/"))])


def left_in_control_groups(root: Path) -> list[int]:
    """The bytes left by the limits of this process's control groups (version 1 or 2) and their parents."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, limit_file, usage_file, cache = "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            mount, limit_file, usage_file = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        top = root / mount
        group = top / path.lstrip("/")
        for directory in (group, *group.parents):
            if directory != top and top not in directory.parents:
                break
            try:
                limit = (directory / limit_file).read_text().strip()
                usage = int((directory / usage_file).read_text())
                facts = dict(entry.split(" ", 1) for entry in (directory / "memory.stat").read_text().splitlines())
            except OSError:
                continue  # inside a container, paths outside it are listed but not mounted
            if limit != "max":
                left.append(max(0, int(limit) - usage + int(facts.get(cache, 0))))  # the page cache can be dropped
    return left


def readable(count: int) -> str:
    """Bytes in GiB, or in MiB if few."""
    return f"{count / _GIB:,.2f} GiB" if count >= _GIB // 100 else f"{count / 2**20:.2f} MiB"
