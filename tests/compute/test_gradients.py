"""A gradient in one compiled piece is the one of autograd; nothing of it stays in the network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rlrun.compute.gradients import backward_through, compiled_backward_through

F64 = torch.float64


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5, dtype=F64), nn.Tanh(), nn.Linear(5, 2, dtype=F64))


def loss_with(layers: nn.Module) -> Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]:
    def loss_of(x: Tensor, goal: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        y = layers.forward(x)
        with torch.no_grad():
            goal = goal + y.detach().mean()
        loss = (y - goal).square().mean()
        return loss, {"loss": loss.detach(), "y": y.detach()}

    return loss_of


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return partial(torch.compile, backend="aot_eager", fullgraph=True)(function)  # no C++ compiler: quick


@pytest.mark.parametrize("updates", [1, 100])
def test_compiled_gradients_and_updates_are_those_of_autograd(updates: int) -> None:
    sides = []
    for compile_it in (False, True):
        layers = network()
        loss_of = loss_with(layers)
        optimizer = torch.optim.SGD(layers.parameters(), lr=0.1, momentum=0.9)
        backward = compiled_backward_through(loss_of, layers, compiled) if compile_it else backward_through(loss_of)
        generator = torch.Generator().manual_seed(1)
        for _ in range(updates):
            optimizer.zero_grad()
            x = torch.randn(4, 3, dtype=F64, generator=generator)
            said = backward(x, torch.randn(4, 2, dtype=F64, generator=generator))
            gradients = [parameter.grad for parameter in layers.parameters()]
            optimizer.step()
        assert not any(each.requires_grad for each in said.values())
        assert all(isinstance(each, nn.Parameter) for each in layers.parameters())
        sides.append([*said.values(), *gradients, *(each.detach() for each in layers.parameters())])
    for plain, other in zip(*sides, strict=True):
        assert plain is not None
        assert other is not None
        torch.testing.assert_close(other, plain, rtol=1e-10, atol=1e-12)
