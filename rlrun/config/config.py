"""A checked config: every key is known, and every value is coerced and in range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from rlrun.annotations import TARGET
from rlrun.config.catalogue import LOG_VALUES, RUN_VALUES, SETTINGS, kind
from rlrun.config.schema import (
    Component,
    as_plain,
    check_component,
    check_value,
    components_in,
    experiment,
    signature_of,
)
from rlrun.errors import UnknownKeyError, WrongKeyError, nearest

_RUN = {
    "seed": Annotated[int, Field(ge=0, lt=2**63)],
    "total_steps": Annotated[int, Field(ge=1)],
    "runs_dir": Annotated[str, Field(min_length=1)],
    "name": Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")] | None,
    "log_every_steps": Annotated[int, Field(ge=1)],
    "record_episodes": bool,
}
_ASKED = {"fresh": bool}  # of this command, not of the run
TOP: Mapping[str, Any] = _RUN | _ASKED
GROUPS_OF_OBJECTS = ("algo", "env", "device")
LOGGERS = "logger"  # the group of which several may be chosen: each option is an object of its own, logger.NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A config in which every key is known and every value is coerced and in range."""

    seed: int
    total_steps: int  # agent steps, all slots
    runs_dir: Path
    name: str | None
    fresh: bool  # start a new run next to the existing ones
    log_every_steps: int
    record_episodes: bool
    evaluation: Mapping[str, Any]  # the fields of `rlrun.loop.evaluate.EvaluationSettings`
    checkpoint: Mapping[str, Any]  # the fields of `rlrun.runs.checkpoint.CheckpointSettings`
    algo: Component
    env: Component
    device: Component
    loggers: Mapping[str, Component]  # by name; none: only the files that every run has
    labels: Mapping[str, str]  # what a person calls the algorithm and the environment: `algo`, `env`, `preset`

    def components(self) -> Iterator[tuple[str, Component]]:
        """All components that have an effect, also inside others, with where they stand, dotted."""
        for group in GROUPS_OF_OBJECTS:
            yield from components_in(getattr(self, group), group)
        for name, component in self.loggers.items():
            yield from components_in(component, f"{LOGGERS}.{name}")

    def as_plain(self) -> dict[str, Any]:
        """What `config.yaml` of a run holds."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in (*_RUN, *SETTINGS, *GROUPS_OF_OBJECTS)}
        return {name: as_plain(value) for name, value in (plain | {LOGGERS: self.loggers}).items()}

    def experiment(self) -> dict[str, Any]:
        """What defines the experiment, whatever its seed, length, machine, speed, logging and evaluation."""
        return {name: experiment(getattr(self, name)) for name in ("algo", "env", "device")}

    def settings(self) -> dict[str, Any]:
        """What decides which rows of numbers there are, besides the experiment, the seed and the length."""
        return {"log_every_steps": self.log_every_steps, "evaluation": dict(self.evaluation)}


def check_plain(raw: Mapping[str, Any], labels: Mapping[str, str]) -> Config:
    """Checks a config that is composed and resolved already, such as a run's `config.yaml`.

    Args:
        raw: plain values.
        labels: what people call the algorithm and the environment.

    Raises:
        UserError: at the first thing that is wrong.
    """
    expected = {**TOP, **SETTINGS, **dict.fromkeys((*GROUPS_OF_OBJECTS, LOGGERS))}
    for name in raw:
        if name not in expected:
            raise UnknownKeyError(f"unknown key {name}; nearest: {', '.join(nearest(str(name), expected))}", str(name))
    for name in GROUPS_OF_OBJECTS:
        if name not in raw:
            raise WrongKeyError(f"{name} is missing", name)
    top = {name: check_value(annotation, raw.get(name), name) for name, annotation in TOP.items()}
    settings = {name: check_component(_section(raw.get(name), target), name) for name, target in SETTINGS.items()}
    config = Config(
        **top | {"runs_dir": Path(top["runs_dir"])},
        evaluation=settings["evaluation"].arguments,
        checkpoint=settings["checkpoint"].arguments,
        algo=check_component(raw["algo"], "algo", expected=kind("Agent"), runtime=RUN_VALUES),
        env=check_component(raw["env"], "env", expected=kind("VecEnv")),
        device=check_component(raw["device"], "device", expected=kind("Device")),
        loggers=_loggers(raw.get(LOGGERS)),
        labels=labels,
    )
    if "num_envs" not in config.env.arguments:
        raise WrongKeyError(
            f"env._target_={config.env.target} takes no num_envs, so it cannot be evaluated separately", "env._target_"
        )
    _check_ends(config)
    _check_that_it_limits(config.evaluation, config.env)
    return config


def _section(value: object, target: str) -> object:
    """A section whose class is fixed, as the object that it is."""
    return {**value, TARGET: target} if isinstance(value, Mapping) else value


def _loggers(raw: object) -> dict[str, Component]:
    found = raw or {}
    if not isinstance(found, Mapping) or TARGET in found:
        raise WrongKeyError(
            f"{LOGGERS} must hold one object for each name, as {LOGGERS}.NAME.{TARGET}; the first line of a file in "
            f"{LOGGERS}/ is # @package {LOGGERS}.NAME",
            LOGGERS,
        )
    return {
        str(name): check_component(value, f"{LOGGERS}.{name}", expected=kind("Logger"), runtime=LOG_VALUES)
        for name, value in found.items()
    }


def _check_ends(config: Config) -> None:
    """Refuses what would happen only after the run: learning that starts too late."""
    for path, component in config.components():
        for name in component.before_end:
            if component.arguments[name] >= config.total_steps:
                raise WrongKeyError(
                    f"{path}.{name}={component.arguments[name]} is not before total_steps={config.total_steps}: "
                    "nothing would be learned; for a quick try debug=short sets both",
                    f"{path}.{name}",
                )


def _check_that_it_limits(evaluation: Mapping[str, Any], env: Component) -> None:
    """Refuses a limit on frames of evaluation episodes where an environment counts none, or would not take it."""
    name = "max_episode_frames"
    limit = evaluation[name]
    if limit is None:
        return
    if name not in env.arguments:
        raise WrongKeyError(
            f"evaluation.{name}={limit} has no effect: env._target_={env.target} has no {name}; leave it out, or "
            f"evaluation.{name}=null",
            f"evaluation.{name}",
        )
    check_value(signature_of(env.target, "env", frozenset()).keys[name], limit, f"evaluation.{name}")
