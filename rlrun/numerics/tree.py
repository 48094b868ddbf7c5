"""Maps over nested tuples, lists and dicts of tensors (an agent's carry)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def tree_map(function: Callable[..., Tensor], tree: Any, *others: Any) -> Any:
    """Applies `function` to the matching leaves of trees of one structure."""
    if isinstance(tree, dict):
        return {key: tree_map(function, value, *(other[key] for other in others)) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(tree_map(function, *leaves) for leaves in zip(tree, *others, strict=True))
    return function(tree, *others)


def tree_where(condition: Tensor, yes: Any, no: Any) -> Any:
    """Leaf-wise `torch.where` along the first axis: condition [B], leaves [B, ...]."""

    def choose(left: Tensor, right: Tensor) -> Tensor:
        return torch.where(condition.reshape(-1, *[1] * (left.ndim - 1)), left, right)

    return tree_map(choose, yes, no)
