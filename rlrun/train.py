"""The loop. One for every agent: it never learns whether the agent replays, plans or counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from rlrun.checkpoint import checkpoints, load_checkpoint, save_checkpoint, write_atomically
from rlrun.collect import Collector
from rlrun.errors import UserError
from rlrun.evaluate import Evaluation, Evaluator
from rlrun.loggers import Logger
from rlrun.progress import Display
from rlrun.protocols import Agent
from rlrun.types import Metrics, Progress, State


def iterate(agent: Agent, collector: Collector, total_steps: int, start: int = 0) -> Iterator[Progress]:
    """Alternates acting and learning; yields after every `learn`."""
    step = start
    while step < total_steps and not agent.finished:  # a planner's rollout is empty and counts one sweep
        rollout = collector.collect(agent)
        metrics = agent.learn(rollout)
        step += rollout.num_steps
        yield Progress(step, rollout.episodes, metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """When and how long to evaluate (`evaluation` in the config)."""

    every_steps: Annotated[int, Field(gt=0)] | None  # agent steps; null: only at the end
    episodes: Annotated[int, Field(gt=0)]
    num_envs: Annotated[int, Field(gt=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSettings:
    """How often to save (`checkpoint` in the config)."""

    every_seconds: Annotated[float, Field(gt=0)]
    keep: Annotated[int, Field(gt=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything one run needs, ready to go."""

    agent: Agent
    collector: Collector
    evaluator: Evaluator
    directory: Path
    total_steps: int
    log_every_steps: int
    evaluation: EvaluationSettings
    checkpoint: CheckpointSettings
    open_logger: Callable[[Path, int], Logger]  # (directory, step to resume from)
    open_display: Callable[[int, int], Display]  # (start, total_steps)
    keep: Callable[[int, Logger], None]  # (last step, logger): what a finished run leaves besides its numbers


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended."""

    step: int
    evaluation: Evaluation

    def as_json(self) -> dict[str, float | int | list[float]]:
        """What `result.json` holds."""
        return {
            "step": self.step,
            "eval/episode_return": self.evaluation.mean,
            "eval/standard_error": self.evaluation.standard_error if len(self.evaluation.returns) > 1 else 0.0,
            "eval/episodes": len(self.evaluation.returns),
            "eval/returns": self.evaluation.returns.tolist(),
        }


@dataclass(slots=True)
class Window:
    """What happened since the last row; metrics are read from the device only when a row is due."""

    metrics: list[Metrics] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)

    def add(self, progress: Progress) -> None:
        """Takes note of one turn of the loop."""
        self.metrics.append(progress.metrics)
        self.returns.extend(progress.episodes.returns.tolist())
        self.lengths.extend(progress.episodes.lengths.tolist())

    def state_dict(self) -> State:
        """What the row will be made of; metrics as the float64 numbers that its means are taken of."""
        metrics = [{key: float(value) for key, value in turn.items()} for turn in self.metrics]
        return {"metrics": metrics, "returns": self.returns, "lengths": self.lengths}

    def load_state_dict(self, state: State) -> None:
        """Goes on with a row that was begun."""
        self.metrics = list(state["metrics"])
        self.returns, self.lengths = list(state["returns"]), list(state["lengths"])

    def row(self) -> dict[str, float]:
        """Means over the turns, and over the episodes.

        Raises:
            UserError: if one of them is no number any more.
        """
        row: dict[str, float] = {}
        if self.returns:
            row["train/episode_return"] = float(np.mean(self.returns))
            row["train/episode_length"] = float(np.mean(self.lengths))
            row["train/episodes"] = float(len(self.returns))
        for key in {key: None for metrics in self.metrics for key in metrics}:
            row[key] = _mean([metrics[key] for metrics in self.metrics if key in metrics])
            if not isfinite(row[key]):
                raise UserError(f"training has diverged: {key} is {row[key]}; a lower learning rate may help")
        return row


def _mean(values: list[Tensor | float]) -> float:
    return float(torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in values]).mean())


class TimeSplit:
    """Wall time since the last row, by phase."""

    def __init__(self, collector: Collector, step: int) -> None:
        self._collector = collector
        self._mark(step)

    def _mark(self, step: int) -> None:
        self._step, self._started, self._elsewhere = step, perf_counter(), 0.0
        self._seconds = dict(self._collector.seconds)

    def exclude(self, seconds: float) -> None:
        """Takes evaluation and saving out of the training speed."""
        self._elsewhere += seconds

    def row(self, step: int) -> dict[str, float]:
        """Steps per second and the share of each phase since the last call; the rest is learning."""
        total = max(perf_counter() - self._started - self._elsewhere, 1e-9)
        shares = {name: (self._collector.seconds[name] - self._seconds[name]) / total for name in self._seconds}
        row = {
            "time/steps_per_second": (step - self._step) / total,
            "time/env_share": shares["env"],
            "time/act_share": shares["act"],
            "time/learn_share": 1.0 - shares["env"] - shares["act"],
        }
        self._mark(step)
        return row


def crosses(before: int, after: int, period: int | None) -> bool:
    """Whether a multiple of `period` lies in (before, after]; steps come in batches, so `step % period` misses."""
    return period is not None and before // period < after // period


def train(run: Run) -> Result:
    """Restores if it can, trains to `total_steps`, evaluates, saves and records."""
    start, evaluations, window = _restore(run)
    logger = run.open_logger(run.directory, start)
    display = run.open_display(start, run.total_steps)
    if start:
        display.say(f"resuming at step {start:,}")
    step, saved_at = start, perf_counter()
    split = TimeSplit(run.collector, start)
    try:
        for progress in iterate(run.agent, run.collector, run.total_steps, start):
            before, step = step, progress.step
            window.add(progress)
            if crosses(before, step, run.log_every_steps):
                row = window.row() | split.row(step)
                logger.write(step, row)
                display.update(step, row)
                window = Window()
            paused = perf_counter()
            if crosses(before, step, run.evaluation.every_steps) and step < run.total_steps:
                _evaluate(run, evaluations, step, logger, display)
                evaluations += 1
            if perf_counter() - saved_at >= run.checkpoint.every_seconds:
                _save(run, step, evaluations, window)
                saved_at = perf_counter()
            split.exclude(perf_counter() - paused)
        if window.metrics:
            row = window.row() | split.row(step)
            logger.write(step, row)
            display.update(step, row)
        evaluation = _evaluate(run, evaluations, step, logger, display)
        _save(run, step, evaluations, window)
        run.keep(step, logger)
        result = Result(step, evaluation)
        text = json.dumps(result.as_json(), indent=2)
        write_atomically(run.directory / "result.json", lambda file: file.write(text.encode()))
    finally:
        display.close()
        logger.close()
    return result


def _evaluate(run: Run, index: int, step: int, logger: Logger, display: Display) -> Evaluation:
    started = perf_counter()
    evaluation = run.evaluator.evaluate(run.agent, index)
    row = {
        "eval/episode_return": evaluation.mean,
        "eval/episode_length": float(evaluation.lengths.mean()),
        "time/eval_seconds": perf_counter() - started,
    }
    logger.write(step, row)
    display.update(step, row)
    count = len(evaluation.returns)
    spread = f" ± {evaluation.standard_error:.2f}" if count > 1 else ""
    display.say(f"step {step:,}: evaluation mean {evaluation.mean:.2f}{spread} over {count} episodes")
    return evaluation


def _save(run: Run, step: int, evaluations: int, window: Window) -> None:
    if not run.collector.env.spec.resumable:
        return
    state: State = {
        "step": step,
        "evaluations": evaluations,
        "agent": run.agent.state_dict(),
        "collector": run.collector.state_dict(),
        "window": window.state_dict(),
    }
    save_checkpoint(run.directory, step, state, run.checkpoint.keep)


def _restore(run: Run) -> tuple[int, int, Window]:
    """The step, the number of evaluations and the open row to go on from: the newest checkpoint's, or nothing."""
    window = Window()
    saved = checkpoints(run.directory)
    if not saved:
        return 0, 0, window
    state = load_checkpoint(saved[-1])
    run.agent.load_state_dict(state["agent"])
    run.collector.load_state_dict(state["collector"])
    window.load_state_dict(state["window"])
    return int(state["step"]), int(state["evaluations"]), window
