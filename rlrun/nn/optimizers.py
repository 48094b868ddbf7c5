"""The optimizers of configs: called with parameters, they make a torch optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from rlrun.errors import UserError
from rlrun.nn.flat import FlatOptimizer, State
from rlrun.numerics.schedules import Schedule, schedule_from_zero

__all__ = ["OptimizerFactory", "at_step"]

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
LearningRate = Positive | Schedule  # by agent step, set with `at_step`


def at_step(optimizer: torch.optim.Optimizer, step: int) -> dict[str, float]:
    """Sets the learning rate of agent step `step`, if it follows a schedule; returns it then, as a metric."""
    rate = optimizer.at(step) if isinstance(optimizer, FlatOptimizer) else None
    return {} if rate is None else {"optimizer/learning_rate": rate}


def _checked(learning_rate: LearningRate) -> LearningRate:
    """The learning rate; refuses a schedule that goes below 0."""
    if callable(learning_rate):
        schedule_from_zero(learning_rate, "learning_rate")
    return learning_rate


def moved_by(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """All that a step of `optimizer` changes: parameters and states; initialises missing ones.

    Raises:
        UserError: if its state cannot be initialised before the first step.
    """
    if not isinstance(optimizer, FlatOptimizer):
        raise UserError(
            f"steps cannot be recorded, since the state of {type(optimizer).__name__} only begins with the first one: "
            "use an optimizer of rlrun.nn.optimizers, or record nothing (compile=none)"
        )
    return optimizer.moved()


class Adam:
    """Kingma and Ba 2015, in one fused kernel.

    Args:
        learning_rate: step size; a number, or a schedule by agent step.
        eps: added to the denominator.
    """

    def __init__(self, *, learning_rate: LearningRate, eps: Positive) -> None:
        self._learning_rate = _checked(learning_rate)
        self._eps = eps

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimizer of `parameters`."""
        return FusedAdam(parameters, self._learning_rate, self._eps)


class FusedAdam(FlatOptimizer):
    """`torch.optim.Adam(fused=True)` without its overhead at every step: the same state and the same numbers.

    They are equal bit for bit if parameters are updated one by one, and up to rounding if together.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: LearningRate, eps: float) -> None:
        # Only `load_state_dict` reads `fused`: it moves the counts of steps to the parameters' device.
        super().__init__(parameters, learning_rate, {"betas": (0.9, 0.999), "eps": eps, "fused": True})

    def begun(self, parameter: Tensor) -> State:
        """No steps, no moments."""
        moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
        return {"step": torch.zeros((), device=parameter.device), **moments}

    def move(
        self, group: Mapping[str, Any], parameters: list[Tensor], gradients: list[Tensor], states: Sequence[State]
    ) -> None:
        """One step, bias corrected."""
        counts = [state["step"] for state in states]
        torch._foreach_add_(counts, 1.0)
        beta1, beta2 = group["betas"]
        torch._fused_adam_(
            parameters,
            gradients,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            counts,
            lr=self.rate(group),
            beta1=beta1,
            beta2=beta2,
            weight_decay=0.0,
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )


class RMSProp:
    """dw / sqrt(g2 + eps) (Mnih et al. 2016, eq. S2), with eps inside the root as there and in TensorFlow.

    Args:
        learning_rate: step size; a number, or a schedule by agent step.
        decay: of the running mean of squared gradients.
        eps: added under the root.
        initial_square: the initial running mean of squared gradients; TensorFlow's 1 keeps the first steps small.
    """

    def __init__(
        self,
        *,
        learning_rate: LearningRate,
        decay: Fraction,
        eps: Positive,
        initial_square: Annotated[float, Field(ge=0)],
    ) -> None:
        self._learning_rate = _checked(learning_rate)
        self._decay = decay
        self._eps = eps
        self._initial_square = initial_square

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimizer of `parameters`."""
        return _RootedRMSProp(
            parameters, self._learning_rate, self._decay, self._eps, self._initial_square, centred=False
        )


class CentredRMSProp:
    """The RMSProp of the DQN paper's code, dw / sqrt(g2 - g^2 + eps), with eps inside the root.

    Args:
        learning_rate: step size; a number, or a schedule by agent step.
        decay: of the running means of the gradient and of its square.
        eps: added under the root.
    """

    def __init__(self, *, learning_rate: LearningRate, decay: Fraction, eps: Positive) -> None:
        self._learning_rate = _checked(learning_rate)
        self._decay = decay
        self._eps = eps

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimizer of `parameters`."""
        return _RootedRMSProp(parameters, self._learning_rate, self._decay, self._eps, 0.0, centred=True)


class _RootedRMSProp(FlatOptimizer):
    """Both kinds of RMSProp; torch's own adds eps outside the root."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: LearningRate,
        decay: float,
        eps: float,
        initial_square: float,
        *,
        centred: bool,
    ) -> None:
        super().__init__(parameters, learning_rate, {"decay": decay, "eps": eps})
        self._initial_square = initial_square
        self._centred = centred

    def begun(self, parameter: Tensor) -> State:
        state = {"square": torch.full_like(parameter, self._initial_square)}
        return state | {"mean": torch.zeros_like(parameter)} if self._centred else state

    def move(
        self, group: Mapping[str, Any], parameters: list[Tensor], gradients: list[Tensor], states: Sequence[State]
    ) -> None:
        squares = [state["square"] for state in states]
        torch._foreach_mul_(squares, group["decay"])
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["decay"])
        variances = squares
        if self._centred:
            means = [state["mean"] for state in states]
            torch._foreach_mul_(means, group["decay"])
            torch._foreach_add_(means, gradients, alpha=1 - group["decay"])
            variances = list(torch._foreach_addcmul(squares, means, means, value=-1.0))
            torch._foreach_clamp_min_(variances, 0.0)  # rounding may push them below
        roots = list(torch._foreach_add(variances, group["eps"]))
        torch._foreach_sqrt_(roots)
        rate = self.rate(group)
        if isinstance(rate, float):
            torch._foreach_addcdiv_(parameters, gradients, roots, value=-rate)
            return
        ways = torch._foreach_div(gradients, roots)  # torch's call above does not accept a tensor on a GPU
        torch._foreach_mul_(ways, rate)
        torch._foreach_sub_(parameters, ways)
