"""The gradient of a loss: by autograd as it runs, or as one piece of compiled code.

What is returned are partial functions and no closures, since `copy.deepcopy` of an agent copies only what those hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    return partial(_backward, loss_of, list(network.parameters()))


def _backward(loss_of: Loss, parameters: Sequence[nn.Parameter], *inputs: Tensor) -> Any:
    for parameter in parameters:
        parameter.grad = None
    loss, said = loss_of(*inputs)
    loss.backward()  # type: ignore[no-untyped-call]
    return said


def compiled_backward_through(
    loss_of: Loss, network: nn.Module, compiled: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Callable[..., Any]:
    """The same, with pass and gradient in one piece; parameters that are not used get a gradient of 0.

    Args:
        loss_of: as above.
        network: as above.
        compiled: compiles a function of trees of tensors.
    """
    parameters = {f"network.{name}": parameter for name, parameter in network.named_parameters()}
    both = partial(_loss_and_gradient, _Lending(network, loss_of))
    return partial(_compiled_backward, compiled(both), parameters)


def _loss_and_gradient(lending: _Lending, weights: dict[str, Tensor], inputs: tuple[Tensor, ...]) -> Any:
    # torch's compiler looks through its own transform of functions, and not into `Tensor.backward`.
    return grad_and_value(partial(functional_call, lending), has_aux=True)(weights, inputs)


@torch.no_grad()
def _compiled_backward(both: Callable[..., Any], parameters: Mapping[str, nn.Parameter], *inputs: Tensor) -> Any:
    gradients, (_, said) = both({name: parameter.detach() for name, parameter in parameters.items()}, inputs)
    for name, parameter in parameters.items():
        parameter.grad = gradients[name]
    return said


class _Lending(nn.Module):
    """Other numbers in the place of a network's parameters, while the loss is computed."""

    def __init__(self, network: nn.Module, loss_of: Loss) -> None:
        super().__init__()
        self.network = network
        self._loss_of = loss_of

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return self._loss_of(*inputs)
