"""What a replay on disk costs: DQN on Pong with its replay in memory and on disk, alternating, on the same transitions.

    .venv/bin/python benchmarks/replay_on_disk.py [--steps 20000] [--rounds 5] [--folder DIR]

prints a table and writes `benchmarks/results/replay_on_disk.csv`. Real Pong, played at random, is in every replay; then
they alternate in training. `cached`: all of the file is in the page cache, as if it is smaller than memory.
`uncached`: all of it is dropped from memory before every batch, so that everything drawn comes from the disk: the worst
that a file much larger than memory can do. `not asked ahead` is that without `expect`: a page comes after the other.
A virtual disk may have a cache of its own on its host, which is not dropped.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import os
import platform
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from rlrun.agents.dqn import DQN
from rlrun.agents.rewards import clip_reward
from rlrun.build import Built, build
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.replay.disk import DiskRows, DiskStorage
from rlrun.replay.uniform import UniformReplay

HERE = Path(__file__).resolve().parent
CPU = torch.device("cpu")
REWARD_CLIP = 1.0  # as DQN on Atari games
BATCH, BATCHES = 32, 30  # transitions; batches for each measurement of drawing
LEARNS = 15  # times that 4 steps and one update are made in each round; the replays alternate
BLOCK = 1 << 22  # bytes
MADV_DONTNEED = 4  # of Linux


class ForgetfulRows(DiskRows):
    """Rows that can be dropped from memory, and that can be read without asking ahead."""

    asks_ahead = True
    _forgotten = False

    def expect(self, index: Tensor) -> None:
        """See `StoredRows.expect`."""
        if self.asks_ahead:
            super().expect(index)

    def forget(self) -> None:
        """Writes what is not yet on disk, and drops all pages from the map and from the page cache."""
        os.fdatasync(self._descriptor)
        unmapped = ctypes.CDLL(None, use_errno=True).madvise(
            ctypes.c_void_p(self.tensor.data_ptr()), ctypes.c_size_t(self.tensor.nbytes), MADV_DONTNEED
        )
        if unmapped != 0:
            raise OSError(ctypes.get_errno(), "madvise")
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        self._forgotten = True

    def recall(self) -> None:
        """Reads again what was dropped, in order, for that is fastest."""
        if self._forgotten:
            for place in range(0, self.tensor.nbytes, BLOCK):
                os.pread(self._descriptor, BLOCK, place)
            self._forgotten = False


class ForgetfulStorage(DiskStorage):
    """Disk storage that knows its rows."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.rows: list[ForgetfulRows] = []

    def allocate(self, shape: tuple[int, ...], dtype: torch.dtype) -> DiskRows:
        """See `Storage.allocate`."""
        plain = super().allocate(shape, dtype)
        self.rows.append(ForgetfulRows(os.dup(plain._descriptor), shape, dtype, self._folder))
        return self.rows[-1]


@dataclass
class Case:
    """One replay and how it is read."""

    name: str
    replay: UniformReplay
    prepare: Callable[[], None]  # before each batch
    sample_ms: list[float] = field(default_factory=list)  # median of a round
    read_mib: list[float] = field(default_factory=list)  # from the disk, each batch
    steps_per_second: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20_000, help="that the replay holds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(), help="on whose disk the file is")
    args = parser.parse_args()
    cases = measure(args.steps, args.rounds, args.folder)
    write(cases, args.steps, f"benchmarks/replay_on_disk.py --steps {args.steps} --rounds {args.rounds}", args.folder)
    print(f"a replay of {args.steps:,} Atari steps, batches of {BATCH}, one update for 4 steps, 1 thread")
    print("| replay | drawing a batch | from disk each batch | training | share of memory's speed |")
    print("|---|---|---|---|---|")
    for name, sample_ms, read, speed, ratio in summary(cases):
        print(f"| {name} | {sample_ms:.2f} ms | {read:.2f} MiB | {speed:.1f} steps/s | {ratio:.2f} |")


def measure(steps: int, rounds: int, folder: Path) -> list[Case]:
    """Fills the replays with the same transitions, then measures each, `rounds` times."""
    torch.set_num_threads(1)
    storage = ForgetfulStorage(folder.resolve())
    with tempfile.TemporaryDirectory() as runs_dir:
        built, n_step, gamma = make(steps, Path(runs_dir))
        agent, collector = built.run.agent, built.run.collector
        assert isinstance(agent, DQN)
        spec = collector.env.spec
        memory, disk = replays = [
            UniformReplay(capacity_steps=steps, n_step=n_step, gamma=gamma, spec=spec, device=CPU, storage=each)
            for each in (None, storage)
        ]
        while len(memory) < steps - 1:
            rollout = clip_reward(collector.collect(agent), REWARD_CLIP)
            for replay in replays:
                replay.extend(rollout)
        cases = make_cases(memory, disk, storage)
        rng = torch.Generator().manual_seed(0)
        for _ in range(rounds):
            for case in cases:
                draw(case, rng)
            train(cases, built, replays)
        built.close()
    return cases


def make(steps: int, runs_dir: Path) -> tuple[Built, int, float]:
    """Standard DQN on Pong: the Nature network, batch 32, one update for 4 steps, one environment."""
    overrides = ["algo=dqn", "env=pong", "device=cpu", "device.num_threads=1", "env.num_envs=1", "env.num_threads=1"]
    overrides += [
        "algo.n_step=1",
        "algo.target.double=false",
        "algo.replay.learning_starts_steps=1",
        "algo.exploration.epsilon.duration_steps=1",
    ]
    overrides += ["algo.replay.capacity_steps=1000", f"runs_dir={runs_dir}", f"total_steps={steps}", "logger=none"]
    config = load_config(overrides, [config_directory()])
    return build(config), config.algo.arguments["n_step"], config.algo.arguments["gamma"]


def make_cases(memory: UniformReplay, disk: UniformReplay, storage: ForgetfulStorage) -> list[Case]:
    """Memory, and the three ways to read the file."""

    def cached() -> None:
        ask_ahead(True)
        for rows in storage.rows:
            rows.recall()

    def uncached() -> None:
        ask_ahead(True)
        forget()

    def one_by_one() -> None:
        ask_ahead(False)
        forget()

    def ask_ahead(whether: bool) -> None:
        for rows in storage.rows:
            rows.asks_ahead = whether

    def forget() -> None:
        for rows in storage.rows:
            rows.forget()

    return [
        Case("memory", memory, lambda: None),
        Case("disk, cached", disk, cached),
        Case("disk, uncached", disk, uncached),
        Case("disk, uncached, not asked ahead", disk, one_by_one),
    ]


def draw(case: Case, rng: torch.Generator) -> None:
    seconds, read = [], 0
    for _ in range(BATCHES):
        case.prepare()
        before, started = bytes_read(), perf_counter()
        case.replay.sample(BATCH, rng)
        seconds.append(perf_counter() - started)
        read += bytes_read() - before
    case.sample_ms.append(1000 * statistics.median(seconds))
    case.read_mib.append(read / BATCHES / 2**20)


def train(cases: Sequence[Case], built: Built, replays: Sequence[UniformReplay]) -> None:
    """Real collecting and learning; the other replay gets the same steps while the clock stands still."""
    agent, collector = built.run.agent, built.run.collector
    assert isinstance(agent, DQN)
    steps, seconds = 0, [0.0] * len(cases)
    for _ in range(LEARNS):
        for number, case in enumerate(cases):
            agent._replay = agent._batches._replay = case.replay
            case.prepare()
            started = perf_counter()
            rollout = collector.collect(agent)
            agent.learn(rollout)
            seconds[number] += perf_counter() - started
            for replay in replays:
                if replay is not case.replay:
                    replay.extend(clip_reward(rollout, REWARD_CLIP))
        steps += rollout.num_steps
    for case, taken in zip(cases, seconds, strict=True):
        case.steps_per_second.append(steps / taken)


def bytes_read() -> int:
    """What this process had read from disks so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("read_bytes")).split()[1])


def summary(cases: Sequence[Case]) -> list[tuple[str, float, float, float, float]]:
    """Name, ms, MiB, steps/s and the median over rounds of the ratio to memory in the same round."""
    memory = cases[0].steps_per_second
    rows = []
    for case in cases:
        ratios = [mine / other for mine, other in zip(case.steps_per_second, memory, strict=True)]
        numbers = (case.sample_ms, case.read_mib, case.steps_per_second, ratios)
        sample_ms, read, speed, ratio = (statistics.median(each) for each in numbers)
        rows.append((case.name, sample_ms, read, speed, ratio))
    return rows


def write(cases: Sequence[Case], steps: int, command: str, folder: Path) -> None:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=HERE, capture_output=True, text=True, check=True
    ).stdout.strip()
    machine = f"{cpu_model()}, {os.cpu_count()} cores, file system {file_system(folder)}"
    with (HERE / "results" / "replay_on_disk.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        names = ["sample_ms", "sample_ms_min", "sample_ms_max", "read_mib", "steps_per_second", "ratio"]
        writer.writerow(["replay", "steps", "replay_gib", *names, "rounds", "command", "commit", "machine"])
        for case, (name, sample_ms, read, speed, ratio) in zip(cases, summary(cases), strict=True):
            times = [round(value, 3) for value in (sample_ms, min(case.sample_ms), max(case.sample_ms))]
            gib = round(case.replay.num_bytes / 2**30, 3)
            numbers = [*times, round(read, 3), round(speed, 1), round(ratio, 3)]
            writer.writerow([name, steps, gib, *numbers, len(case.sample_ms), command, commit, machine])


def file_system(folder: Path) -> str:
    """Its type."""
    command = ["stat", "--file-system", "--format=%T", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
