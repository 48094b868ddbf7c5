"""Makes environments and agents of a config for the contract tests: on the CPU, as many as they ask for."""

from __future__ import annotations

from pathlib import Path

import torch

from rlrun.build import instantiate, make_agent
from rlrun.compute.device import Device
from rlrun.compute.execution import plainly
from rlrun.config.config import Config
from rlrun.config.memory_need import refuse_too_large
from rlrun.protocols import Agent, VecEnv
from rlrun.types import EnvSpec

_CPU = torch.device("cpu")


class CheckedParts:
    """The parts of one config.

    Args:
        config: a checked one.
        directory: what agents are told is the run's; it need not exist. Not one of a real run: they may write there.

    Raises:
        UserError: if environment or agent cannot be made at all, with the message of a run.
    """

    def __init__(self, config: Config, directory: Path) -> None:
        self._config, self._directory = config, directory
        refuse_too_large(config, _CPU)
        env = self.env()
        self.spec = env.spec
        self.agent(env.spec, 0)
        env.close()
        device: Device = instantiate(config.device, {}, kind="cpu", compile="none")
        device.activate(self.spec.obs_shape)

    def env(self, **replaced: int) -> VecEnv:
        """The training environment, with other values for some of its keys."""
        env: VecEnv = instantiate(self._config.env, {}, **replaced)
        return env

    def agent(self, spec: EnvSpec, seed: int) -> Agent:
        """A new agent, with a network of its own."""
        runtime = {"spec": spec, "device": _CPU, "seed": seed, "directory": self._directory, "execution": plainly(_CPU)}
        return make_agent(self._config, runtime)
