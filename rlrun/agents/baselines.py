"""Baselines of REINFORCE: subtracting anything that does not depend on the action leaves the gradient unbiased."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from rlrun.nn.descent import descend
from rlrun.numerics.losses import masked_mean, masked_squared_error
from rlrun.types import State


class Baseline(Protocol):
    """Learns to predict the weights of a batch of whole episodes."""

    def predict(self, obs: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
        """The baseline of `weight` [T, B]; broadcasts to [T, B]."""
        ...

    def learn(self, obs: Tensor, weight: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Learns from the batch, after the policy has used it."""
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

    def learn(self, obs: Tensor, weight: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Nothing to learn."""
        del obs, weight, mask
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

    def learn(self, obs: Tensor, weight: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Moves the mean towards this batch's."""
        del obs
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

    def learn(self, obs: Tensor, weight: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Fits V to the weights by least squares."""
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
