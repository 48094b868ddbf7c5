"""Returns and advantages as pure functions over time-major arrays [T, B].

The step t of slot b has reward rₜ, discount dₜ (0: the future is worth nothing) and lastₜ (the episode ends). Bootstrap
values are V(s′ₜ) of the *true* successor. Everything keeps the dtype of `reward`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _check(reward: Tensor, *others: Tensor) -> None:
    if reward.ndim != 2:
        raise ValueError(f"expected [T, B], got shape {tuple(reward.shape)}")
    for other in others:
        if other.shape != reward.shape:
            raise ValueError(f"expected shape {tuple(reward.shape)}, got {tuple(other.shape)}")


def td_errors(reward: Tensor, discount: Tensor, value: Tensor, next_value: Tensor, gamma: float) -> Tensor:
    """δₜ = rₜ + γ dₜ V(s′ₜ) − V(sₜ) (Sutton and Barto 2018, eq. 6.5). All [T, B]."""
    _check(reward, discount, value, next_value)
    return reward + gamma * discount * next_value - value


def lambda_returns(
    reward: Tensor, discount: Tensor, last: Tensor, next_value: Tensor, gamma: float, lambda_: float
) -> Tensor:
    """Gₜ = rₜ + γ dₜ [(1 − λₜ) V(s′ₜ) + λₜ Gₜ₊₁], with λₜ = 0 where lastₜ and at the rollout's end, else λ.

    λ = 0 gives one-step TD targets, λ = 1 Monte Carlo returns that bootstrap where a sequence is cut. [T, B] each.
    Sutton and Barto 2018, eq. 12.18 in recursive form.
    """
    _check(reward, discount, last, next_value)
    worth = gamma * discount
    mixed = worth * lambda_ * ~last
    mixed[-1].zero_()
    return _backwards(torch.addcmul(reward, worth - mixed, next_value), mixed)


def _backwards(addend: Tensor, factor: Tensor) -> Tensor:
    """Xₜ = aₜ + fₜ Xₜ₊₁ with nothing after the end. [T, B] each."""
    addends, factors = addend.unbind(0), factor.unbind(0)
    following = addends[-1]
    result = [following]
    for t in range(len(addends) - 2, -1, -1):
        following = torch.addcmul(addends[t], factors[t], following)
        result.append(following)
    result.reverse()
    return torch.stack(result)


def discounted_returns(reward: Tensor, discount: Tensor, last: Tensor, bootstrap: Tensor, gamma: float) -> Tensor:
    """Gₜ = rₜ + γ dₜ [(1 − lastₜ) Gₜ₊₁ + lastₜ V(s′ₜ)], and V(s′ₜ) also at the rollout's end. [T, B] each."""
    return lambda_returns(reward, discount, last, bootstrap, gamma, 1.0)


def n_step_returns(reward: Tensor, discount: Tensor, last: Tensor, next_value: Tensor, gamma: float, n: int) -> Tensor:
    """Rewards of up to n steps and then the value, each with its own power of γ. [T, B] each.

    Gₜ = Σ_{i<k} γⁱ (Π_{j<i} dₜ₊ⱼ) rₜ₊ᵢ + γᵏ (Π_{j<k} dₜ₊ⱼ) V(s′ₜ₊ₖ₋₁), where k ≤ n stops at the first `last` and at the
    rollout's end. Sutton and Barto 2018, eq. 7.1; Mnih et al. 2016, algorithm S3.
    """
    _check(reward, discount, last, next_value)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if n >= reward.shape[0]:
        return discounted_returns(reward, discount, last, next_value, gamma)
    # One more step at a time: the k-step return of t needs the (k-1)-step return of t + 1.
    result = reward + gamma * discount * next_value
    one_step = result
    for _ in range(n - 1):
        longer = one_step.clone()
        goes_on = ~last[:-1]
        longer[:-1] = torch.where(goes_on, reward[:-1] + gamma * discount[:-1] * result[1:], one_step[:-1])
        result = longer
    return result


def gae(
    reward: Tensor,
    discount: Tensor,
    last: Tensor,
    value: Tensor,
    next_value: Tensor,
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """δₜ = rₜ + γ dₜ V(s′ₜ) − V(sₜ); Aₜ = δₜ + γ λ dₜ (1 − lastₜ) Aₜ₊₁. [T, B] each.

    Generalised advantage estimation, Schulman et al. 2016, eq. 16.
    """
    _check(reward, discount, last, value, next_value)
    delta = td_errors(reward, discount, value, next_value, gamma)
    decay = gamma * gae_lambda * discount * (~last).to(reward.dtype)
    return _backwards(delta, decay)


def reward_to_go(reward: Tensor, discount: Tensor, last: Tensor, mask: Tensor, gamma: float) -> Tensor:
    """Gₜ = rₜ + γ dₜ (1 − lastₜ) Gₜ₊₁ over whole episodes, no bootstrap; steps outside `mask` do not count. [T, B]."""
    _check(reward, discount, last, mask)
    result = torch.empty_like(reward)
    running = torch.zeros_like(reward[0])
    for t in range(reward.shape[0] - 1, -1, -1):
        following = discount[t] * torch.where(last[t], 0.0, running)
        running = torch.where(mask[t], reward[t] + gamma * following, 0.0)
        result[t] = running
    return result


def cuts(discount: Tensor, last: Tensor) -> Tensor:
    """[T, B] bool: the steps after which the return starts over: where an episode ends, or a life is lost.

    A lost life marks the end of an episode during training (Mnih et al. 2015, Methods, training details).
    """
    return last | (discount == 0)


def episode_time(cut: Tensor) -> Tensor:
    """[T, B] int64: steps since the last of `cuts`; the rollout starts at the beginning of an episode."""
    time = torch.empty(cut.shape, dtype=torch.int64, device=cut.device)
    running = torch.zeros_like(cut[0], dtype=torch.int64)
    for t in range(cut.shape[0]):
        time[t] = running
        running = torch.where(cut[t], 0, running + 1)
    return time


def whole_returns(reward: Tensor, discount: Tensor, last: Tensor, mask: Tensor, gamma: float) -> Tensor:
    """At every step G₀ = Σₜ γᵗ rₜ between the `cuts` around it. [T, B]; 0 outside `mask`.

    Where discounts of −1 change the mover, it is G₀ from the view of the mover of that step.
    """
    to_go = reward_to_go(reward, discount, last, mask, gamma)
    starts = episode_time(cuts(discount, last)) == 0
    result = torch.empty_like(reward)
    running = torch.zeros_like(reward[0])
    for t in range(reward.shape[0]):
        running = torch.where(starts[t], to_go[t], running * discount[t - 1])
        result[t] = torch.where(mask[t], running, 0.0)
    return result
