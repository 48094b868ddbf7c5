"""The gradient of a loss: by autograd as it runs, or as one piece of compiled code."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

Loss = Callable[..., tuple[Tensor, Any]]  # of tensors: a scalar, and a tree of tensors without gradient


def backward_through(loss_of: Loss, network: nn.Module) -> Callable[..., Any]:
    """What leaves the gradient of `loss_of` in the parameters' `grad`, and returns the tree of tensors.

    Args:
        loss_of: uses the parameters of `network`, and no others. Those that it does not use get no gradient.
        network: whose parameters are asked about.
    """
    parameters = list(network.parameters())

    def backward(*inputs: Tensor) -> Any:
        for parameter in parameters:
            parameter.grad = None
        loss, said = loss_of(*inputs)
        loss.backward()  # type: ignore[no-untyped-call]
        return said

    return backward


def compiled_backward_through(
    loss_of: Loss, network: nn.Module, compiled: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Callable[..., Any]:
    """The same, with pass and gradient in one piece; parameters that are not used get a gradient of 0.

    Args:
        loss_of: as above.
        network: as above.
        compiled: compiles a function of trees of tensors.
    """
    parameters = dict(network.named_parameters())
    lent = partial(functional_call, _Lending(network, loss_of))
    # torch's compiler looks through its own transform of functions, and not into `Tensor.backward`.
    both = compiled(lambda weights, inputs: grad_and_value(lent, has_aux=True)(weights, inputs))

    @torch.no_grad()
    def backward(*inputs: Tensor) -> Any:
        weights = {f"network.{name}": parameter.detach() for name, parameter in parameters.items()}
        gradients, (_, said) = both(weights, inputs)
        for name, parameter in parameters.items():
            parameter.grad = gradients[f"network.{name}"]
        return said

    return backward


class _Lending(nn.Module):
    """Other numbers in the place of a network's parameters, while the loss is computed."""

    def __init__(self, network: nn.Module, loss_of: Loss) -> None:
        super().__init__()
        self.network = network
        self._loss_of = loss_of

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return self._loss_of(*inputs)
