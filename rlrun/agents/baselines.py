"""Baselines of REINFORCE: subtracting anything that does not depend on the action leaves the gradient unbiased."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from rlrun.annotations import used_when
from rlrun.nn.descent import descend
from rlrun.nn.networks import Network, build_value
from rlrun.nn.optimizers import OptimizerFactory, at_step
from rlrun.numerics.losses import masked_mean, masked_squared_error
from rlrun.rng import torch_generator
from rlrun.types import EnvSpec, State


class Baseline(Protocol):
    """Learns to predict the weights of a batch of whole episodes."""

    def predict(self, obs: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
        """The baseline of `weight` [T, B]; broadcasts to [T, B]."""
        ...

    def learn(self, obs: Tensor, weight: Tensor, mask: Tensor, step: int) -> dict[str, Tensor]:
        """Learns from the batch, after the policy has used it; `step` is the agent step after it, for schedules."""
        ...

    def state_dict(self) -> State:
        """The learned state."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        ...


class NullBaseline:
    """Subtracts nothing."""

    def predict(self, obs: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
        """Zero."""
        del obs, mask
        return torch.zeros_like(weight)

    def learn(self, obs: Tensor, weight: Tensor, mask: Tensor, step: int) -> dict[str, Tensor]:
        """Nothing to learn."""
        del obs, weight, mask, step
        return {}

    def state_dict(self) -> State:
        """No state."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """No state."""
        del state


class BatchMean(NullBaseline):
    """Subtracts the mean weight of the batch.

    That mean includes an episode's own steps, so the gradient is slightly biased: its mean shrinks by about the
    episode's share, and since longer episodes have larger shares, its direction changes a little too. Both effects
    vanish with many episodes in a batch; a single one is refused, since nothing would be left.
    """

    def predict(self, obs: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
        """The mean over the steps in `mask`."""
        del obs
        return masked_mean(weight, mask)


class MovingAverage:
    """Subtracts a running mean of earlier batches (Williams 1992, reinforcement comparison).

    Args:
        decay: of the running mean, per batch.
        device: where it lives.
    """

    def __init__(self, decay: float, device: torch.device) -> None:
        self._decay = decay
        self._mean = torch.zeros((), device=device)
        self._batches = 0

    def predict(self, obs: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
        """The running mean, corrected for its start at zero; zero before the first batch."""
        del obs, weight, mask
        return self._mean / (1 - self._decay**self._batches) if self._batches else self._mean

    def learn(self, obs: Tensor, weight: Tensor, mask: Tensor, step: int) -> dict[str, Tensor]:
        """Moves the mean towards this batch's."""
        del obs, step
        self._mean = self._decay * self._mean + (1 - self._decay) * masked_mean(weight, mask)
        self._batches += 1
        return {}

    def state_dict(self) -> State:
        """The mean and how many batches are in it."""
        return {"mean": self._mean, "batches": self._batches}

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self._mean = state["mean"].to(self._mean.device)
        self._batches = state["batches"]


class LearnedValue:
    """Subtracts a value function that is fitted to the weights (Sutton and Barto 2018, section 13.4).

    Args:
        value: observations [N, ...] to [N, 1].
        optimizer: of `value`.
        updates: steps of gradient descent per batch.
    """

    def __init__(self, value: nn.Module, optimizer: torch.optim.Optimizer, updates: int) -> None:
        self._value = value
        self._parameters = list(value.parameters())
        self._optimizer = optimizer
        self._updates = updates

    def predict(self, obs: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
        """V(s) [T, B]."""
        del mask
        with torch.no_grad():
            value: Tensor = self._value(obs.flatten(0, 1)).reshape(weight.shape)
        return value

    def learn(self, obs: Tensor, weight: Tensor, mask: Tensor, step: int) -> dict[str, Tensor]:
        """Fits V to the weights by least squares."""
        at_step(self._optimizer, step)
        loss = torch.zeros(())
        for _ in range(self._updates):
            value = self._value(obs.flatten(0, 1)).reshape(weight.shape)
            loss = masked_squared_error(value, weight, mask)
            descend(loss, self._parameters, self._optimizer, None)
        return {"loss/value": loss.detach()}

    def state_dict(self) -> State:
        """Network and optimizer."""
        return {"value": self._value.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self._value.load_state_dict(state["value"])
        self._optimizer.load_state_dict(state["optimizer"])


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineSettings:
    """What is subtracted from the weights.

    Args:
        kind: nothing, a mean of earlier batches, the batch's own mean, or a learned value.
        decay: of the moving average, per batch.
        optimizer: makes the optimizer of the learned value.
        updates: gradient steps on the learned value per batch.
    """

    kind: Literal["none", "moving_average", "batch_mean", "value"]
    decay: Annotated[float, Field(ge=0, lt=1), used_when(kind="moving_average")]
    optimizer: Annotated[OptimizerFactory, used_when(kind="value")]
    updates: Annotated[int, Field(gt=0), used_when(kind="value")]

    def make(self, network: Network, spec: EnvSpec, device: torch.device, seed: int) -> Baseline:
        """The baseline itself, for observations of `spec`."""
        if self.kind == "value":
            value = build_value(network, spec, torch_generator(seed, "agent/init_value")).to(device)
            return LearnedValue(value, self.optimizer(value.parameters()), self.updates)
        if self.kind == "moving_average":
            return MovingAverage(self.decay, device)
        return BatchMean() if self.kind == "batch_mean" else NullBaseline()
