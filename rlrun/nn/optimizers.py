"""Optimizers as configs name them: called with parameters, they make a torch optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Adam:
    """Kingma and Ba 2015, in one fused kernel.

    Args:
        learning_rate: step size.
        eps: added to the denominator.
    """

    def __init__(self, *, learning_rate: Positive, eps: Positive) -> None:
        self._learning_rate = learning_rate
        self._eps = eps

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimizer of `parameters`."""
        return torch.optim.Adam(parameters, lr=self._learning_rate, eps=self._eps, fused=True)


class RMSProp:
    """Torch's RMSProp, dw / (sqrt(g2) + eps): what A2C uses (Mnih et al. 2016, eq. S2).

    Args:
        learning_rate: step size.
        decay: of the running mean of squared gradients.
        eps: added to the denominator.
    """

    def __init__(self, *, learning_rate: Positive, decay: Fraction, eps: Positive) -> None:
        self._learning_rate = learning_rate
        self._decay = decay
        self._eps = eps

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimizer of `parameters`."""
        return torch.optim.RMSprop(parameters, lr=self._learning_rate, alpha=self._decay, eps=self._eps)


class CentredRMSProp:
    """The RMSProp of the DQN paper's code, dw / sqrt(g2 - g^2 + eps): eps is inside the root.

    Args:
        learning_rate: step size.
        decay: of the running means of the gradient and of its square.
        eps: added under the root.
    """

    def __init__(self, *, learning_rate: Positive, decay: Fraction, eps: Positive) -> None:
        self._learning_rate = learning_rate
        self._decay = decay
        self._eps = eps

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimizer of `parameters`."""
        return _CentredRMSProp(parameters, self._learning_rate, self._decay, self._eps)


class _CentredRMSProp(torch.optim.Optimizer):
    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, decay: float, eps: float) -> None:
        super().__init__(parameters, {"lr": lr, "decay": decay, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        del closure
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            gradients = [parameter.grad for parameter in parameters]
            for parameter in parameters:
                if not self.state[parameter]:
                    self.state[parameter]["mean"] = torch.zeros_like(parameter)
                    self.state[parameter]["square"] = torch.zeros_like(parameter)
            means = [self.state[parameter]["mean"] for parameter in parameters]
            squares = [self.state[parameter]["square"] for parameter in parameters]
            torch._foreach_mul_(means, group["decay"])
            torch._foreach_add_(means, gradients, alpha=1 - group["decay"])
            torch._foreach_mul_(squares, group["decay"])
            torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["decay"])
            variances = torch._foreach_addcmul(squares, means, means, value=-1.0)
            torch._foreach_add_(variances, group["eps"])
            torch._foreach_sqrt_(variances)
            torch._foreach_addcdiv_(parameters, gradients, variances, value=-group["lr"])
