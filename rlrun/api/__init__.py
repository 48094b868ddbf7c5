"""rlrun from Python: `from rlrun import compose, make, train`. The words are those of the command line.

    config = compose("algo=q_learning env=gridworld env.map=book")
    with make(config) as made:                      # nothing is written to disk
        for progress in made.steps(1_000):
            ...
        print(made.evaluate().mean)
    result = train(config)                          # kept under runs/, as the command line does
    steps, returns = result.curve("eval/episode_return")

Whatever the command line refuses raises `rlrun.UserError` here, with the same message.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from rlrun.api.running import Command, run_words
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

__all__ = ["Made", "Trained", "compose", "make", "train"]

Given: TypeAlias = Config | str | Sequence[str]  # a config, or words: "algo=dqn env=cartpole", or a list of them


def compose(words: str | Sequence[str], *, config_dir: str | Path | None = None) -> Config:
    """The checked config of one run; nothing is built.

    Args:
        words: those of the command line, in one string or a list: `"algo=dqn env=cartpole algo.gamma=0.95"`.
        config_dir: a directory with config files of your own, as `--config-dir`.

    Raises:
        UserError: if the command line would refuse them.
    """
    chosen = _split(words)
    for word in chosen:
        if word.startswith("-") or not ("=" in word or word.startswith("~")):
            raise UserError(f"'{word}' is no setting: give key=value, one run at a time (config_dir= is an argument)")
    directories = config_directories(str(config_dir) if config_dir is not None else None)
    return load_config(chosen, directories)


def make(given: Given, *, config_dir: str | Path | None = None) -> Made:
    """Builds agent and environments, to be stepped and looked at by hand. Nothing is written to disk.

    Args:
        given: what `compose` returned, or its words.
        config_dir: as for `compose`.

    Raises:
        UserError: if the parts do not fit together, or the machine does not offer what they need.
    """
    config = replace(_config(given, config_dir), record_episodes=False)  # it would write
    return Made(config, build(config))


def train(given: Given, *, config_dir: str | Path | None = None) -> Trained:
    """Trains as the command line does: in the same directory, with the same numbers.

    It goes on from the newest checkpoint if there is one, and reads the result if the run is finished. Interrupting
    (the notebook's stop button) saves, and raises `rlrun.Interrupted`; calling it again resumes. Like
    the command line it sets torch's number of threads, which stays.

    Args:
        given: what `compose` returned, or its words.
        config_dir: as for `compose`.

    Raises:
        Interrupted: if it was asked to stop; it has been saved.
        UserError: if it cannot be.
    """
    words = () if isinstance(given, Config) else tuple(_split(given))
    config = _config(given, config_dir)
    run_words(config, Command(("rlrun.train", *words), words))
    directory = directory_of(replace(config, fresh=False))  # with `fresh`, the attempt that has just been made
    return Trained.read(directory, config)


@dataclass(frozen=True, slots=True)
class Made:
    """What `make` built. A context manager; `close` frees the environments."""

    config: Config
    built: Built

    @property
    def agent(self) -> Agent:
        """The agent."""
        return self.built.run.agent

    @property
    def collector(self) -> Collector:
        """Plays the agent in its environment: `agent.learn(collector.collect(agent))` is one turn."""
        return self.built.run.collector

    @property
    def env(self) -> VecEnv:
        """The training environment; stepping it by hand disturbs the collector's episodes."""
        return self.collector.env

    def steps(self, total_steps: int | None = None) -> Iterator[Progress]:
        """Acts and learns in turns, and yields after each.

        Args:
            total_steps: agent steps, all slots together; None: the config's.
        """
        return iterate(self.agent, self.collector, self.config.total_steps if total_steps is None else total_steps)

    def evaluate(self) -> Evaluation:
        """Plays `evaluation.episodes` whole episodes in environments of their own; training does not notice."""
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
class Trained:
    """A finished run."""

    config: Config = field(repr=False)
    directory: Path
    step: int  # agent steps, all slots together
    env_steps: int | None  # interactions, those of slots that waited for others too; None: of an older run
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
            env_steps=result.get("env_steps"),
            evaluation_mean=result["eval/episode_return"],
            evaluation_returns=tuple(result["eval/returns"]),
            rows=tuple(json.loads(line) for line in lines),
        )

    def curve(self, metric: str) -> tuple[list[int], list[float]]:
        """Steps and values of a metric, such as `eval/episode_return`, ready to plot.

        Raises:
            UserError: if no row has it; names those there are.
        """
        rows = [row for row in self.rows if metric in row]
        if not rows:
            names = sorted({name for row in self.rows for name in row} - {"step"})
            raise UserError(f"there is no metric {metric}; there are {', '.join(names)}")
        return [row["step"] for row in rows], [row[metric] for row in rows]


def _split(words: str | Sequence[str]) -> list[str]:
    if not isinstance(words, Sequence):  # None, or a mapping of somebody's own
        raise UserError(f'{words!r} is no setting: give words, such as "algo=dqn env=cartpole", or a list of them')
    try:
        return shlex.split(words) if isinstance(words, str) else [str(word) for word in words]
    except ValueError as error:
        raise UserError(f"cannot read {words!r}: {error}") from error


def _config(given: Given, config_dir: str | Path | None) -> Config:
    if not isinstance(given, Config):
        return compose(given, config_dir=config_dir)
    if config_dir is not None:
        raise UserError("config_dir belongs to compose: this config is composed already")
    return check_plain(given.as_plain() | {"fresh": given.fresh}, given.labels)  # `replace` may have put in anything
