"""Optimizers as configs name them: called with parameters, they make a torch optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Protocol, runtime_checkable

import torch
from pydantic import Field
from torch import Tensor, nn

from rlrun.errors import UserError

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


@runtime_checkable
class BeginsBefore(Protocol):
    """An optimizer whose state can begin before its first step, as recordings of a step need it."""

    def begun(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """Begins and returns the state of a parameter that has none yet."""
        ...


def moved_by(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """All that a step of `optimizer` changes: parameters and state, which begins here where it has not yet.

    Raises:
        UserError: if its state cannot begin before the first step.
    """
    if not isinstance(optimizer, BeginsBefore):
        raise UserError(
            f"device.compile records steps of the optimizer, and the state of {type(optimizer).__name__} only begins "
            "with the first one: use device.compile=none or an optimizer of rlrun.nn.optimizers"
        )
    moved: list[Tensor] = []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state[parameter] or optimizer.begun(parameter)
            moved += [parameter, *state.values()]
    return moved


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
        return FusedAdam(parameters, self._learning_rate, self._eps)


class FusedAdam(torch.optim.Optimizer):
    """`torch.optim.Adam(fused=True)` without what that one looks up at every step: the same numbers and state.

    A network of CartPole's size spends more time in those look-ups than in the kernel.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, eps: float) -> None:
        # Nothing here reads `fused`: by it `load_state_dict` puts the counts of steps where the parameters are.
        super().__init__(parameters, {"lr": lr, "betas": (0.9, 0.999), "eps": eps, "fused": True})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Moves the parameters that have a gradient."""
        del closure
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            states = [self.state[parameter] or self.begun(parameter) for parameter in parameters]
            counts = [state["step"] for state in states]
            torch._foreach_add_(counts, 1.0)
            beta1, beta2 = group["betas"]
            torch._fused_adam_(
                parameters,
                [parameter.grad for parameter in parameters],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                counts,
                lr=group["lr"],
                beta1=beta1,
                beta2=beta2,
                weight_decay=0.0,
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )

    def begun(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """See `BeginsBefore.begun`."""
        state: dict[str, Tensor] = self.state[parameter]
        state["step"] = torch.zeros((), device=parameter.device)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state


class RMSProp:
    """dw / sqrt(g2 + eps) (Mnih et al. 2016, eq. S2), with eps inside the root as there and in TensorFlow.

    Args:
        learning_rate: step size.
        decay: of the running mean of squared gradients.
        eps: added under the root.
        initial_square: what the running mean of squared gradients starts from; TensorFlow's 1 keeps first steps small.
    """

    def __init__(
        self,
        *,
        learning_rate: Positive,
        decay: Fraction,
        eps: Positive,
        initial_square: Annotated[float, Field(ge=0)],
    ) -> None:
        self._learning_rate = learning_rate
        self._decay = decay
        self._eps = eps
        self._initial_square = initial_square

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimizer of `parameters`."""
        return _RootedRMSProp(
            parameters, self._learning_rate, self._decay, self._eps, self._initial_square, centred=False
        )


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
        return _RootedRMSProp(parameters, self._learning_rate, self._decay, self._eps, 0.0, centred=True)


class _RootedRMSProp(torch.optim.Optimizer):
    """Both of them; torch's own adds eps outside the root."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        decay: float,
        eps: float,
        initial_square: float,
        *,
        centred: bool,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "decay": decay, "eps": eps})
        self._initial_square = initial_square
        self._centred = centred

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        del closure
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            gradients = [parameter.grad for parameter in parameters]
            for parameter in parameters:
                if not self.state[parameter]:
                    self.begun(parameter)
            squares = [self.state[parameter]["square"] for parameter in parameters]
            torch._foreach_mul_(squares, group["decay"])
            torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["decay"])
            variances = squares
            if self._centred:
                means = [self.state[parameter]["mean"] for parameter in parameters]
                torch._foreach_mul_(means, group["decay"])
                torch._foreach_add_(means, gradients, alpha=1 - group["decay"])
                variances = list(torch._foreach_addcmul(squares, means, means, value=-1.0))
                torch._foreach_clamp_min_(variances, 0.0)  # rounding may push them below
            roots = list(torch._foreach_add(variances, group["eps"]))
            torch._foreach_sqrt_(roots)
            torch._foreach_addcdiv_(parameters, gradients, roots, value=-group["lr"])

    def begun(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """See `BeginsBefore.begun`."""
        state: dict[str, Tensor] = self.state[parameter]
        state["square"] = torch.full_like(parameter, self._initial_square)
        if self._centred:
            state["mean"] = torch.zeros_like(parameter)
        return state
