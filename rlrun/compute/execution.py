"""How an agent's functions are executed: eagerly, compiled, or recorded; and in which precision.

All but eager float32 is experimental: compiling and bfloat16 have only run on a CPU, recordings only in simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from rlrun.compute.captured import Captured, Function, Recorder
from rlrun.compute.compiled import compiled
from rlrun.compute.gradients import Loss, TensorMetrics, backward_through, compiled_backward_through
from rlrun.nn.descent import gradient_norm, gradients_of, scale_down
from rlrun.nn.optimizers import moved_by
from rlrun.numerics.tree import tree_map

Compile = Literal["none", "graphs", "inductor"]
Precision = Literal["float32", "bfloat16"]
PLAIN = {"compile": "none", "precision": "float32"}  # the values of `device` for eager execution in float32
_Wrapped = TypeVar("_Wrapped", bound=Callable[..., Any])


class Execution:
    """Executes functions according to `compile` and `precision` of a device.

    Args:
        device: where agents compute.
        compile: `inductor` compiles functions; both others do not.
        precision: of the networks' matrix products and convolutions. `bfloat16` leaves parameters, their gradients,
            losses and optimizers in float32 (torch's autocast), and `rlrun.nn.networks` its last layers.
        recorder: records functions; None: nothing is recorded.
    """

    def __init__(
        self,
        device: torch.device,
        compile: Compile,  # noqa: A002 (the key that a user reads)
        precision: Precision,
        recorder: Recorder | None,
    ) -> None:
        self._device = device
        self._compile = compile
        self._precision = precision
        self._recorder = recorder
        asked = {"compile": compile, "precision": precision}
        self._unused = {key: value for key, value in asked.items() if value != PLAIN[key]}

    @property
    def unused(self) -> Mapping[str, str]:
        """Arguments that were set but that no function of the agent has used yet."""
        return self._unused

    def passing(self, forward: _Wrapped) -> _Wrapped:
        """A forward pass of a network without gradient; outputs (a tree) are float32 in any precision."""
        if self._precision == "float32":
            return forward
        self._unused.pop("precision", None)
        return partial(_in_bfloat16, self._device.type, forward)  # type: ignore[return-value]

    def acting(self, forward: Callable[[Tensor], Tensor], network: nn.Module) -> Callable[[Tensor], Tensor]:
        """The forward pass of `network` for acting: compiled too, but only if it is recorded as well.

        For a few rows, calling compiled code takes longer than the operations themselves.
        """
        forward = self.passing(forward)
        if self._recorder is None:
            return forward
        if self._compile == "inductor":
            forward = compiled(forward)

        @torch.no_grad()  # otherwise the mode of the first call would stay
        def named(given: Tensor) -> TensorMetrics:
            return {"": forward(given)}

        recording = self._recorded(self._recorder, named, lambda: list(network.parameters()), list)
        return lambda given: recording(given)[""]

    def descent(
        self,
        loss: Loss,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        max_grad_norm: float | None,
        *,
        many_shapes: bool = False,
    ) -> Callable[..., TensorMetrics]:
        """One step of `optimizer` down the gradient of `loss`; its arguments are those of the loss.

        It returns the metrics of the loss, and as `grad/norm` the norm of the gradient before it was scaled. Parameters
        that the loss does not depend on are unchanged.

        Args:
            loss: of tensors and named tuples of them, in the configured precision.
            network: all parameters that the loss depends on; it uses each of them.
            optimizer: of `network`, and perhaps others.
            max_grad_norm: longer gradients are scaled down to this norm; None: neither scaled nor measured.
            many_shapes: the step is neither compiled nor recorded, since its inputs have many shapes.

        Raises:
            UserError: if a step of the optimizer cannot be recorded.
        """
        loss = self.passing(loss)
        backward = backward_through(loss)
        if self._compile == "inductor" and not many_shapes:
            self._unused.pop("compile", None)
            backward = compiled_backward_through(loss, network, compiled)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

        def step(*inputs: Any) -> TensorMetrics:
            for parameter in parameters:
                parameter.grad = None
            metrics = backward(*inputs)
            if max_grad_norm is not None:
                gradients = gradients_of(parameters, optimizer)
                metrics["grad/norm"] = gradient_norm(gradients)
                scale_down(gradients, metrics["grad/norm"], max_grad_norm)
            optimizer.step()
            return metrics

        if self._recorder is None or many_shapes:
            return step
        moved_by(optimizer)  # refuses an optimizer whose state cannot begin now
        return self._recorded(self._recorder, step, list, lambda: moved_by(optimizer))

    def _recorded(
        self,
        recorder: Recorder,
        function: Function,
        reads: Callable[[], Sequence[Tensor]],
        changes: Callable[[], Sequence[Tensor]],
    ) -> Callable[..., TensorMetrics]:
        self._unused.pop("compile", None)
        return Captured(function, reads, changes, recorder, self._device)


def plainly(device: torch.device) -> Execution:
    """Eager functions, in float32."""
    return Execution(device, "none", "float32", None)


def _in_bfloat16(kind: str, forward: Callable[..., Any], *inputs: Any) -> Any:
    # A weight is used once or twice in a pass, so torch's cache of cast weights would only keep them longer.
    with torch.autocast(kind, torch.bfloat16, cache_enabled=False):
        outputs = forward(*inputs)
    return tree_map(Tensor.float, outputs)
