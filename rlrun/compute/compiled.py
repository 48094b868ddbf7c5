"""A function of tensors as one piece of compiled code. Experimental: on a GPU it has never run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_MOST_COMPILED = 1 << 16  # sets of shapes that torch may compile a function for


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, compiled for every set of shapes it meets. By default torch gives up at the ninth, an error here.

    All agents of a process count together, since they share their code. `torch.compile` itself accepts a limit only in
    later versions than the oldest supported one.
    """
    from torch._dynamo import config  # imported only when needed, since it takes a second

    config.recompile_limit = max(config.recompile_limit, _MOST_COMPILED)
    config.accumulated_recompile_limit = max(config.accumulated_recompile_limit, _MOST_COMPILED)
    code: Callable[..., Any] = torch.compile(function, fullgraph=True, dynamic=False)
    return code
