"""The gradient of a loss: by autograd, or as one piece of compiled code (experimental)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

TensorMetrics = dict[str, Tensor]  # metrics of an update, without gradient
Loss = Callable[..., tuple[Tensor, TensorMetrics]]  # of tensors; the loss is a scalar


def backward_through(loss: Loss) -> Callable[..., TensorMetrics]:
    """A function that adds the gradient of `loss` to the `grad` of all that it depends on, and returns its metrics."""

    def backward(*inputs: Any) -> TensorMetrics:
        value, metrics = loss(*inputs)
        value.backward()  # type: ignore[no-untyped-call]
        return metrics

    return backward


def compiled_backward_through(
    loss: Loss, network: nn.Module, compiled: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Callable[..., TensorMetrics]:
    """A function that sets the `grad` of the parameters of `network`: forward and backward pass in one piece.

    Args:
        loss: depends only on the parameters of `network`; those that it does not use get a gradient of 0.
        network: whose gradient is computed.
        compiled: compiles a function of trees of tensors.
    """
    parameters = {f"network.{name}": parameter for name, parameter in network.named_parameters()}
    lending = _Lending(network, loss)

    def loss_and_gradient(weights: dict[str, Tensor], inputs: tuple[Any, ...]) -> Any:
        # torch's compiler traces its function transforms, but not `Tensor.backward`.
        return grad_and_value(lambda lent, given: functional_call(lending, lent, given), has_aux=True)(weights, inputs)

    both = compiled(loss_and_gradient)

    @torch.no_grad()
    def backward(*inputs: Any) -> TensorMetrics:
        gradients, (_, metrics) = both({name: parameter.detach() for name, parameter in parameters.items()}, inputs)
        for name, parameter in parameters.items():
            parameter.grad = gradients[name]
        return dict(metrics)

    return backward


class _Lending(nn.Module):
    """Replaces a network's parameters while the loss is computed."""

    def __init__(self, network: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.network = network
        self._loss = loss

    def forward(self, *inputs: Any) -> tuple[Tensor, TensorMetrics]:
        return self._loss(*inputs)
