"""Gradient descent steps for every agent, in few calls, which dominate the time of small networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rlrun.nn.flat import FlatOptimizer


def descend(
    loss: Tensor, parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer, max_grad_norm: float | None
) -> Tensor:
    """One step of the optimizer. Parameters that `loss` does not depend on are unchanged.

    Args:
        loss: a scalar.
        parameters: all that the optimizer moves.
        optimizer: of `parameters`.
        max_grad_norm: longer gradients are scaled down to this norm; None: unchanged.

    Returns:
        The gradient's norm before it was scaled, a scalar without gradient.
    """
    for parameter in parameters:
        parameter.grad = None
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = gradients_of(parameters, optimizer)
    norm = gradient_norm(gradients)
    if max_grad_norm is not None:
        scale_down(gradients, norm, max_grad_norm)
    optimizer.step()
    return norm


def gradients_of(parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The gradients that the next step of `optimizer` reads, in the optimizer's own grouping of tensors."""
    if isinstance(optimizer, FlatOptimizer):
        return optimizer.gradients()
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def gradient_norm(gradients: list[Tensor]) -> Tensor:
    """The norm of all of them as one vector."""
    if len(gradients) == 1:
        norm: Tensor = torch.linalg.vector_norm(gradients[0])
    else:
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return norm


def scale_down(gradients: list[Tensor], norm: Tensor, limit: float) -> None:
    """Scales gradients of norm `norm` down to `limit`, in place (Pascanu et al. 2013, algorithm 1)."""
    torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))
