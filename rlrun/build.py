"""The composition root: a checked config becomes objects here and nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from typing_extensions import get_protocol_members

from rlrun.compute.device import Device
from rlrun.compute.execution import PLAIN, Execution, plainly
from rlrun.config.config import Config
from rlrun.config.constructors import product_of
from rlrun.config.memory_need import in_words, refuse_long_rollouts, refuse_too_large
from rlrun.config.schema import Component
from rlrun.config.type_fit import fits
from rlrun.errors import DoesNotFitError, UserError, inside
from rlrun.loop.collect import Collector
from rlrun.loop.evaluate import EvaluationSettings, Evaluator, rules_of
from rlrun.loop.evaluation_actions import EvaluationActions, evaluation_actions
from rlrun.loop.progress import make_display
from rlrun.loop.run import Run
from rlrun.numerics.schedules import Schedule, unfinished
from rlrun.pictures.artifacts import TableArtifacts
from rlrun.protocols import Agent, Renderable, VecEnv
from rlrun.runs.checkpoint import Checkpoints, CheckpointSettings
from rlrun.runs.directory import attempt, check_writable, run_directory
from rlrun.runs.episode_recorder import NULL_RECORDER, EpisodeRecorder, Recorder
from rlrun.runs.loggers import Hyperparameter, MultiLogger
from rlrun.runs.manifest import experiment_hash, flat
from rlrun.runs.policies import Policies

_LOG = logging.getLogger(__name__)
PROCESS_BYTES = 2**29  # of Python, torch and an emulator, without what is remembered


@dataclass(frozen=True, slots=True)
class Built:
    """A run, and what the manifest wants to know of it. `close` frees its environments."""

    run: Run
    device: str
    num_threads: int
    resources: ExitStack

    @property
    def rules(self) -> dict[str, float | str | None]:
        """What the scores of its evaluations depend on."""
        run, spec = self.run, self.run.evaluator.env.spec
        return rules_of(
            run.evaluation, evaluation_actions(run.agent, run.evaluation.epsilon, spec.num_actions).name, spec
        )

    def close(self) -> None:
        """Closes the environments."""
        self.resources.close()


def instantiate(component: Component, runtime: Mapping[str, object], **replaced: object) -> Any:
    """Calls a component's target with its values; nested components first.

    Args:
        component: a checked component.
        runtime: values for the runtime arguments that it, or a component inside it, takes.
        replaced: keys whose configured value is not the one to use.
    """
    arguments = {}
    for name, value in component.arguments.items():
        with inside(name):
            arguments[name] = _built(value, runtime)
    if component.partial:
        return partial(component.call, **arguments)
    supplied = {name: runtime[name] for name in component.runtime if name in runtime}
    return component.call(**arguments | supplied | replaced)


def _built(value: Any, runtime: Mapping[str, object]) -> Any:
    if isinstance(value, Component):
        return instantiate(value, runtime)
    if isinstance(value, list):
        return [_built(item, runtime) for item in value]
    return value


def make_agent(config: Config, runtime: Mapping[str, object]) -> Agent:
    """The agent of `config`.

    Raises:
        UserError: if it does not fit what `runtime` has.
    """
    try:
        with inside("algo"):
            agent: Agent = instantiate(config.algo, runtime)
    except DoesNotFitError as error:
        algo, env = (config.labels[name] for name in ("algo", "env"))
        raise UserError(f"algo={algo} cannot be used with env={env}: {error}") from error
    return agent


def directory_of(config: Config) -> Path:
    """The directory of the run of `config`: the latest one, or, with `fresh=true`, a new one next to it."""
    name = config.name or experiment_hash(config.experiment())
    first = run_directory(config.runs_dir, config.labels["env"], config.labels["algo"], name, config.seed)
    return attempt(first, fresh=config.fresh)


def memory_bytes(config: Config) -> int:
    """How much memory a process with the run of `config` takes, about: torch, and what the agent remembers."""
    remembering = [each for _, each in config.components() if hasattr(each.call, "memory_bytes")]
    if not remembering:
        return PROCESS_BYTES
    env: VecEnv = instantiate(config.env, {})
    with closing(env):
        return PROCESS_BYTES + sum(int(instantiate(each, {}).memory_bytes(env.spec)) for each in remembering)


def identity_of(config: Config) -> dict[str, Any]:
    """What a checkpoint of the run of `config` belongs to."""
    return {"experiment": experiment_hash(config.experiment()), "seed": config.seed}


def build(config: Config, directory: Path | None = None, num_threads: int | None = None) -> Built:
    """Builds the run of `config`. Creates no directory.

    Args:
        config: a checked one.
        directory: where the run is stored; None: `directory_of(config)`.
        num_threads: number of CPU threads of a resumed or repeated run; None for a new one.

    Raises:
        UserError: if the parts do not fit together, or the machine lacks what they need.
    """
    directory = directory or directory_of(config)
    check_writable(directory)
    with inside("device"):
        device: Device = instantiate(config.device, {})
    if num_threads is not None:
        device.keep_threads(num_threads)
    refuse_too_large(config, device.torch_device)
    evaluation, checkpoint = EvaluationSettings(**config.evaluation), CheckpointSettings(**config.checkpoint)
    with in_words(), ExitStack() as stack:
        env: VecEnv = instantiate(config.env, {})
        stack.callback(env.close)
        device.activate(env.spec.obs_shape)
        for remark in env.spec.remarks:
            _LOG.info(remark)
        evaluation_env: VecEnv = instantiate(config.env, {}, **evaluation.environment)
        stack.callback(evaluation_env.close)
        runtime = {
            "spec": env.spec,
            "device": device.torch_device,
            "seed": config.seed,
            "directory": directory,
            "execution": device.execution,
        }
        if "execution" not in config.algo.runtime:
            _refuse_unused_settings(config, device.execution, "takes no `execution`")
        agent = make_agent(config, runtime)
        refuse_long_rollouts(agent.collection, env.spec)
        for key, schedule in _schedules(config.algo, "algo", runtime):
            if line := unfinished(schedule, key, config.total_steps):
                _LOG.warning(line)
        _refuse_unused_settings(config, device.execution, "as configured does not use it here")
        recorder = _recorder(env, directory) if config.record_episodes else NULL_RECORDER
        run = Run(
            agent=agent,
            collector=Collector(env, agent.collection, device.torch_device, config.seed, recorder),
            evaluator=_evaluator(evaluation, evaluation_env, config.seed, device.torch_device),
            directory=directory,
            total_steps=config.total_steps,
            log_every_steps=config.log_every_steps,
            evaluation=evaluation,
            checkpoint=checkpoint,
            checkpoints=Checkpoints(directory, identity_of(config), checkpoint.keep),
            policies=Policies(directory, identity_of(config)),
            logger=MultiLogger(
                {
                    name: instantiate(logger, {"directory": directory, "hyperparameters": _hyperparameters(config)})
                    for name, logger in config.loggers.items()
                },
                directory,
            ),
            display=make_display(),
            artifacts=TableArtifacts(
                agent=agent,
                model=env.spec.seen_model,
                directory=directory,
                title=config.labels["algo"],
            ),
        )
        return Built(run, str(device.torch_device), device.threads_for(env.spec.obs_shape), stack.pop_all())


@dataclass(frozen=True, slots=True)
class Player:
    """An agent that only acts, and environments like those in which it is evaluated. `close` frees them."""

    agent: Agent
    env: VecEnv
    evaluation: EvaluationSettings

    @property
    def actions(self) -> EvaluationActions:
        """How the agent acts in evaluation."""
        return evaluation_actions(self.agent, self.evaluation.epsilon, self.env.spec.num_actions)

    def evaluator(self, seed: int) -> Evaluator:
        """Evaluates in these environments, with streams of their own for each seed."""
        return _evaluator(self.evaluation, self.env, seed, torch.device("cpu"))

    def close(self) -> None:
        """Closes the environments."""
        self.env.close()


def _evaluator(evaluation: EvaluationSettings, env: VecEnv, seed: int, device: torch.device) -> Evaluator:
    return Evaluator(
        env,
        evaluation.episodes,
        seed,
        device,
        evaluation.greedy_episodes,
        evaluation.greedy_limit_steps,
        evaluation.epsilon,
    )


def build_player(config: Config, *, num_envs: int | None = None) -> Player:
    """Builds, on the CPU and eagerly, what a policy of the run of `config` plays with; load one into `agent`.

    Args:
        config: a checked one.
        num_envs: slots of the environment; None: as in evaluation.

    Raises:
        UserError: if the parts do not fit together.
    """
    device = torch.device("cpu")
    with in_words(), ExitStack() as stack:
        trained_in: VecEnv = instantiate(config.env, {})
        stack.callback(trained_in.close)
        runtime = {
            "spec": trained_in.spec,
            "device": device,
            "seed": config.seed,
            "directory": Path(),
            "execution": plainly(device),
            "learns": False,
        }
        agent = make_agent(config, runtime)
        evaluation = EvaluationSettings(**config.evaluation)
        slots = {} if num_envs is None else {"num_envs": num_envs}
        env: VecEnv = instantiate(config.env, {}, **evaluation.environment | slots)
        return Player(agent, env, evaluation)


def _schedules(value: Any, key: str, runtime: Mapping[str, object]) -> Iterator[tuple[str, Schedule]]:
    """Every schedule in a value of the config, with its dotted key; built again, since schedules hold no state."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _schedules(item, f"{key}[{index}]", runtime)
    elif isinstance(value, Component):
        if fits(product_of(value.call), Schedule):
            yield key, instantiate(value, runtime)
        for name, inside in value.arguments.items():
            yield from _schedules(inside, f"{key}.{name}", runtime)


def _hyperparameters(config: Config) -> dict[str, Hyperparameter]:
    """What tells a run from others, by dotted key; what is not a single value is written out."""
    plain = config.as_plain()
    named = {key: config.labels[key] for key in ("algo", "env")}
    found = flat({key: plain[key] for key in ("seed", "total_steps", "algo", "env", "device")})
    found = named | {key: value for key, value in found.items() if key not in ("algo._target_", "env._target_")}
    return {key: value if isinstance(value, bool | int | float | str) else str(value) for key, value in found.items()}


def _refuse_unused_settings(config: Config, execution: Execution, why: str) -> None:
    """Raises UserError for settings of `device` that no function of the agent uses."""
    for key, value in execution.unused.items():
        raise UserError(
            f"device.{key}={value} has no effect: algo={config.labels['algo']} {why}; use device.{key}={PLAIN[key]}"
        )


def _recorder(env: VecEnv, directory: Path) -> Recorder:
    if not isinstance(env, Renderable):
        missing = next(name for name in sorted(get_protocol_members(Renderable)) if not hasattr(env, name))
        raise UserError(f"record_episodes=true is not allowed: {env.spec.name} cannot be replayed, it has no {missing}")
    if not env.spec.resumable:
        raise UserError(f"record_episodes=true is not allowed: episodes of {env.spec.name} do not replay exactly")
    return EpisodeRecorder(env, directory)
