"""A stand-in for CUDA graphs on any device: tensor operations are written down once and carried out again.

What is replayed are torch's own operations on the very same tensors, into the very same memory, and no Python in
between. So the mistakes that a CUDA graph would make silently show on a CPU: numbers that Python worked out stay what
they were when it was recorded, an output that was not copied is overwritten by the next call, and a tensor that took
another's place is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
_Operation = tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]  # what, of what, and where the results go


class RecordedOperations:
    """A `rlrun.compute.captured.Recorder` without a GPU."""

    def warm_up(self, function: Callable[[], object]) -> None:
        """See `Recorder.warm_up`."""
        function()

    def record(self, function: Callable[[], Mapping[str, Tensor]]) -> tuple[Callable[[], None], Mapping[str, Tensor]]:
        """See `Recorder.record`.

        Raises:
            ValueError: at an operation that reads values, for which a GPU would have to be waited for, that draws
                random numbers, or that brings a value from Python or numpy.
        """
        with _WritingDown() as written:
            outputs = function()
        operations = written.operations
        return lambda: _carry_out(operations), outputs


class _WritingDown(TorchDispatchMode):
    """Below autograd, so that the backward pass is written down too."""

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
            return result  # a view: it shows the same memory for ever
        into: list[Tensor] = []
        if not any(each.alias_info is not None for each in returns) and func._schema.name != "aten::_unsafe_view":
            into = _tensors(result)
        self.operations.append((func, args, kwargs, into))
        return result


def _problem(func: Any, args: tuple[Any, ...]) -> str | None:
    """Why a graph could not hold it; None if it can."""
    if _reads_values(func, args):
        return "its result is a number or a shape that depends on values"
    if torch.Tag.nondeterministic_seeded in func.tags:
        return "it draws random numbers"
    if func._schema.name == "aten::lift_fresh":
        return "it makes a tensor of numbers that Python or numpy has (torch.full and fill_ do so where the others are)"
    return None


def _reads_values(func: Any, args: tuple[Any, ...]) -> bool:
    if func._schema.name in _INDEXING:  # by a mask, it looks for the places first
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
