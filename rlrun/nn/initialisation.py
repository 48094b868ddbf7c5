"""Initial weights, drawn from a given generator, never from torch's global one."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import nn

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


def unfilled(layer: type[Layer], *arguments: int) -> Layer:
    """A layer whose weights are drawn later; torch's own initialisation of it leaves the global generator unchanged.

    `nn.utils.skip_init` draws none, but its import of symbolic algebra takes half a second.
    """
    with torch.random.fork_rng(devices=[]):
        return layer(*arguments)  # type: ignore[arg-type]


def initialise_uniform(module: nn.Module, rng: torch.Generator) -> None:
    """PyTorch's own default for linear and convolutional layers, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), all layers."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            bound = 1.0 / math.sqrt(layer.weight[0].numel())
            nn.init.uniform_(layer.weight, -bound, bound, generator=rng)
            if layer.bias is not None:
                nn.init.uniform_(layer.bias, -bound, bound, generator=rng)


def initialise_orthogonal(module: nn.Module, gain: float, rng: torch.Generator) -> None:
    """Orthogonal weights with `gain` and zero biases, all layers (Saxe et al. 2014; openai/baselines)."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            drawn = torch.empty(layer.weight.shape)  # contiguous, as orthogonal_ needs; convolutions are channels-last
            nn.init.orthogonal_(drawn, gain, generator=rng)
            with torch.no_grad():
                layer.weight.copy_(drawn)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
