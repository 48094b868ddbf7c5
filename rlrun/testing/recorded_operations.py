"""A simulation of CUDA graphs on any device: tensor operations are recorded once and replayed.

A replay repeats torch's own operations on the same tensors, into the same memory, without any Python in between. So
mistakes that would be silent with a CUDA graph show on a CPU: numbers computed by Python keep their recorded values, an
output that was not copied is overwritten by the next call, and a tensor that replaced another is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
_Operation = tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]  # function, arguments, and result tensors


class RecordedOperations:
    """A `rlrun.compute.captured.Recorder` without a GPU."""

    def warm_up(self, function: Callable[[], object]) -> None:
        """See `Recorder.warm_up`."""
        function()

    def record(self, function: Callable[[], Mapping[str, Tensor]]) -> tuple[Callable[[], None], Mapping[str, Tensor]]:
        """See `Recorder.record`.

        Raises:
            ValueError: at an operation that reads values (a wait for the GPU), draws random numbers, or brings in a
                value from Python or numpy.
        """
        with _WritingDown() as written:
            outputs = function()
        operations = written.operations
        return lambda: _carry_out(operations), outputs


class _WritingDown(TorchDispatchMode):
    """Below autograd, so that the backward pass is recorded too."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[_Operation] = []

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        problem = _problem(func, args)
        if problem is not None:
            raise ValueError(f"{func} cannot be recorded: {problem}")
        result = func(*args, **kwargs)
        returns = func._schema.returns
        if any(each.alias_info is not None and not each.alias_info.is_write for each in returns):
            return result  # a view: it refers to the same memory forever
        into: list[Tensor] = []
        if not any(each.alias_info is not None for each in returns) and func._schema.name != "aten::_unsafe_view":
            into = _tensors(result)
        self.operations.append((func, args, kwargs, into))
        return result


def _problem(func: Any, args: tuple[Any, ...]) -> str | None:
    """Why a graph could not record it; None if it can."""
    if _reads_values(func, args):
        return "its result is a number or a shape that depends on values"
    if torch.Tag.nondeterministic_seeded in func.tags:
        return "it draws random numbers"
    if func._schema.name == "aten::lift_fresh":
        return "it makes a tensor from numbers of Python or numpy (torch.full and fill_ make it on the device)"
    return None


def _reads_values(func: Any, args: tuple[Any, ...]) -> bool:
    if func._schema.name in _INDEXING:  # with a mask, it first looks for the indices
        return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    return torch.Tag.data_dependent_output in func.tags or torch.Tag.dynamic_output_shape in func.tags


def _carry_out(operations: list[_Operation]) -> None:
    with torch.no_grad():
        for func, args, kwargs, into in operations:
            result = func(*args, **kwargs)
            for place, tensor in zip(into, _tensors(result) if into else [], strict=True):
                place.copy_(tensor)


def _tensors(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    return [each for each in result if isinstance(each, Tensor)] if isinstance(result, tuple | list) else []
