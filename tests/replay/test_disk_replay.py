"""A replay on disk holds and draws what one in memory does, leaves nothing behind, and a full disk is one line."""

import copy
import errno
import os
import pickle
import random
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from kill_stress import WORKLOADS, Plan, differences, directory_of, plans_for, stress
from small_disk import small_disk_at

from rlrun.cli.main import run_command
from rlrun.errors import UserError
from rlrun.protocols import Replay
from rlrun.replay.disk import DiskRows, DiskStorage, open_storage
from rlrun.replay.memory import observation_bytes
from rlrun.replay.storage import MemoryStorage
from rlrun.replay.uniform import UniformReplay
from rlrun.runs.state_comparison import first_difference
from rlrun.testing.agent import same
from rlrun.testing.replay import Player, ReplayContract
from rlrun.types import Batch, EnvSpec

CPU = torch.device("cpu")
MIB = 2**20


def on_disk(
    spec: EnvSpec, folder: Path, capacity_steps: int = 48, n_step: int = 1, gamma: float = 0.9
) -> UniformReplay:
    return UniformReplay(
        capacity_steps=capacity_steps,
        n_step=n_step,
        gamma=gamma,
        spec=spec,
        device=CPU,
        storage=DiskStorage(folder),
    )


class TestReplayOnDisk(ReplayContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self, spec: EnvSpec, capacity_steps: int, n_step: int, gamma: float) -> Replay:
        return on_disk(spec, self.folder, capacity_steps, n_step, gamma)


class TestFrameReplayOnDisk(TestReplayOnDisk):
    frame_stack = 4


def assert_equal(left: Batch, right: Batch) -> None:
    assert first_difference(left, right) is None


@pytest.mark.parametrize("frame_stack", [1, 4])
@pytest.mark.parametrize(("num_envs", "n_step"), [(1, 1), (3, 3)])
def test_draws_what_a_replay_in_memory_draws(frame_stack: int, num_envs: int, n_step: int, tmp_path: Path) -> None:
    player = Player(num_envs, frame_stack, 3)
    disk = on_disk(player.spec, tmp_path, 24 * num_envs, n_step)
    memory = UniformReplay(capacity_steps=24 * num_envs, n_step=n_step, gamma=0.9, spec=player.spec, device=CPU)
    for turn in range(60):  # wraps around the 24 rows seven times
        rollout = player.play(1 + turn % 6)
        disk.extend(rollout)
        memory.extend(rollout)
        if len(memory) > 0:
            assert_equal(*(each.sample(50, torch.Generator().manual_seed(turn)) for each in (disk, memory)))
    assert disk.num_bytes == memory.num_bytes


def test_the_pool_of_last_frames_grows_on_disk(tmp_path: Path) -> None:
    player = Player(2, 4, 0)
    disk = on_disk(player.spec, tmp_path, 40)
    memory = UniformReplay(capacity_steps=40, n_step=1, gamma=0.9, spec=player.spec, device=CPU)
    shape = (5, 2)
    steps = np.arange(10).reshape(shape)
    for turn in range(30):  # every step ends an episode
        rollout = player.follow(steps % 5, steps + 0.5, np.ones(shape), np.ones(shape, bool))
        disk.extend(rollout)
        memory.extend(rollout)
        assert_equal(*(each.sample(50, torch.Generator().manual_seed(turn)) for each in (disk, memory)))


def test_batches_come_to_the_device_of_the_agent(tmp_path: Path) -> None:
    player = Player(2, 4, 0)
    elsewhere = torch.device("meta")
    storage = DiskStorage(tmp_path)
    replay = UniformReplay(capacity_steps=40, n_step=1, gamma=0.9, spec=player.spec, device=elsewhere, storage=storage)
    replay.extend(player.play(9))
    batch = replay.sample(7, torch.Generator().manual_seed(0))
    assert {item.device for item in batch[:7]} == {elsewhere}
    assert batch.obs.shape == (7, 4, 2, 2)


def test_two_replays_in_one_folder_share_nothing_and_nobody_sees_them(tmp_path: Path) -> None:
    first, second = Player(1, 4, 0), Player(1, 4, 1)
    replays = [on_disk(player.spec, tmp_path) for player in (first, second)]
    alone = UniformReplay(capacity_steps=48, n_step=1, gamma=0.9, spec=first.spec, device=CPU)
    rollout = first.play(20)
    replays[0].extend(rollout)
    alone.extend(rollout)
    second.play(1)
    replays[1].extend(second.play(20))
    assert_equal(*(each.sample(50, torch.Generator().manual_seed(0)) for each in (replays[0], alone)))
    assert list(tmp_path.iterdir()) == []


def test_file_systems_without_nameless_files_serve_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refusing(path: Path, flags: int, *args: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, *args)

    monkeypatch.setattr("rlrun.replay.disk.os.open", refusing)
    stored = DiskStorage(tmp_path).allocate((3, 2), torch.int64)
    stored.write(1, torch.tensor([[5, 6], [7, 8]]))
    assert stored.tensor.tolist() == [[0, 0], [5, 6], [7, 8]]
    assert list(tmp_path.iterdir()) == []


def test_what_is_going_to_be_read_is_asked_for_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = DiskStorage(tmp_path).allocate((10, 4), torch.uint8)
    asked = []
    monkeypatch.setattr("rlrun.replay.disk.os.posix_fadvise", lambda _, start, size, how: asked.append((start, size)))
    stored.expect(torch.tensor([[5, 6, 7], [0, 6, 2]]))
    assert asked == [(0, 4), (8, 4), (20, 12)]


def test_the_map_outlives_the_file(tmp_path: Path) -> None:
    stored = DiskStorage(tmp_path).allocate((4, 2), torch.float32)
    stored.write(3, torch.tensor([[1.5, 2.5]]))
    tensor = stored.tensor
    del stored
    assert tensor[3].tolist() == [1.5, 2.5]


# What keys choose


def test_the_file_is_on_the_disk_of_the_run_whether_that_exists_or_not(tmp_path: Path) -> None:
    storage = open_storage("disk", None, tmp_path / "runs" / "seed0", CPU)
    assert f"on disk in {tmp_path}" in storage.describe(Player(1, 4, 0).spec, 100)
    assert list(tmp_path.iterdir()) == []
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    storage = open_storage("disk", str(elsewhere), tmp_path / "runs", CPU)
    assert f"on disk in {elsewhere}" in storage.describe(Player(1, 4, 0).spec, 100)
    assert isinstance(open_storage("memory", None, tmp_path, CPU), MemoryStorage)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        open_storage("disk", str(tmp_path / "nowhere"), tmp_path, CPU)


# Whole runs

SHORT = ("device=cpu", "device.num_threads=1", "logger=none", "evaluation.every_steps=null", "evaluation.episodes=1")
CARTPOLE = (
    *("algo=dqn", "env=cartpole", "algo.replay.learning_starts_steps=100", "algo.replay.capacity_steps=300"),
    "algo.optimizer.learning_rate=5e-4",  # the preset's falls over total_steps
    *("log_every_steps=100", *SHORT),
)
PONG = (
    *("algo=dqn", "env=pong", "network=nips2013", "env.num_threads=1", "env.max_episode_frames=240"),
    *("algo.replay.learning_starts_steps=100", "algo.replay.capacity_steps=150", "total_steps=240"),
    *("log_every_steps=40", "evaluation.num_envs=1", *SHORT),
)


def go(runs_dir: Path, *words: str) -> Path:
    assert run_command(["rlrun", *words, f"runs_dir={runs_dir}"]) == 0
    return runs_dir


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in memory."""
    return go(tmp_path_factory.mktemp("cartpole"), *CARTPOLE, "total_steps=700")


def test_a_run_on_disk_learns_the_bits_of_one_in_memory(cartpole: Path, tmp_path: Path) -> None:
    disk = go(tmp_path, *CARTPOLE, "total_steps=700", "algo.replay.storage=disk")
    assert directory_of(disk).relative_to(disk) == directory_of(cartpole).relative_to(cartpole), "one experiment"
    assert differences(cartpole, disk) == []


def test_a_run_with_frames_on_disk_learns_the_bits_of_one_in_memory(tmp_path: Path) -> None:
    memory = go(tmp_path / "memory", *PONG)
    disk = go(tmp_path / "disk", *PONG, "algo.replay.storage=disk")
    assert differences(memory, disk) == []


def test_a_run_may_go_on_on_disk_and_back_in_memory(cartpole: Path, tmp_path: Path) -> None:
    moved = go(tmp_path, *CARTPOLE, "total_steps=300")
    for steps, storage in ((500, "disk"), (700, "memory")):
        words = [str(directory_of(moved)), f"total_steps={steps}", f"algo.replay.storage={storage}"]
        assert run_command(["rlrun", "resume", *words]) == 0
    assert differences(cartpole, moved) == []


@pytest.mark.process
def test_a_killed_run_on_disk_ends_in_the_bits_of_an_undisturbed_one() -> None:
    plan = Plan("save", signal.SIGKILL)  # so there is something to go on from
    seen = stress((*CARTPOLE, "total_steps=600", "algo.replay.storage=disk"), [plan], random.Random("disk"))
    assert seen.kills == 1
    assert seen.resumed >= 1
    assert (seen.begun_again, seen.unreadable, seen.double_rows, seen.different) == (0, 0, 0, [])


@pytest.mark.slow
def test_killed_runs_of_frames_on_disk_end_in_the_bits_of_undisturbed_ones() -> None:
    words = (*WORKLOADS["pong dqn, sticky actions, 3 environments"], "algo.replay.storage=disk")
    rng = random.Random("frames on disk")
    seen = stress(words, plans_for(12, rng), rng)
    assert seen.kills == 12
    assert (seen.begun_again, seen.unreadable, seen.double_rows, seen.different) == (0, 0, 0, [])


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, with 2 MiB."""
    with small_disk_at(tmp_path / "disk", str(2 * MIB)) as disk:
        yield disk.path


def fill_up(disk: Path) -> None:
    """Writes until nothing more fits."""
    with (disk / "other").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(disk).free == 0


def in_a_child(work: Callable[[], object]) -> int:
    """How a child process ends that does `work`; minus the signal's number if one killed it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads
        child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_too_little_disk_is_refused_with_the_capacity_that_fits(small_disk: Path) -> None:
    spec = Player(1, 4, 0).spec
    with pytest.raises(UserError, match=rf"3\.8\d MiB.*2\.00 MiB .*{small_disk}") as error:
        on_disk(spec, small_disk, 1_000_000)
    assert "\n" not in str(error.value)
    fits = int(str(error.value).split("at most ")[1].split(" ")[0].replace(",", ""))
    assert observation_bytes(spec, fits) <= 2 * MIB < observation_bytes(spec, fits + 1)


def test_a_run_on_too_little_disk_is_refused_in_one_line_and_leaves_nothing(
    small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["algo=dqn", "env=cartpole", "algo.replay.storage=disk", "algo.replay.capacity_steps=1e6"]
    assert run_command(["rlrun", *words, f"runs_dir={small_disk / 'runs'}", *SHORT]) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "at most" in said
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_fills_up_in_between_is_one_line(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlrun.replay.disk.require_disk", lambda *_: None)  # there was room when it was looked at
    with pytest.raises(UserError, match=os.strerror(errno.ENOSPC)) as error:
        on_disk(Player(1, 4, 0).spec, small_disk, 1_000_000)
    assert "\n" not in str(error.value)
    assert shutil.disk_usage(small_disk).free == 2 * MIB, "what was reserved must be given back"


def test_a_disk_that_is_full_afterwards_harms_nothing(small_disk: Path) -> None:
    player = Player(1, 4, 0)

    def work() -> None:
        disk = on_disk(player.spec, small_disk, 200_000)
        memory = UniformReplay(capacity_steps=200_000, n_step=1, gamma=0.9, spec=player.spec, device=CPU)
        fill_up(small_disk)
        shape = (5_000, 1)
        ones, zeros = np.ones(shape), np.zeros(shape, np.int64)
        rollout = player.follow(zeros, ones, ones, np.arange(5_000)[:, None] == 4_999)
        rollout.obs_sequence[-1] = rollout.obs_sequence[0]  # one episode, again and again
        for replay in (disk, memory):
            for turn in range(45):  # beyond the end of the ring
                replay.extend(rollout)
                assert turn or len(replay) == 5_000
        assert_equal(*(each.sample(500, torch.Generator().manual_seed(0)) for each in (disk, memory)))

    assert in_a_child(work) == 0


def test_where_no_room_was_kept_a_full_disk_is_one_line_too(small_disk: Path) -> None:
    """As on file systems that copy on write: the file has its length, and no room."""

    def work() -> None:
        descriptor = os.open(small_disk, os.O_TMPFILE | os.O_RDWR, 0o600)
        os.ftruncate(descriptor, MIB)
        stored = DiskRows(descriptor, (MIB // 4096, 4096), torch.uint8, small_disk)
        fill_up(small_disk)
        with pytest.raises(UserError, match=os.strerror(errno.ENOSPC)) as error:
            stored.write(3, torch.ones((2, 4096), dtype=torch.uint8))
        assert "\n" not in str(error.value)

    assert in_a_child(work) == 0


def test_no_room_for_more_last_frames_is_one_line(small_disk: Path) -> None:
    player = Player(1, 4, 0)
    replay = on_disk(player.spec, small_disk, 20_000)
    fill_up(small_disk)
    shape = (5_000, 1)
    with pytest.raises(UserError, match=os.strerror(errno.ENOSPC)):  # 40 fit at first; 16,384 take 64 KiB
        replay.extend(player.follow(np.zeros(shape, np.int64), np.ones(shape), np.ones(shape), np.ones(shape, bool)))


def test_a_rollout_that_found_no_room_may_come_again_once_there_is(small_disk: Path) -> None:
    player = Player(1, 4, 0)
    memory = UniformReplay(capacity_steps=3_000, n_step=1, gamma=0.9, spec=player.spec, device=CPU)
    disk = on_disk(player.spec, small_disk, 3_000)
    shape = (3_000, 1)
    first, second = (
        player.follow(
            np.zeros(shape, np.int64), np.ones(shape), np.ones(shape), np.arange(3_000)[:, None] % period == 0
        )
        for period in (100, 1)  # the second rollout has as many last frames as steps
    )
    for replay in (disk, memory):
        replay.extend(first)
    fill_up(small_disk)
    with pytest.raises(UserError, match=os.strerror(errno.ENOSPC)):
        disk.extend(second)
    assert same(disk.state_dict(), memory.state_dict()), "nothing is changed"
    (small_disk / "other").unlink()
    for replay in (disk, memory):
        replay.extend(second)
    assert same(disk.state_dict(), memory.state_dict())
    assert_equal(*(replay.sample(500, torch.Generator().manual_seed(0)) for replay in (disk, memory)))


def test_a_killed_process_gives_its_room_back_and_leaves_nothing(small_disk: Path) -> None:
    spec = Player(1, 4, 0).spec

    def work() -> None:
        replay = on_disk(spec, small_disk, 200_000)
        taken = 2 * MIB - shutil.disk_usage(small_disk).free
        assert observation_bytes(spec, 200_000) <= taken <= observation_bytes(spec, 200_000) + 2 * 4096
        assert list(small_disk.iterdir()) == []
        os.kill(os.getpid(), signal.SIGKILL)
        del replay

    assert in_a_child(work) == -signal.SIGKILL
    assert shutil.disk_usage(small_disk).free == 2 * MIB
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("copied", [copy.deepcopy, pickle.dumps])
def test_a_copy_that_would_write_into_the_same_file_is_refused(
    copied: Callable[[object], object], tmp_path: Path
) -> None:
    replay = on_disk(Player(1, 4, 0).spec, tmp_path)
    with pytest.raises(TypeError, match="copied"):
        copied(replay)
