"""What the programs here share: their arguments, the machine, and agents that are carried out one way or another."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import torch
from provenance import RESULTS
from torch import Tensor

from rlrun.build import instantiate
from rlrun.cli.bench.workloads import DQN_PONG
from rlrun.compute.captured import Recorder
from rlrun.compute.cuda_graphs import CudaGraphs
from rlrun.compute.device import Device
from rlrun.compute.execution import Compile, Execution, Precision
from rlrun.config.arguments import changed
from rlrun.config.compose import load_config
from rlrun.config.config import Config
from rlrun.config.files import config_directory
from rlrun.loop.collect import Collector
from rlrun.protocols import Agent, VecEnv
from rlrun.testing.recorded_operations import RecordedOperations

# The same shapes of work in a minute on a CPU: for trying the programs out, not for numbers.
_TINY = (
    "algo=dqn",
    "env=cartpole",
    "env.num_envs=4",
    "algo.network.hidden=[16]",
    "algo.optimizer.learning_rate=5e-4",  # a number: what is timed asks no schedule
    "algo.replay.batch_size=8",
    "algo.replay.ratio=1",
    "algo.replay.learning_starts_steps=64",
    "algo.replay.capacity_steps=2000",
)
_FULL = (
    "algo.replay.capacity_steps=100000",
    "algo.replay.learning_starts_steps=4000",
    "algo.exploration.epsilon.duration_steps=4",
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the command line asked for."""

    device: str
    tiny: bool
    seconds: float  # for the whole part
    results: Path

    def overrides(self, num_envs: int | None = None) -> list[str]:
        """DQN Pong as it is timed elsewhere, or something tiny; of so many environments."""
        overrides = list(_TINY) if self.tiny else changed(DQN_PONG, *_FULL, "env.num_envs=16")
        overrides = [*overrides, f"device={self.device}", "evaluation.num_envs=1"]
        return overrides if num_envs is None else changed(overrides, f"env.num_envs={num_envs}")

    def machine(self) -> str:
        """The GPU's name, or the CPU's word for itself."""
        return torch.cuda.get_device_name() if self.device == "cuda" else self.device


def chosen(description: str, argv: Sequence[str] | None = None) -> Chosen:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a stand-in for graphs")
    parser.add_argument("--tiny", action="store_true", help="a try in seconds; its numbers mean nothing")
    parser.add_argument("--seconds", type=float, default=540.0, help="for this part (default 540)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory of the CSVs")
    given = parser.parse_args(argv)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no NVIDIA GPU here; --device cpu --tiny tries the program out")
    return Chosen(given.device, given.tiny, given.seconds, given.results)


class Clock:
    """How much of the time for a part is left."""

    def __init__(self, seconds: float) -> None:
        self._end = perf_counter() + seconds

    @property
    def left(self) -> float:
        """Seconds; negative when it is over."""
        return self._end - perf_counter()


class Counted:
    """A recorder that counts what it records: an agent that records nothing cannot pass for one that does."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.made = 0

    def warm_up(self, function: Callable[[], object]) -> None:
        """See `Recorder.warm_up`."""
        self._recorder.warm_up(function)

    def record(self, function: Callable[[], Mapping[str, Tensor]]) -> tuple[Callable[[], None], Mapping[str, Tensor]]:
        """See `Recorder.record`."""
        self.made += 1
        return self._recorder.record(function)


class Parts:
    """Environments and agents of one config, all from equal seeds.

    Args:
        overrides: as after `rlrun`.
        deterministic: see `Device`.
    """

    def __init__(self, overrides: Sequence[str], *, deterministic: bool) -> None:
        flag = f"device.deterministic={str(deterministic).lower()}"
        self.config: Config = load_config([*overrides, flag], [config_directory()])
        device: Device = instantiate(self.config.device, {})
        self.device = device.torch_device
        env = self.env()
        device.activate(env.spec.obs_shape)
        self.spec = env.spec
        env.close()

    def env(self) -> VecEnv:
        """A new environment."""
        return cast(VecEnv, instantiate(self.config.env, {}))

    def recorder(self) -> Counted:
        """CUDA graphs, or on the CPU a stand-in for them."""
        return Counted(CudaGraphs(self.device) if self.device.type == "cuda" else RecordedOperations())

    def agent(
        self,
        compile: Compile,  # noqa: A002
        precision: Precision = "float32",
        device: torch.device | None = None,
        recorder: Recorder | None = None,
    ) -> Any:
        """A new agent; `recorder` is one of its own where it is None and `compile` needs one."""
        device = device or self.device
        if recorder is None and (compile == "graphs" or (compile == "inductor" and device.type == "cuda")):
            recorder = self.recorder()
        runtime = {
            "spec": self.spec,
            "device": device,
            "seed": 0,
            "directory": Path(),
            "execution": Execution(device, compile, precision, recorder),
        }
        return instantiate(self.config.algo, runtime)

    def collector(self, agent: Agent) -> Collector:
        """A new collector with an environment of its own."""
        return Collector(self.env(), agent.collection, self.device, 0)
