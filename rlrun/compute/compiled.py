"""A function of tensors as one piece of compiled code. Experimental: on a GPU it has never run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_MOST_COMPILED = 1 << 16  # kinds of shapes that torch may compile a function for


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, compiled for each of the shapes that it meets. By itself torch gives up at the ninth, an error here.

    All agents of a process count together, since they have their code in common. `torch.compile` itself takes a limit
    only in later versions than ours needs.
    """
    from torch._dynamo import config  # where something is compiled only, since it takes a second

    config.recompile_limit = max(config.recompile_limit, _MOST_COMPILED)
    config.accumulated_recompile_limit = max(config.accumulated_recompile_limit, _MOST_COMPILED)
    code: Callable[..., Any] = torch.compile(function, fullgraph=True, dynamic=False)
    return code
