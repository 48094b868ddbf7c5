"""Maps over trees of tensors (an agent's carry): nested dicts, lists, tuples, named tuples, dataclasses and None."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor


def tree_map(function: Callable[..., Tensor], tree: Any, *others: Any) -> Any:
    """Applies `function` to the matching leaves of trees of one structure; None is no leaf."""
    if tree is None:
        return None
    if isinstance(tree, Mapping):
        return {key: tree_map(function, value, *(other[key] for other in others)) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        leaves = [tree_map(function, *each) for each in zip(tree, *others, strict=True)]
        return type(tree)(*leaves) if hasattr(tree, "_fields") else type(tree)(leaves)
    if is_dataclass(tree) and not isinstance(tree, type):
        parts = [{field.name: getattr(each, field.name) for field in fields(tree)} for each in (tree, *others)]
        return replace(tree, **tree_map(function, *parts))
    return function(tree, *others)


def tree_leaves(tree: Any) -> list[Tensor]:
    """The tensors of a tree, in order."""
    leaves: list[Tensor] = []
    tree_map(leaves.append, tree)  # type: ignore[arg-type]
    return leaves


def tree_like(tree: Any, leaves: Iterable[Tensor]) -> Any:
    """A tree of the structure of `tree` with these leaves.

    Raises:
        ValueError: if their number, shapes or dtypes differ from those of the tree.
    """
    leaves, wanted = list(leaves), tree_leaves(tree)
    if [(leaf.shape, leaf.dtype) for leaf in leaves] != [(leaf.shape, leaf.dtype) for leaf in wanted]:
        raise ValueError(f"expected {_listed(wanted)}, not {_listed(leaves)}")
    following = iter(leaves)
    return tree_map(lambda leaf: next(following), tree)


def _listed(leaves: list[Tensor]) -> str:
    return ", ".join(f"{leaf.dtype} {list(leaf.shape)}" for leaf in leaves) or "nothing"


def tree_where(condition: Tensor, yes: Any, no: Any) -> Any:
    """Leaf-wise `torch.where` along the first axis: condition [B], leaves [B, ...]."""

    def choose(left: Tensor, right: Tensor) -> Tensor:
        return torch.where(condition.reshape(-1, *[1] * (left.ndim - 1)), left, right)

    return tree_map(choose, yes, no)
