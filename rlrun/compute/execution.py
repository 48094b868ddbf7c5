"""How the functions of an agent are carried out: as they are, compiled, or recorded; and in which precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import unwrap
from types import FunctionType
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from rlrun.compute.captured import Captured, Function, Recorder
from rlrun.compute.compiled import Compiled
from rlrun.compute.gradients import Loss, backward_through, compiled_backward_through
from rlrun.numerics.tree import tree_map

Compile = Literal["none", "graphs", "inductor"]
Precision = Literal["float32", "bfloat16"]
PLAIN = {"compile": "none", "precision": "float32"}  # values of `device` that ask for nothing
_Wrapped = TypeVar("_Wrapped", bound=Callable[..., Any])


class Execution:
    """What `device.compile` and `device.precision` come to.

    What it is given are methods and partial functions, of which `copy.deepcopy` of an agent copies what they hold. A
    closure stays the original's, which a copy would act by and train: it is a TypeError.

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
        """Keys of `device` with values that were asked for, and that no function of an agent has met yet."""
        return self._unheeded

    @property
    def fixed_shapes(self) -> bool:
        """Whether no shape should depend on values: a recording cannot have it, and on a GPU the CPU would wait."""
        return self._recorder is not None or self._device.type == "cuda"

    @property
    def records(self) -> bool:
        """Whether functions are recorded."""
        return self._recorder is not None

    def in_precision(self, forward: _Wrapped) -> _Wrapped:
        """`forward` of a network in the precision that was asked for; outputs (a tree) are float32 in any case."""
        _refuse_closures(forward)
        if self._precision == "float32":
            return forward
        self._unheeded.pop("precision", None)
        return partial(_in_bfloat16, self._device.type, forward)  # type: ignore[return-value]

    def compiled(self, function: _Wrapped) -> _Wrapped:
        """`function` of tensors as one piece of compiled code, where that was asked for.

        It may change no tensor, and should meet few shapes: it is compiled for each of them.
        """
        _refuse_closures(function)
        if self._compile != "inductor":
            return function
        self._unheeded.pop("compile", None)
        return Compiled(function)  # type: ignore[return-value]

    def backward_through(self, loss_of: Loss, network: nn.Module) -> Callable[..., Any]:
        """What leaves the gradient of `loss_of` in the `grad` of the parameters of `network`, which it uses.

        Args:
            loss_of: inputs to a loss and a tree of tensors without gradient, which is returned.
            network: all of its parameters are used.
        """
        _refuse_closures(loss_of)
        if self._compile != "inductor":
            return backward_through(loss_of, network)
        return compiled_backward_through(loss_of, network, self.compiled)

    def recorded(
        self, function: Function, reads: Callable[[], Sequence[Tensor]], changes: Callable[[], Sequence[Tensor]]
    ) -> Callable[..., Mapping[str, Tensor]]:
        """`function` as a recording, where that was asked for; see `Captured`."""
        _refuse_closures(function, reads, changes)
        if self._recorder is None:
            return function
        self._unheeded.pop("compile", None)
        return Captured(function, reads, changes, self._recorder, self._device)

    def recorded_pass(
        self, forward: Callable[[Tensor], Tensor], reads: Callable[[], Sequence[Tensor]]
    ) -> Callable[[Tensor], Tensor]:
        """The same for a pass through a network without gradient: compiled too, but only where it is recorded.

        Compiled code by itself takes longer to be called for a few rows than operations do.
        """
        _refuse_closures(forward, reads)
        if self._recorder is None:
            return forward
        recording = self.recorded(partial(_named, self.compiled(forward)), reads, list)
        return partial(_unnamed, recording)


def plainly(device: torch.device) -> Execution:
    """Functions as they are, in float32."""
    return Execution(device, "none", "float32", None)


def _refuse_closures(*functions: Callable[..., Any]) -> None:
    for function in functions:
        held = (function.func, *function.args, *function.keywords.values()) if isinstance(function, partial) else ()
        for part in (function, *held):
            if isinstance(part, FunctionType) and unwrap(part).__closure__:
                raise TypeError(
                    f"{part.__qualname__} holds variables of the function that it is written in, which a copy of the "
                    "agent would share: use a method or functools.partial instead"
                )


@torch.no_grad()  # or the mode in which it is first called would stay
def _named(forward: Callable[[Tensor], Tensor], given: Tensor) -> Mapping[str, Tensor]:
    return {"": forward(given)}


def _unnamed(recording: Callable[..., Mapping[str, Tensor]], given: Tensor) -> Tensor:
    return recording(given)[""]


def _in_bfloat16(kind: str, forward: Callable[..., Any], *inputs: Tensor) -> Any:
    # Every weight is used once in a pass, so torch's cache of cast weights would only keep them longer.
    with torch.autocast(kind, torch.bfloat16, cache_enabled=False):
        outputs = forward(*inputs)
    return tree_map(Tensor.float, outputs)
