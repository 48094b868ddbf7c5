"""How fast the loop goes in this process: steps per second after a warm-up, and who takes the time."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import torch

from rlrun.build import build
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.loop.loop import iterate

_WINDOWS = 4  # equal parts of the time, to see how steady the machine is
_FOREVER = 10**15  # agent steps


@dataclass(frozen=True, slots=True)
class LoopSpeed:
    """What the loop came to, over `num_steps` agent steps; shares are of wall time and sum to 1."""

    steps_per_second: float
    slowest: float  # of the windows, steps per second
    fastest: float
    env_share: float
    act_share: float
    learn_share: float
    num_steps: int
    device: str
    num_threads: int


def measure_loop(words: Sequence[str], warm_up_steps: int, seconds: float) -> LoopSpeed:
    """Trains for `seconds` after `warm_up_steps` steps; no logging, no evaluation, nothing is kept.

    Args:
        words: as after `rlrun`.
        warm_up_steps: agent steps before the clock starts; learning should have started by then.
        seconds: wall time to train; at least one iteration of collecting and learning is made.

    Raises:
        UserError: if the words are wrong, or the machine does not offer what they need.
    """
    config = load_config([*words, "evaluation.num_envs=1"], [config_directory()])
    with tempfile.TemporaryDirectory() as folder, closing(build(config, Path(folder) / "run")) as built:
        spent = built.run.collector.seconds
        marks: list[tuple[float, int]] = []  # (wall time, agent steps) after every iteration
        before: dict[str, float] = {}
        for progress in iterate(built.run.agent, built.run.collector, _FOREVER):
            if progress.step < warm_up_steps:
                continue
            if not marks or perf_counter() - marks[0][0] >= seconds:
                _finish_queue(built.device)
            marks.append((perf_counter(), progress.step))
            before = before or dict(spent)
            if len(marks) > 1 and marks[-1][0] - marks[0][0] >= seconds:
                break
        total, num_steps = marks[-1][0] - marks[0][0], marks[-1][1] - marks[0][1]
        shares = {name: (spent[name] - before[name]) / total for name in spent}
        speeds = window_speeds(marks)
        return LoopSpeed(
            steps_per_second=num_steps / total,
            slowest=min(speeds),
            fastest=max(speeds),
            env_share=shares["env"],
            act_share=shares["act"],
            learn_share=1.0 - shares["env"] - shares["act"],
            num_steps=num_steps,
            device=built.device,
            num_threads=built.num_threads,
        )


def _finish_queue(device: str) -> None:
    """Kernels on a GPU run behind the program's back: the clock waits for them."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def window_speeds(marks: Sequence[tuple[float, int]]) -> list[float]:
    """Steps per second in up to four parts of equal numbers of iterations.

    Args:
        marks: (seconds, steps) after every iteration, at least two.
    """
    iterations = len(marks) - 1
    cuts = sorted({round(iterations * part / _WINDOWS) for part in range(_WINDOWS + 1)})
    return [(marks[end][1] - marks[start][1]) / (marks[end][0] - marks[start][0]) for start, end in pairwise(cuts)]
