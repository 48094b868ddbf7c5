from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlrun.errors import UserError
from rlrun.replay.memory import (
    available_memory,
    estimate_bytes,
    left_in_control_groups,
    observation_bytes,
    require_disk,
    require_memory,
    require_memory_beside_disk,
)
from rlrun.replay.storage import MemoryStorage
from rlrun.replay.uniform import UniformReplay
from rlrun.types import EnvSpec

CPU = torch.device("cpu")
GIB = 2**30


def atari(num_envs: int = 1) -> EnvSpec:
    observation = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    return EnvSpec("pong", observation, spaces.Discrete(6), num_envs, frame_stack=4)


def cart_pole() -> EnvSpec:
    return EnvSpec("cart_pole", spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2), 3)


def test_a_hundred_thousand_atari_steps_take_less_than_three_quarters_of_a_gibibyte() -> None:
    for num_envs in (1, 8, 64):
        assert estimate_bytes(atari(num_envs), 100_000) < 0.75 * GIB


def test_estimate_by_hand_for_vectors() -> None:
    # 13 steps are 4 times of 3 slots. A step: two observations of 16 bytes, action 1, reward 4, discount 4, last 1.
    assert estimate_bytes(cart_pole(), 13) == 12 * (2 * 16 + 10) + 3 * 16


@pytest.mark.parametrize(
    "spec",
    [
        atari(1),
        atari(5),
        cart_pole(),
        EnvSpec("taxi", spaces.Discrete(500), spaces.Discrete(6), 4),
        EnvSpec("many", spaces.Box(-1, 1, (3, 2), np.float64), spaces.Discrete(300), 2),
    ],
    ids=lambda spec: spec.name,
)
def test_estimate_equals_what_is_allocated(spec: EnvSpec) -> None:
    for capacity_steps in (100, 1111):
        replay = UniformReplay(capacity_steps=capacity_steps, n_step=1, gamma=0.99, spec=spec, device=CPU)
        assert replay.num_bytes == estimate_bytes(spec, capacity_steps)


def test_describe_gives_one_line() -> None:
    memory = MemoryStorage(CPU)
    assert memory.describe(atari(), 100_000) == "replay: 100,000 steps, 0.66 GiB"
    assert memory.describe(cart_pole(), 10_000) == "replay: 10,000 steps, 0.40 MiB"


def test_too_much_is_refused_with_the_capacity_that_fits() -> None:
    with pytest.raises(UserError, match=r"1000000 .* 6\.\d\d GiB.* 2\.00 GiB") as error:
        require_memory(atari(), 1_000_000, 2 * GIB)
    fits = int(str(error.value).split("at most ")[1].split(" ")[0].replace(",", ""))
    assert estimate_bytes(atari(), fits) <= 2 * GIB < estimate_bytes(atari(), fits + 1)
    require_memory(atari(), fits, 2 * GIB)


def test_on_disk_are_observations_and_in_memory_the_rest() -> None:
    # By hand, 1,000 steps of 84 x 84 = 7,056 bytes a frame: one of zeros, 1,000 + 4 in the ring, 1 true last frame.
    assert observation_bytes(atari(), 1000) == (1 + 1004 + 1) * 7056
    # 13 steps are 4 times of 3 slots, two observations of 16 bytes each.
    assert observation_bytes(cart_pole(), 13) == 12 * 2 * 16
    # A step: action 1, reward 4, discount 4, last 1, age 1, serial 4. Then 4 more ages, the observation to come, and
    # how old each of 4 frames is.
    facts = 1000 * 15 + 4 + 4 * 7056 + 4 * 8
    assert estimate_bytes(atari(), 1000) - observation_bytes(atari(), 1000) == facts
    require_memory_beside_disk(atari(), 1000, facts)
    with pytest.raises(UserError, match=r"\b999 steps"):
        require_memory_beside_disk(atari(), 1000, facts - 1)


def test_too_little_disk_is_refused_with_the_capacity_that_fits(tmp_path: Path) -> None:
    room = observation_bytes(atari(), 1000)
    require_disk(atari(), 1000, room, tmp_path)
    with pytest.raises(UserError, match=rf"{tmp_path}: .*\b1,000 steps"):
        require_disk(atari(), 1024, room, tmp_path)


def test_a_replay_beyond_all_memory_is_refused_before_it_is_allocated() -> None:
    with pytest.raises(UserError, match=str(10**12)):
        UniformReplay(capacity_steps=10**12, n_step=1, gamma=0.99, spec=atari(), device=CPU)


def test_this_machine_has_some_memory() -> None:
    assert 2**20 < available_memory(CPU) < 2**50


def _group(directory: Path, files: dict[str, str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text)


def test_limits_of_control_groups_version_2_count_also_those_above(tmp_path: Path) -> None:
    _group(tmp_path / "proc/self", {"cgroup": "0::/job/step\n"})
    top = tmp_path / "sys/fs/cgroup"
    stat = "anon 1\ninactive_file 30\n"
    _group(top / "job", {"memory.max": "1000\n", "memory.current": "600\n", "memory.stat": stat})
    _group(top / "job/step", {"memory.max": "max\n", "memory.current": "500\n", "memory.stat": stat})
    assert left_in_control_groups(tmp_path) == [1000 - 600 + 30]


def test_limits_of_control_groups_version_1(tmp_path: Path) -> None:
    _group(tmp_path / "proc/self", {"cgroup": "9:name=systemd:/\n4:cpu,memory:/job\n0::/\n"})
    files = {"memory.limit_in_bytes": "1000", "memory.usage_in_bytes": "1200", "memory.stat": "total_inactive_file 50"}
    _group(tmp_path / "sys/fs/cgroup/memory/job", files)
    assert left_in_control_groups(tmp_path) == [0]


def test_no_control_groups_limit_nothing(tmp_path: Path) -> None:
    assert left_in_control_groups(tmp_path) == []
