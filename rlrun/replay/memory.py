"""How much memory a replay needs, and whether there is as much: refused at the start, not hours into a run."""

from __future__ import annotations

from pathlib import Path

import psutil  # type: ignore[import-untyped]
import torch

from rlrun.errors import UserError
from rlrun.replay.frames import initial_finals
from rlrun.replay.observations import observation_dtype
from rlrun.types import EnvSpec

_GIB = 2**30


def action_dtype(num_actions: int) -> torch.dtype:
    """The smallest integer dtype that holds actions 0 ... num_actions - 1."""
    if num_actions <= 2**8:
        return torch.uint8
    return torch.int16 if num_actions <= 2**15 else torch.int32


def estimate_bytes(spec: EnvSpec, capacity_steps: int) -> int:
    """What `UniformReplay` allocates for `capacity_steps` agent steps, in bytes.

    With stacked frames there is room for one time limit or end of an episode in 512 steps; shorter episodes take one
    frame more each, later.
    """
    length = capacity_steps // spec.num_envs
    obs_bytes = observation_dtype(spec).itemsize
    for size in spec.obs_shape:
        obs_bytes *= size
    step_bytes = action_dtype(spec.num_actions).itemsize + 4 + 4 + 1  # reward, discount, last
    facts = length * spec.num_envs * step_bytes + spec.num_envs * obs_bytes  # and the observation to come
    if spec.frame_stack == 1:
        return facts + 2 * length * spec.num_envs * obs_bytes
    plane_bytes = obs_bytes // spec.frame_stack
    ring = (length + spec.frame_stack) * spec.num_envs
    finals = initial_finals(length, spec.num_envs)
    serials = 4 * length * spec.num_envs
    return facts + (1 + ring + finals) * plane_bytes + ring + serials + 8 * spec.frame_stack


def describe(spec: EnvSpec, capacity_steps: int) -> str:
    """One line for people, such as `replay: 100,000 steps, 0.66 GiB`."""
    return f"replay: {capacity_steps:,} steps, {_readable(estimate_bytes(spec, capacity_steps))}"


def require_memory(spec: EnvSpec, capacity_steps: int, available_bytes: int) -> None:
    """Refuses a replay that would not fit.

    Raises:
        UserError: if it needs more than `available_bytes`; says which capacity would fit.
    """
    needed = estimate_bytes(spec, capacity_steps)
    if needed <= available_bytes:
        return
    low, high = 0, capacity_steps  # estimates grow with capacity: bisect for the largest that fits
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if estimate_bytes(spec, middle) <= available_bytes else (low, middle)
    raise UserError(
        f"a replay of {capacity_steps:,} steps needs {_readable(needed)} but {_readable(available_bytes)} are "
        f"available: at most {low:,} steps fit"
    )


def available_memory(device: torch.device) -> int:
    """Bytes that can still be allocated on `device`, a control group's limit respected."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([int(psutil.virtual_memory().available), *left_in_control_groups(Path("/"))])


def left_in_control_groups(root: Path) -> list[int]:
    """What the limits of this process's control groups (version 1 or 2) and of those above them leave."""
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
                continue  # inside a container, paths outside of it are named but not mounted
            if limit != "max":
                left.append(max(0, int(limit) - usage + int(facts.get(cache, 0))))  # cached files make way
    return left


def _readable(count: int) -> str:
    """Bytes in GiB, or MiB where that says more."""
    return f"{count / _GIB:,.2f} GiB" if count >= _GIB // 100 else f"{count / 2**20:.2f} MiB"
