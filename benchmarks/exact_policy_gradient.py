"""Exact policy gradients of a small `TabularModel` under a softmax table, to hold sampled ones against.

The objective is J = E[Σ_{t<T} γᵗ rₜ] over episodes that end when the MDP says so, and at the latest after T steps (the
horizon). Three ways that share no code lead to its gradient, in float64: autograd through backward induction
(`expected_return`), autograd through the sum over all episodes (`Enumeration.probability`), and the policy gradient
theorem (`gradient_by_theorem`), which gives the expectation of the biased discounted form as well. A policy is a table
of logits [S, A], S states and A actions, all of which are legal while an episode continues.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rlrun.types import TabularModel


@dataclass(frozen=True, slots=True, eq=False)
class Enumeration:
    """All M episodes that can happen, side by side like the slots of a rollout; T is the horizon."""

    chance: Tensor  # [M] float64: the environment's share of an episode's probability
    state: Tensor  # [T, M] int64; 0 after the end
    action: Tensor  # [T, M] int64; 0 after the end
    reward: Tensor  # [T, M] float64; 0 after the end
    last: Tensor  # [T, M] bool
    mask: Tensor  # [T, M] bool: up to and with the last step

    def probability(self, logits: Tensor) -> Tensor:
        """[M] of each episode under softmax(logits [S, A]); differentiable."""
        log_prob = torch.log_softmax(logits, dim=1)[self.state, self.action]
        return self.chance * (log_prob * self.mask).sum(dim=0).exp()

    def returns(self, gamma: float) -> Tensor:
        """[M] Σ γᵗ rₜ."""
        power = gamma ** torch.arange(len(self.reward), dtype=torch.float64)
        return (power[:, None] * self.reward).sum(dim=0)

    def gradients(self, logits: Tensor, weight: Tensor) -> Tensor:
        """[M, S, A] of each episode: Σₜ wₜ ∇ log π(aₜ|sₜ), where ∂ log π(a|s) / ∂ logits[s, b] = 1{a = b} − π(b|s).

        Args:
            logits: [S, A].
            weight: [T, M]; what stands outside `mask` counts nothing.
        """
        num_states, num_actions = logits.shape
        policy = torch.softmax(logits, dim=1)
        score = torch.nn.functional.one_hot(self.action, num_actions) - policy[self.state]
        score = torch.where(self.mask, weight, 0.0)[..., None] * score
        result = torch.zeros(len(self.chance), num_states, num_actions, dtype=torch.float64)
        every = torch.arange(len(self.chance))
        for state, part in zip(self.state, score, strict=True):
            result[every, state] += part
        return result


def enumerate_episodes(model: TabularModel, horizon: int) -> Enumeration:
    """Every sequence of outcomes from every first state; their number grows exponentially with `horizon`."""
    finished: list[tuple[float, list[int]]] = []  # chance, and the rows of the model that the episode went through

    def extend(state: int, chance: float, rows: list[int]) -> None:
        for row in np.flatnonzero((model.state == state) & (model.probability > 0)):
            longer, likely = [*rows, int(row)], chance * float(model.probability[row])
            if model.discount[row] == 0 or len(longer) == horizon:
                finished.append((likely, longer))
            else:
                extend(int(model.next_state[row]), likely, longer)

    for first in np.flatnonzero(model.initial):
        extend(int(first), float(model.initial[first]), [])
    shape = (horizon, len(finished))
    state, action = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    reward, last, mask = np.zeros(shape), np.zeros(shape, bool), np.zeros(shape, bool)
    for episode, (_, rows) in enumerate(finished):
        steps = slice(len(rows)), episode
        state[steps], action[steps], reward[steps] = model.state[rows], model.action[rows], model.reward[rows]
        mask[steps] = True
        last[len(rows) - 1, episode] = True
    chances = torch.tensor([chance for chance, _ in finished], dtype=torch.float64)
    return Enumeration(chances, *(torch.from_numpy(array) for array in (state, action, reward, last, mask)))


def expected_return(model: TabularModel, logits: Tensor, gamma: float, horizon: int) -> Tensor:
    """J by backward induction, a differentiable scalar (Sutton and Barto 2018, eq. 4.4, one sweep a step)."""
    policy = torch.softmax(logits, dim=1)
    value = torch.zeros(model.num_states, dtype=torch.float64)
    for _ in range(horizon):
        value = (policy * _action_values(model, value, gamma)).sum(dim=1)
    return torch.from_numpy(model.initial) @ value


def exact_gradient(model: TabularModel, logits: Tensor, gamma: float, horizon: int) -> Tensor:
    """∇J with respect to the logits, [S, A], by autograd through `expected_return`."""
    leaf = logits.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(expected_return(model, leaf, gamma, horizon), leaf)
    return gradient


def gradient_by_theorem(
    model: TabularModel, logits: Tensor, gamma: float, horizon: int, *, discount_states: bool
) -> Tensor:
    """Σₜ cₜ Σ_s Pr(sₜ = s) Σ_a Qₜ(s, a) ∇π(a|s), [S, A] (Sutton et al. 2000, theorem 1, with a horizon).

    Args:
        model: the MDP.
        logits: [S, A].
        gamma: discount factor.
        horizon: T.
        discount_states: with cₜ = γᵗ this is ∇J. With cₜ = 1 it is what the weights Gₜ without the factor γᵗ estimate
            (Thomas 2014), which is the gradient of nothing in particular unless γ = 1.
    """
    policy = torch.softmax(logits.detach(), dim=1)
    action_values = []  # Q with one step to go, with two ...
    value = torch.zeros(model.num_states, dtype=torch.float64)
    for _ in range(horizon):
        action_values.append(_action_values(model, value, gamma))
        value = (policy * action_values[-1]).sum(dim=1)
    result = torch.zeros_like(policy)
    visits = torch.from_numpy(model.initial)  # Pr(sₜ = s and the episode continues)
    for time, q in enumerate(reversed(action_values)):
        factor = gamma**time if discount_states else 1.0
        advantage = q - (policy * q).sum(dim=1, keepdim=True)
        result += factor * visits[:, None] * policy * advantage  # the softmax's own ∇π, summed over a
        visits = _next_visits(model, visits, policy)
    return result


def batch_mean_gradient(episodes: Enumeration, logits: Tensor, weight: Tensor, num_episodes: int) -> Tensor:
    """E of 1/N Σᵢ Σₜ (wᵢₜ − b) ∇ log π with b the mean weight over all steps of the N episodes, [S, A].

    Episode i is in b = (Sᵢ + S) / (Lᵢ + L) with its own summed weight and length, so b is not independent of it. The
    S and L of the N − 1 others matter by E[S | L] alone, since b is linear in S; the distribution of L and that
    expectation are convolutions over the episodes' lengths.

    Args:
        episodes: all of them.
        logits: [S, A].
        weight: [T, M].
        num_episodes: N, at least 2.
    """
    probability = episodes.probability(logits).detach()
    lengths = episodes.mask.sum(dim=0)
    summed = torch.where(episodes.mask, weight, 0.0).sum(dim=0)
    horizon = len(episodes.mask)
    length_pmf = np.bincount(lengths.numpy(), probability.numpy(), horizon + 1)
    weight_by_length = np.bincount(lengths.numpy(), (probability * summed).numpy(), horizon + 1)  # E[S 1{L = l}]
    all_but_two = np.ones(1)
    for _ in range(num_episodes - 2):
        all_but_two = np.convolve(all_but_two, length_pmf)
    others_pmf = torch.from_numpy(np.convolve(all_but_two, length_pmf))
    others_weight = torch.from_numpy((num_episodes - 1) * np.convolve(all_but_two, weight_by_length))
    total = lengths[:, None] + torch.arange(len(others_pmf))
    baseline = ((summed[:, None] * others_pmf + others_weight) / total).sum(dim=1)  # [M] E[b | episode i]
    return torch.einsum("m,msa->sa", probability, episodes.gradients(logits, weight - baseline))


def _action_values(model: TabularModel, value: Tensor, gamma: float) -> Tensor:
    """Q [S, A] = E[r + γ d V(s′)]; 0 where nothing is legal."""
    state, action, next_state = (torch.from_numpy(array) for array in (model.state, model.action, model.next_state))
    probability, reward, discount = (
        torch.from_numpy(array) for array in (model.probability, model.reward, model.discount)
    )
    outcome = probability * (reward + gamma * discount * value[next_state])
    q = torch.zeros(model.num_states, model.num_actions, dtype=torch.float64)
    return q.index_put((state, action), outcome, accumulate=True)


def _next_visits(model: TabularModel, visits: Tensor, policy: Tensor) -> Tensor:
    """Pr(sₜ₊₁ = s and the episode continues) from that of sₜ, [S]."""
    state, action = torch.from_numpy(model.state), torch.from_numpy(model.action)
    flow = visits[state] * policy[state, action] * torch.from_numpy(model.probability * model.discount)
    return torch.zeros_like(visits).index_add(0, torch.from_numpy(model.next_state), flow)
