"""One experiment with many seeds as jobs of a pool: each an ordinary `rlrun` command with a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rlrun.build import directory_of, memory_bytes
from rlrun.config.config import Config
from rlrun.config.memory_need import refuse_too_large
from rlrun.config.sweep import check_runs
from rlrun.errors import UserError
from rlrun.runs.manifest import facts, read_manifest
from rlrun.sweeps.jobs import RunJob


def jobs_of(
    overrides: Sequence[str], seeds: Sequence[int], directories: Sequence[Path], flags: Sequence[str] = ()
) -> tuple[list[RunJob], Config]:
    """A job for each seed, and the config of the first.

    Args:
        overrides: of the experiment, without a seed.
        seeds: at least one.
        directories: where config files are searched; the last one has `config.yaml`.
        flags: further arguments of each command.

    Raises:
        UserError: if anything is wrong with one of them.
    """
    configs = check_runs([[*overrides, f"seed={seed}"] for seed in seeds], directories)
    refuse_too_large(configs[0], None)
    memory = memory_bytes(configs[0])
    return [_job(config, overrides, flags, memory) for config in configs], configs[0]


def _job(config: Config, overrides: Sequence[str], flags: Sequence[str], memory: int) -> RunJob:
    directory = directory_of(config)
    threads, words = _threads(config, directory)
    return RunJob(
        name=f"seed {config.seed}",
        command=[sys.executable, "-P", "-m", "rlrun", *overrides, f"seed={config.seed}", *words, *flags],
        directory=directory,
        seed=config.seed,
        experiment=config.experiment(),
        total_steps=config.total_steps,
        num_threads=threads,
        memory_bytes=memory,
    )


def _threads(config: Config, directory: Path) -> tuple[int, list[str]]:
    """How many threads the run has, and what says so: one, unless another number is given or it began with another.

    Processes of one thread each train more steps together than fewer processes of several threads.
    """
    if (given := config.device.arguments.get("num_threads")) is not None:
        return int(given), []
    with suppress(UserError):  # its own process tells it
        before = read_manifest(directory)
        if before is not None:
            return int(facts(before, -1)["machine.num_threads"]), []
    return 1, ["device.num_threads=1"] if "num_threads" in config.device.arguments else []
