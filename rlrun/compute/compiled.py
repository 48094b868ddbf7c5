"""A function as one piece of compiled code, which belongs to the one who holds it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import torch

_MOST_COMPILED = 1 << 16  # kinds of shapes that torch may compile a function for


class Compiled:
    """`function` of tensors, compiled for each of the shapes that it meets.

    A deep copy is compiled anew: what torch makes of a function is a closure, which would stay the original's.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        _lift_limits()
        self._function = function
        self._code = torch.compile(function, fullgraph=True, dynamic=False)

    def __call__(self, *inputs: Any) -> Any:
        """What the function returns for `inputs`."""
        return self._code(*inputs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(copy.deepcopy(self._function, memo))


def _lift_limits() -> None:
    """Lets torch compile for as many shapes as it meets: by itself it gives up at the ninth, which would be an error.

    All agents of a process count together, since they have their code in common. `torch.compile` itself takes a limit
    only in later versions than ours needs.
    """
    from torch._dynamo import config  # where something is compiled only, since it takes a second

    config.recompile_limit = max(config.recompile_limit, _MOST_COMPILED)
    config.accumulated_recompile_limit = max(config.accumulated_recompile_limit, _MOST_COMPILED)
