"""The gradient of a loss: by autograd as it runs, or as one piece of compiled code (experimental)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

Said = dict[str, Tensor]  # what an agent wants to know of an update, without gradient
Loss = Callable[..., tuple[Tensor, Said]]  # of tensors; the loss is a scalar


def backward_through(loss: Loss) -> Callable[..., Said]:
    """What adds the gradient of `loss` to the `grad` of all that it depends on, and returns what else it says."""

    def backward(*inputs: Any) -> Said:
        value, said = loss(*inputs)
        value.backward()  # type: ignore[no-untyped-call]
        return said

    return backward


def compiled_backward_through(
    loss: Loss, network: nn.Module, compiled: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Callable[..., Said]:
    """What sets the `grad` of the parameters of `network`, with pass and gradient in one piece.

    Args:
        loss: depends on the parameters of `network` alone; those that it does not use get a gradient of 0.
        network: whose gradient is wanted.
        compiled: compiles a function of trees of tensors.
    """
    parameters = {f"network.{name}": parameter for name, parameter in network.named_parameters()}
    lending = _Lending(network, loss)

    def loss_and_gradient(weights: dict[str, Tensor], inputs: tuple[Any, ...]) -> Any:
        # torch's compiler looks through its own transform of functions, and not into `Tensor.backward`.
        return grad_and_value(lambda lent, given: functional_call(lending, lent, given), has_aux=True)(weights, inputs)

    both = compiled(loss_and_gradient)

    @torch.no_grad()
    def backward(*inputs: Any) -> Said:
        gradients, (_, said) = both({name: parameter.detach() for name, parameter in parameters.items()}, inputs)
        for name, parameter in parameters.items():
            parameter.grad = gradients[name]
        return dict(said)

    return backward


class _Lending(nn.Module):
    """Other numbers in the place of a network's parameters, while the loss is computed."""

    def __init__(self, network: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.network = network
        self._loss = loss

    def forward(self, *inputs: Any) -> tuple[Tensor, Said]:
        return self._loss(*inputs)
