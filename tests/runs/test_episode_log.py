"""Logs of episodes that are cut off, and such as are damaged."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rlrun.errors import UserError
from rlrun.runs.episode_log import Block, Header, no_episodes, read_episode_log, restarts_at

HEADER = Header(num_envs=2, num_actions=4, seed=0)
NOTHING = restarts_at(0, np.zeros(0, np.int64))
LENGTH = struct.Struct("<I")


def blocks() -> list[bytes]:
    """Three of 50 rows each, of actions that do not compress to nothing."""
    rng = np.random.default_rng(0)
    actions = rng.integers(0, 4, (3, 50, 2)).astype(np.uint8)
    return [Block(rows, no_episodes(1), NOTHING).encoded() for rows in actions]


def written(path: Path, parts: Sequence[bytes]) -> Path:
    path.write_bytes(HEADER.encoded() + b"".join(parts))
    return path


def test_a_file_that_ends_inside_a_block_has_the_blocks_before(tmp_path: Path) -> None:
    first, second, third = blocks()
    for kept in range(len(third)):
        log = read_episode_log(written(tmp_path / "log", [first, second, third[:kept]]))
        assert (len(log.actions), len(log)) == (100, 2), f"{kept} bytes of the last block"
    assert len(read_episode_log(written(tmp_path / "log", [first, second, third])).actions) == 150


@pytest.mark.parametrize("damaged", [0, 1, 2])
@pytest.mark.parametrize("more", [1, 5, 1000, 1 << 24, -1, -20])
def test_a_length_that_is_wrong_hides_no_episode(tmp_path: Path, damaged: int, more: int) -> None:
    parts = blocks()
    (length,) = LENGTH.unpack(parts[damaged][:4])
    parts[damaged] = LENGTH.pack(length + more) + parts[damaged][4:]
    place = len(HEADER.encoded()) + sum(map(len, parts[:damaged]))
    with pytest.raises(UserError, match=rf"/log .* byte {place:,}$"):
        read_episode_log(written(tmp_path / "log", parts))


def test_a_length_of_nothing_is_damage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"/log .* byte "):
        read_episode_log(written(tmp_path / "log", [LENGTH.pack(0), *blocks()]))
