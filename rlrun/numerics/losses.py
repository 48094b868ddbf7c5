"""Losses and their targets as pure functions; targets and weights never carry a gradient."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rlrun.numerics.distributions import allowed

# A return is a sum of up to thousands of rounded terms, whose errors add up like a random walk: differences of a few
# units in the last place of the largest are not a spread.
_ROUNDING_UNITS = 16.0


def q_td_target(
    reward: Tensor,
    discount: Tensor,
    next_q: Tensor,
    next_q_selector: Tensor | None,
    next_mask: Tensor | None = None,
) -> Tensor:
    """Y = r + discount · max_a Q(s′, a), or double Q: Q(s′, argmax_a selector(s′, a)). [N].

    Args:
        reward: [N], summed over the n steps.
        discount: [N], with gamma in it.
        next_q: [N, A] of the network that evaluates.
        next_q_selector: [N, A] of the network that chooses (van Hasselt et al. 2016, eq. 4); None: the same one.
        next_mask: [N, A] bool, the actions that are allowed in s′; None: every one.
    """
    if next_q.ndim != 2 or reward.shape != discount.shape or reward.shape != next_q.shape[:1]:
        raise ValueError("expected reward [N], discount [N] and next_q [N, A]")
    if next_q_selector is None:
        next_value = allowed(next_q, next_mask).amax(dim=1)
    else:
        chosen = allowed(next_q_selector, next_mask).argmax(dim=1, keepdim=True)
        next_value = next_q.gather(1, chosen).squeeze(1)
    return (reward + discount * next_value).detach()


def squared_error(value: Tensor, target: Tensor) -> Tensor:
    """The mean of e² / 2, whose gradient is the error itself. [N] each to a scalar."""
    return nn.functional.mse_loss(value, target.detach()) * 0.5


def huber(value: Tensor, target: Tensor, delta: float) -> Tensor:
    """The mean of e² / 2 up to ±delta and linear beyond, so that the gradient is the error clamped to ±delta.

    Huber 1964; Mnih et al. 2015. [N] each to a scalar.
    """
    return nn.functional.huber_loss(value, target.detach(), delta=delta)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over the entries in `mask`; 0 if there are none. values [..., T, B], mask [T, B] -> [...]."""
    if values.shape[-mask.ndim :] != mask.shape:
        raise ValueError(f"shapes differ: {tuple(values.shape)} and {tuple(mask.shape)}")
    kept = torch.where(mask, values, 0.0).flatten(values.ndim - mask.ndim)
    return kept.sum(-1) / mask.sum().clamp(min=1)


def normalised(values: Tensor, mask: Tensor | None, made_of: Tensor) -> Tensor:
    """`values` to mean 0 and standard deviation 1; only to mean 0 where they differ by rounding only.

    The deviation is that of the centred values: E[x²] − E[x]² of large, nearly equal values is mostly rounding error.

    Args:
        values: [T, B].
        mask: [T, B] the entries that count, in mean and deviation; None: all of them.
        made_of: [T, B] returns, or whatever else `values` are differences of. Rounding is relative to the largest: a
            difference of 1e-4 between values of 1,000 means nothing in float32.
    """
    counted, of = (values, made_of) if mask is None else (values[mask], made_of[mask])
    deviation, mean = torch.std_mean(counted, correction=0)  # centres the values first
    largest = torch.maximum(torch.linalg.vector_norm(of, math.inf), mean.abs())
    rounding = _ROUNDING_UNITS * torch.finfo(values.dtype).eps * largest
    return (values - mean) / torch.where(deviation > rounding, deviation, 1.0)


def masked_squared_error(value: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """`squared_error` over the entries in `mask`. [T, B] each to a scalar."""
    return masked_mean(0.5 * (target.detach() - value).square(), mask)


def policy_gradient_loss(log_prob: Tensor, weight: Tensor) -> Tensor:
    """− weight · log π(a|s), whose gradient is the negative policy gradient (Sutton et al. 2000, theorem 1).

    Args:
        log_prob: [N] log π(a|s) of the actions taken.
        weight: [N], without a gradient.
    """
    return -log_prob * weight.detach()
