"""How the functions of an agent are carried out: as they are, compiled, or recorded; and in which precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from rlrun.execution.captured import Captured, Function, Recorder
from rlrun.execution.gradients import Loss, backward_through, compiled_backward_through
from rlrun.tree import tree_map

Compile = Literal["none", "graphs", "inductor"]
Precision = Literal["float32", "bfloat16"]
_MOST_COMPILED = 1 << 16  # kinds of shapes that torch may compile a function for
_Wrapped = TypeVar("_Wrapped", bound=Callable[..., Any])


class Execution:
    """What `device.compile` and `device.precision` come to.

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
        if self._precision == "float32":
            return forward
        return partial(_in_bfloat16, self._device.type, forward)  # type: ignore[return-value]

    def compiled(self, function: _Wrapped) -> _Wrapped:
        """`function` of tensors as one piece of compiled code, where that was asked for.

        It may change no tensor, and should meet few shapes: it is compiled for each of them.
        """
        if self._compile != "inductor":
            return function
        _lift_limits()
        return torch.compile(function, fullgraph=True, dynamic=False)  # type: ignore[return-value]

    def backward_through(self, loss_of: Loss, network: nn.Module) -> Callable[..., Any]:
        """What leaves the gradient of `loss_of` in the `grad` of the parameters of `network`, which it uses.

        Args:
            loss_of: inputs to a loss and a tree of tensors without gradient, which is returned.
            network: all of its parameters are used.
        """
        if self._compile != "inductor":
            return backward_through(loss_of, network)
        return compiled_backward_through(loss_of, network, self.compiled)

    def recorded(
        self, function: Function, reads: Callable[[], Sequence[Tensor]], changes: Callable[[], Sequence[Tensor]]
    ) -> Callable[..., Mapping[str, Tensor]]:
        """`function` as a recording, where that was asked for; see `Captured`."""
        if self._recorder is None:
            return function
        return Captured(function, reads, changes, self._recorder, self._device)

    def recorded_pass(
        self, forward: Callable[[Tensor], Tensor], reads: Callable[[], Sequence[Tensor]]
    ) -> Callable[[Tensor], Tensor]:
        """The same for a pass through a network without gradient: compiled too, but only where it is recorded.

        Compiled code by itself takes longer to be called for a few rows than operations do.
        """
        if self._recorder is None:
            return forward
        compiled = self.compiled(forward)

        @torch.no_grad()  # or the mode in which it is first called would stay
        def named(given: Tensor) -> Mapping[str, Tensor]:
            return {"": compiled(given)}

        recording = Captured(named, reads, list, self._recorder, self._device)
        return lambda given: recording(given)[""]


def plainly(device: torch.device) -> Execution:
    """Functions as they are, in float32."""
    return Execution(device, "none", "float32", None)


def _lift_limits() -> None:
    """Lets torch compile for as many shapes as it meets: by itself it gives up at the ninth, which would be an error.

    All agents of a process count together, since they have their code in common. `torch.compile` itself takes a limit
    only in later versions than ours needs.
    """
    from torch._dynamo import config  # where something is compiled only, since it takes a second

    config.recompile_limit = max(config.recompile_limit, _MOST_COMPILED)
    config.accumulated_recompile_limit = max(config.accumulated_recompile_limit, _MOST_COMPILED)


def _in_bfloat16(kind: str, forward: Callable[..., Any], *inputs: Tensor) -> Any:
    # Every weight is used once in a pass, so torch's cache of cast weights would only keep them longer.
    with torch.autocast(kind, torch.bfloat16, cache_enabled=False):
        outputs = forward(*inputs)
    return tree_map(Tensor.float, outputs)
