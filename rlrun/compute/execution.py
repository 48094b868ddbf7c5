"""How the functions of an agent are carried out: as they are, compiled, or recorded; and in which precision.

All but the first, in float32, is experimental: compiling and bfloat16 have run on a CPU only, and recordings in
simulation only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from rlrun.compute.captured import Captured, Function, Recorder
from rlrun.compute.compiled import compiled
from rlrun.compute.gradients import Loss, Said, backward_through, compiled_backward_through
from rlrun.nn.descent import gradient_norm, gradients_of, scale_down
from rlrun.nn.optimizers import moved_by
from rlrun.numerics.tree import tree_map

Compile = Literal["none", "graphs", "inductor"]
Precision = Literal["float32", "bfloat16"]
PLAIN = {"compile": "none", "precision": "float32"}  # values of `device` that ask for nothing
_Wrapped = TypeVar("_Wrapped", bound=Callable[..., Any])


class Execution:
    """What `compile` and `precision` of a device come to.

    Args:
        device: where agents compute.
        compile: `inductor` compiles functions; both others do not.
        precision: of the networks' matrix products and convolutions. `bfloat16` leaves parameters, their gradients,
            losses and optimizers in float32 (torch's autocast), and `rlrun.nn.networks` its last layers.
        recorder: what records functions; None: nothing is recorded.
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
        self._unheeded = {key: value for key, value in asked.items() if value != PLAIN[key]}

    @property
    def unheeded(self) -> Mapping[str, str]:
        """Arguments with values that were asked for, and that no function of an agent has met yet."""
        return self._unheeded

    def passing(self, forward: _Wrapped) -> _Wrapped:
        """A pass through a network, to be called without gradient; outputs (a tree) are float32 in any precision."""
        if self._precision == "float32":
            return forward
        self._unheeded.pop("precision", None)
        return partial(_in_bfloat16, self._device.type, forward)  # type: ignore[return-value]

    def acting(self, forward: Callable[[Tensor], Tensor], network: nn.Module) -> Callable[[Tensor], Tensor]:
        """A pass that is made for every action, through `network`: compiled too, but only where it is recorded.

        Compiled code by itself takes longer to be called for a few rows than operations do.
        """
        forward = self.passing(forward)
        if self._recorder is None:
            return forward
        if self._compile == "inductor":
            forward = compiled(forward)

        @torch.no_grad()  # or the mode in which it is first called would stay
        def named(given: Tensor) -> Said:
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
    ) -> Callable[..., Said]:
        """One step of `optimizer` down the gradient of `loss`; it takes what the loss takes.

        It returns what else the loss says, and as `grad/norm` the length of the gradient before it was scaled. The
        optimizer's parameters that the loss does not depend on stay as they are.

        Args:
            loss: of tensors and named tuples of them, in the precision that was asked for.
            network: all parameters that it depends on; it uses each of them.
            optimizer: of `network`, and perhaps others.
            max_grad_norm: longer gradients are scaled down to this norm; None leaves them alone and does not measure.
            many_shapes: inputs have so many shapes that the step is neither compiled nor recorded.

        Raises:
            UserError: if a step of the optimizer cannot be recorded.
        """
        loss = self.passing(loss)
        backward = backward_through(loss)
        if self._compile == "inductor" and not many_shapes:
            self._unheeded.pop("compile", None)
            backward = compiled_backward_through(loss, network, compiled)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

        def step(*inputs: Any) -> Said:
            for parameter in parameters:
                parameter.grad = None
            said = backward(*inputs)
            if max_grad_norm is not None:
                gradients = gradients_of(parameters, optimizer)
                said["grad/norm"] = gradient_norm(gradients)
                scale_down(gradients, said["grad/norm"], max_grad_norm)
            optimizer.step()
            return said

        if self._recorder is None or many_shapes:
            return step
        moved_by(optimizer)  # refuses what it cannot begin
        return self._recorded(self._recorder, step, list, lambda: moved_by(optimizer))

    def _recorded(
        self,
        recorder: Recorder,
        function: Function,
        reads: Callable[[], Sequence[Tensor]],
        changes: Callable[[], Sequence[Tensor]],
    ) -> Callable[..., Said]:
        self._unheeded.pop("compile", None)
        return Captured(function, reads, changes, recorder, self._device)


def plainly(device: torch.device) -> Execution:
    """Functions as they are, in float32."""
    return Execution(device, "none", "float32", None)


def _in_bfloat16(kind: str, forward: Callable[..., Any], *inputs: Any) -> Any:
    # A weight is used once or twice in a pass, so torch's cache of cast weights would only keep them longer.
    with torch.autocast(kind, torch.bfloat16, cache_enabled=False):
        outputs = forward(*inputs)
    return tree_map(Tensor.float, outputs)
