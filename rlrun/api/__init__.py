"""rlrun from Python: `from rlrun import compose, make, train`. Overrides are those of the command line.

    config = compose("algo=q_learning env=gridworld env.map=book")
    with make(config) as experiment:                # nothing is written to disk
        for progress in experiment.steps(1_000):
            ...
        print(experiment.evaluate().mean)
    result = train(config)                          # stored under runs/, as by the command line
    steps, returns = result.curve("eval/episode_return")

Whatever is an error on the command line raises `rlrun.UserError` here, with the same message.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from rlrun.api.running import Command, run_config
from rlrun.build import Built, build, directory_of
from rlrun.config.compose import load_config
from rlrun.config.config import Config, check_plain
from rlrun.config.files import config_directories
from rlrun.errors import UserError
from rlrun.loop.collect import Collector
from rlrun.loop.evaluate import Evaluation
from rlrun.loop.loop import iterate
from rlrun.protocols import Agent, VecEnv
from rlrun.types import Progress

__all__ = ["Experiment", "TrainedRun", "compose", "make", "train"]

ConfigLike: TypeAlias = Config | str | Sequence[str]  # a config, or overrides: "algo=dqn env=cartpole", or a list


def compose(overrides: str | Sequence[str], *, config_dir: str | Path | None = None) -> Config:
    """The checked config of one run; nothing is built.

    Args:
        overrides: as on the command line, in one string or a list: `"algo=dqn env=cartpole algo.gamma=0.95"`.
        config_dir: a directory with your own config files, as `--config-dir`.

    Raises:
        UserError: as on the command line.
    """
    arguments = _split(overrides)
    for argument in arguments:
        if argument.startswith("-") or not ("=" in argument or argument.startswith("~")):
            raise UserError(
                f"'{argument}' is not an override: give key=value, one run at a time (config_dir= is an argument)"
            )
    directories = config_directories(str(config_dir) if config_dir is not None else None)
    return load_config(arguments, directories)


def make(given: ConfigLike, *, config_dir: str | Path | None = None) -> Experiment:
    """Builds agent and environments, to be stepped and inspected by hand. Nothing is written to disk.

    Args:
        given: what `compose` returned, or overrides.
        config_dir: as for `compose`.

    Raises:
        UserError: if the parts do not fit together, or the machine lacks what they need.
    """
    config = replace(_config(given, config_dir), record_episodes=False)  # recording writes files
    return Experiment(config, build(config))


def train(given: ConfigLike, *, config_dir: str | Path | None = None) -> TrainedRun:
    """Trains as the command line does: in the same directory, with the same numbers.

    It resumes from the newest checkpoint if there is one, and reads the result if the run is finished. Interrupting
    (the notebook's stop button) saves, and raises `rlrun.Interrupted`; calling it again resumes. Like the command
    line, it sets torch's number of threads for the process.

    Args:
        given: what `compose` returned, or overrides.
        config_dir: as for `compose`.

    Raises:
        Interrupted: if it was asked to stop; it has been saved.
        UserError: as on the command line.
    """
    overrides = () if isinstance(given, Config) else tuple(_split(given))
    config = _config(given, config_dir)
    run_config(config, Command(("rlrun.train", *overrides), overrides))
    directory = directory_of(replace(config, fresh=False))  # with `fresh`, the run that was just created
    return TrainedRun.read(directory, config)


@dataclass(frozen=True, slots=True)
class Experiment:
    """What `make` built. A context manager; `close` frees the environments."""

    config: Config
    built: Built

    @property
    def agent(self) -> Agent:
        """The agent."""
        return self.built.run.agent

    @property
    def collector(self) -> Collector:
        """Acts in the environment: `agent.learn(collector.collect(agent))` is one iteration."""
        return self.built.run.collector

    @property
    def env(self) -> VecEnv:
        """The training environment; stepping it by hand breaks the collector's episodes."""
        return self.collector.env

    def steps(self, total_steps: int | None = None) -> Iterator[Progress]:
        """Alternates acting and learning, and yields after each iteration.

        Args:
            total_steps: agent steps, over all slots; None: those of the config.
        """
        return iterate(self.agent, self.collector, self.config.total_steps if total_steps is None else total_steps)

    def evaluate(self) -> Evaluation:
        """Plays `evaluation.episodes` whole episodes in separate environments; training is not affected."""
        return self.built.run.evaluator.evaluate(self.agent, 0)

    def close(self) -> None:
        """Frees the environments."""
        self.built.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A finished run."""

    config: Config = field(repr=False)
    directory: Path
    step: int  # agent steps, over all slots
    env_steps: int  # interactions, masked ones too
    evaluation_mean: float  # of the final evaluation's episode returns, raw rewards
    evaluation_returns: tuple[float, ...] = field(repr=False)
    rows: tuple[dict[str, Any], ...] = field(repr=False)  # of metrics.jsonl, in order; each has `step`

    @classmethod
    def read(cls, directory: Path, config: Config) -> Self:
        """The finished run in `directory`."""
        result = json.loads((directory / "result.json").read_text())
        lines = (directory / "metrics.jsonl").read_text().splitlines()
        return cls(
            config=config,
            directory=directory,
            step=result["step"],
            env_steps=result["env_steps"],
            evaluation_mean=result["eval/episode_return"],
            evaluation_returns=tuple(result["eval/returns"]),
            rows=tuple(json.loads(line) for line in lines),
        )

    def curve(self, metric: str) -> tuple[list[int], list[float]]:
        """Steps and values of a metric, such as `eval/episode_return`, ready to plot.

        Raises:
            UserError: if no row has it; lists those that exist.
        """
        rows = [row for row in self.rows if metric in row]
        if not rows:
            names = sorted({name for row in self.rows for name in row} - {"step"})
            raise UserError(f"there is no metric {metric}; available: {', '.join(names)}")
        return [row["step"] for row in rows], [row[metric] for row in rows]


def _split(overrides: str | Sequence[str]) -> list[str]:
    if not isinstance(overrides, Sequence):  # None, or a mapping
        raise UserError(f'{overrides!r} is not an override: give a string such as "algo=dqn env=cartpole", or a list')
    try:
        return shlex.split(overrides) if isinstance(overrides, str) else [str(argument) for argument in overrides]
    except ValueError as error:
        raise UserError(f"cannot read {overrides!r}: {error}") from error


def _config(given: ConfigLike, config_dir: str | Path | None) -> Config:
    if not isinstance(given, Config):
        return compose(given, config_dir=config_dir)
    if config_dir is not None:
        raise UserError("config_dir has no effect on a composed config: give it to compose")
    return check_plain(given.as_plain() | {"fresh": given.fresh}, given.labels)  # `replace` may have changed it
