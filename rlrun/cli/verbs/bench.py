"""`rlrun bench`: how fast this machine is, in about a minute; what needs no other library to compare with."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator

from rlrun.cli.arguments import Arguments
from rlrun.errors import UserError, inside

NUM_SLOTS = 16  # environments stepped at random, as many as A2C has


def declare(parser: Arguments) -> None:
    """Adds the arguments."""
    parser.add_argument("--seconds", metavar="S", type=float, default=10.0, help="of each training (default 10)")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="as in device= (default auto)"
    )
    parser.add_argument(
        "--threads", metavar="N", type=int, help="CPU threads of the trainings (default: as rlrun would choose)"
    )


def run(chosen: Namespace) -> int:
    """Measures and prints.

    Raises:
        UserError: if the device is not there.
    """
    if not 0 < chosen.seconds < 3600:
        raise UserError(f"--seconds {chosen.seconds:g} is not allowed: give from a fraction of a second to an hour")
    overrides = [f"device={chosen.device}"]
    if chosen.threads is not None:
        overrides.append(f"device.num_threads={chosen.threads}")
    _require(overrides)
    for line in _lines(chosen.seconds, overrides):
        print(line, flush=True)
    return 0


def _require(overrides: list[str]) -> None:
    """Raises UserError where the trainings would be refused, before anything is measured."""
    from rlrun.api import compose
    from rlrun.build import instantiate
    from rlrun.cli.bench.workloads import ACTOR_CRITIC_CARTPOLE

    with inside("device"):
        instantiate(compose([*ACTOR_CRITIC_CARTPOLE, *overrides]).device, {})


def _lines(seconds: float, overrides: list[str]) -> Iterator[str]:
    import torch

    from rlrun import __version__
    from rlrun.compute.cores import available_cores
    from rlrun.runs.manifest import cpu_model

    cores = available_cores()
    yield f"rlrun {__version__}, torch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()})"
    yield f"{cpu_model()}, {cores} core{'s' if cores > 1 else ''} to use; {_load()}"
    yield "\nCeilings: the parts by themselves"
    yield from _ceilings(seconds / 4, cores)
    yield "\nTraining: agent steps per second after learning has started, without logging, evaluation and saving"
    yield f"  {'':<44} {'steps/s':>10}  {'slowest to fastest quarter':>26}  {'env':>4} {'act':>4} {'learn':>5}"
    yield from _trainings(seconds, overrides)
    yield "\nOne step is one action in one environment; in Pong it is 4 frames. Against other libraries: docs/speed.md"


def _load() -> str:
    """How busy the machine is with other things: they are in every number."""
    if not hasattr(os, "getloadavg"):
        return "nothing else should run"
    return f"load {os.getloadavg()[0]:.1f} before the start (nothing else should run)"


def _ceilings(seconds: float, cores: int) -> Iterator[str]:
    from rlrun.cli.bench.ceilings import (
        emulator_frames_per_second,
        environment_steps_per_second,
        matrix_gflops,
        nature_update_gflop,
    )

    frames = emulator_frames_per_second(seconds)
    yield _ceiling("Pong emulator alone, one core", frames, "frames/s")
    steps = environment_steps_per_second(NUM_SLOTS, 0, seconds)
    yield _ceiling(f"env=pong stepped at random, {NUM_SLOTS} environments, every core", steps, "agent steps/s")
    gflops = {threads: matrix_gflops(threads, seconds) for threads in sorted({1, cores})}
    for threads, speed in gflops.items():
        yield _ceiling(f"matrix product on the CPU, {threads} thread{'s' if threads > 1 else ''}", speed, "GFLOP/s")
    limit = 4 * max(gflops.values()) / nature_update_gflop(32)
    yield _ceiling("DQN Pong on the CPU, if an update were only such products", limit, "agent steps/s")


def _ceiling(what: str, value: float, unit: str) -> str:
    return f"  {what:<62} {value:>10,.0f} {unit}"


def _trainings(seconds: float, overrides: list[str]) -> Iterator[str]:
    from rlrun.cli.bench.loop_speed import measure_loop
    from rlrun.cli.bench.workloads import ACTOR_CRITIC_CARTPOLE, DQN_PONG
    from rlrun.config.arguments import changed

    # The replay is small, so that little memory is enough; epsilon is at its end when the clock starts.
    pong = (
        "algo.replay.capacity_steps=10000",
        "algo.replay.learning_starts_steps=400",
        "algo.exploration.epsilon.duration_steps=4",
    )
    for name, workload, warm_up_steps in (
        ("actor-critic CartPole, 8 environments", changed(ACTOR_CRITIC_CARTPOLE, "env.num_envs=8"), 800),
        ("actor-critic CartPole, 64 environments", changed(ACTOR_CRITIC_CARTPOLE, "env.num_envs=64"), 6400),
        ("DQN Pong, batch 32, an update every 4 steps", changed(DQN_PONG, *pong), 420),
    ):
        speed = measure_loop([*workload, *overrides], warm_up_steps, seconds)
        spread = f"{speed.slowest:,.0f} to {speed.fastest:,.0f}"
        shares = f"{speed.env_share:>4.0%} {speed.act_share:>4.0%} {speed.learn_share:>5.0%}"
        where = f"{speed.device}, {speed.num_threads} thread{'s' if speed.num_threads > 1 else ''}"
        yield f"  {name:<44} {speed.steps_per_second:>10,.0f}  {spread:>26}  {shares}  ({where})"
