"""Peak memory of DQN Pong with a full replay, here and in stable-baselines3; writes `memory.csv`.

    .venv/bin/python benchmarks/speed/memory.py [--steps 100000] [--peer PYTHON] [--full]

Each side trains twice in processes of their own, with a replay of `--steps` agent steps and with one of a tenth, both
full when they end; rlrun also saves. The difference of the two peaks gives the bytes that another step costs; the
larger of that and of what the replay allocates gives the memory of a million steps. `--full` measures rlrun's million
as well. The peer is measured as it comes, and with `optimize_memory_usage`, which it offers only without the handling
of time limits.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peer_process import answer_in, peer_command, peer_environment
from peers import SB3
from provenance import RESULTS, write_rows
from rlrun_timings import NOTHING_BESIDES, command, environment
from workloads import DQN_PONG_WORKLOAD

from rlrun.config.arguments import changed

NUM_ENVS = 8  # the replay fills sooner; what a step takes does not depend on it
LEARNED_STEPS = 160  # after the replay is full; 40 updates here
MILLION = 1_000_000
OBSERVATION_BYTES = 4 * 84 * 84


@dataclass(frozen=True, slots=True)
class Peak:
    """One process."""

    steps: int  # that its replay holds, all of them written
    peak_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000, help="agent steps in the replay")
    parser.add_argument("--peer", help="python with stable-baselines3 2.9.2")
    parser.add_argument(
        "--full", action="store_true", help="a million of rlrun's steps as well: minutes, and 8 GiB of disk"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the CSV")
    arguments = parser.parse_args()
    if arguments.steps % (10 * NUM_ENVS):
        parser.error(f"--steps must be a multiple of {10 * NUM_ENVS}")
    sizes = (arguments.steps // 10, arguments.steps)
    measured = [("rlrun", [rlrun_peak(steps) for steps in sizes], 0.0)]
    if arguments.full:
        measured.append(("rlrun, a million measured", [rlrun_peak(MILLION)], 0.0))
    for name, settings, computed in peers() if arguments.peer else ():
        measured.append((name, [peer_peak(settings, steps, arguments.peer) for steps in sizes], computed))
    rows = [row_of(name, peaks, computed or rlrun_bytes(peaks[-1].steps)) for name, peaks, computed in measured]
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    write_rows(arguments.results / "memory.csv", rows, ["what"])


def row_of(what: str, peaks: Sequence[Peak], computed: float) -> dict[str, object]:
    """One side: the peaks, bytes a step by their difference, and what a million steps come to."""
    largest = peaks[-1]
    row: dict[str, object] = {
        "what": what,
        "replay_steps": largest.steps,
        "peak_gib": round(largest.peak_bytes / 2**30, 3),
        "replay_bytes_per_step": round(computed, 1),
        "measured_bytes_per_step": "",
        "million_gib": round(largest.peak_bytes / 2**30, 2) if largest.steps == MILLION else "",
    }
    if len(peaks) > 1:
        slope = bytes_per_step(peaks[0], largest)
        million = largest.peak_bytes + max(slope, computed) * (MILLION - largest.steps)  # whatever small sizes hide
        row |= {"measured_bytes_per_step": round(slope, 1), "million_gib": round(million / 2**30, 2)}
    return row


def bytes_per_step(small: Peak, large: Peak) -> float:
    """What one more step costs."""
    return (large.peak_bytes - small.peak_bytes) / (large.steps - small.steps)


def rlrun_bytes(steps: int) -> float:
    """Bytes a step that our replay allocates, its small beginnings included."""
    import numpy as np
    from gymnasium import spaces

    from rlrun.replay.memory import estimate_bytes
    from rlrun.types import EnvSpec

    screens = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    return estimate_bytes(EnvSpec("pong", screens, spaces.Discrete(6), NUM_ENVS, frame_stack=4), steps) / steps


def rlrun_peak(steps: int) -> Peak:
    """Trains until the replay is full and a little longer, saves, evaluates once."""
    with tempfile.TemporaryDirectory() as name:
        peak, _ = run(command(rlrun_overrides(steps), Path(name)), environment())
    return Peak(steps, peak)


def rlrun_overrides(steps: int) -> list[str]:
    """What rlrun is told for a replay of so many steps."""
    return changed(
        DQN_PONG_WORKLOAD.all_overrides(),
        "device.num_threads=1",
        f"env.num_envs={NUM_ENVS}",
        f"algo.replay.capacity_steps={steps}",
        f"algo.replay.learning_starts_steps={steps}",
        f"algo.exploration.epsilon.delay_steps={steps}",
        f"total_steps={steps + LEARNED_STEPS}",
        "log_every_steps=10000",
        *NOTHING_BESIDES,
    )


def peers() -> Iterator[tuple[str, dict[str, Any], float]]:
    """Name, arguments of the replay, and the bytes of a step in its arrays, by its source code."""
    facts = 8 + 4 + 4 + 4  # action, reward, end, time limit
    yield SB3.title, {}, 2 * OBSERVATION_BYTES + facts
    thrifty = {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}}
    yield f"{SB3.title}, optimize_memory_usage", thrifty, OBSERVATION_BYTES + facts


def peer_peak(arguments: Mapping[str, Any], steps: int, python: str) -> Peak:
    """The same for the peer; it does not save.

    Raises:
        RuntimeError: if its replay is not what was asked for.
    """
    settings = DQN_PONG_WORKLOAD.peer_settings()
    settings |= {"num_threads": 1, "num_envs": NUM_ENVS, "warm_up_steps": steps, "measured_steps": LEARNED_STEPS}
    settings["arguments"] |= {"buffer_size": steps, "learning_starts": steps, **arguments}
    peak, output = run(peer_command(settings, python), peer_environment())
    answer = answer_in(output)
    if answer["facts"]["replay_capacity_steps"] != steps:
        raise RuntimeError(f"the peer's replay holds {answer['facts']['replay_capacity_steps']} steps, not {steps}")
    return Peak(steps, peak)


def run(argv: Sequence[str], env: Mapping[str, str]) -> tuple[int, str]:
    """Runs a command; returns the peak of its resident memory in bytes, and what it printed.

    Linux hands a process the peak of the program that started it, so this one must have stayed smaller.

    Raises:
        RuntimeError: if the command fails, or this process was larger.
    """
    own = own_peak_kib()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(argv, env=dict(env), stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"{argv[:3]} ended with status {process.returncode}")
        if usage.ru_maxrss <= own:
            raise RuntimeError("this process is larger than the one it measures")
        output.seek(0)
        return usage.ru_maxrss * 1024, output.read()


def own_peak_kib() -> int:
    """Peak resident memory of this program so far; `getrusage` would count in what started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


if __name__ == "__main__":
    main()
