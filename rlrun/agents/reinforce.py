"""REINFORCE: the likelihood-ratio policy gradient from whole episodes (Williams 1992).

∇J = E[Σₜ wₜ ∇ log π(aₜ|sₜ)] ≈ 1/N Σᵢ Σₜ wᵢₜ ∇ log π(aᵢₜ|sᵢₜ) over N episodes, where the weight wᵢₜ is one of three
estimates of what the action brought, less a baseline. The inner sum is no mean, which would make the step size depend
on how long episodes are. A time limit ends an episode like any other end, since nothing is bootstrapped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rlrun.agents.baselines import Baseline, BatchMean, LearnedValue, MovingAverage, NoBaseline
from rlrun.annotations import Takes, used_when
from rlrun.distributions import categorical_entropy, categorical_log_prob, categorical_sample, greedy
from rlrun.errors import UserError
from rlrun.legality import require_every_action
from rlrun.losses import masked_mean
from rlrun.nn.descent import descend
from rlrun.nn.networks import Network, build_policy, build_value
from rlrun.returns import episode_time, reward_to_go, whole_returns
from rlrun.rng import torch_generator
from rlrun.types import ActorOutput, Carry, EnvSpec, Metrics, Rollout, State, WholeEpisodes

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
Estimator = Literal["whole_return", "reward_to_go", "discounted_reward_to_go"]


def estimate(reward: Tensor, last: Tensor, mask: Tensor, gamma: float, estimator: Estimator) -> Tensor:
    """The weights wₜ of the policy gradient, [T, B].

    - `whole_return`: G₀ = Σ γᵗ rₜ at every step. Unbiased, and the noisiest.
    - `reward_to_go`: γᵗ Gₜ, what came after the action only. Unbiased for the same objective: an action cannot change
      rewards before it (Sutton et al. 2000).
    - `discounted_reward_to_go`: Gₜ = Σ_{k≥t} γᵏ⁻ᵗ rₖ without the factor γᵗ. The usual form; biased unless γ = 1
      (Thomas 2014), since it weighs late states as much as early ones.
    """
    if estimator == "whole_return":
        return whole_returns(reward, last, mask, gamma)
    to_go = reward_to_go(reward, last, mask, gamma)
    if estimator == "reward_to_go":
        return gamma ** episode_time(last).to(reward.dtype) * to_go
    return to_go


class Reinforce:
    """REINFORCE with three estimators and four baselines.

    Args:
        optimizer: makes the optimizer of the policy.
        value_optimizer: makes the optimizer of the learned value (baseline=value).
        episodes_per_batch: whole episodes per gradient step; the same number from every environment slot.
        estimator: see `estimate`.
        gamma: discount factor per agent step.
        baseline: what is subtracted from the weights.
        moving_average_decay: of baseline=moving_average, per batch.
        value_updates: gradient steps on the learned value per batch.
        normalize: divides the weights less baseline by their standard deviation over the batch.
        entropy_bonus: coefficient of the policy's entropy, summed over an episode as the rewards are.
        max_grad_norm: gradients are scaled down to this norm; None leaves them alone.
        reward_clip: rewards are clipped to +- this for learning; None leaves them alone.
        evaluation_policy: what is evaluated: the likeliest action, or the policy as it is.
        spec: the environment's.
        device: where the networks live.
        seed: the run's.
        network: trunk and hidden layers.

    Raises:
        UserError: if episodes may never end, or do not divide evenly among the slots, or some actions are illegal.
    """

    def __init__(
        self,
        *,
        optimizer: OptimizerFactory,
        value_optimizer: Annotated[OptimizerFactory, used_when(baseline="value")],
        episodes_per_batch: Annotated[int, Field(gt=0), Takes(18)],
        estimator: Estimator,
        gamma: Annotated[float, Field(ge=0, le=1)],
        baseline: Literal["none", "moving_average", "batch_mean", "value"],
        moving_average_decay: Annotated[float, Field(ge=0, lt=1), used_when(baseline="moving_average")],
        value_updates: Annotated[int, Field(gt=0), used_when(baseline="value")],
        normalize: bool,
        entropy_bonus: Annotated[float, Field(ge=0)],
        max_grad_norm: Annotated[float, Field(gt=0)] | None,
        reward_clip: Annotated[float, Field(gt=0)] | None,
        evaluation_policy: Literal["greedy", "sampled"],
        spec: EnvSpec,
        device: torch.device,
        seed: int,
        network: Network,
    ) -> None:
        require_every_action(spec, "REINFORCE")
        if not spec.episodic:
            raise UserError(f"REINFORCE needs whole episodes, and those of {spec.name} may never end")
        if episodes_per_batch % spec.num_envs:
            raise UserError(
                f"algo.episodes_per_batch={episodes_per_batch} must be a multiple of env.num_envs={spec.num_envs}: "
                "every environment plays the same number of episodes"
            )
        if baseline == "batch_mean" and episodes_per_batch < 2:
            raise UserError(
                "algo.baseline=batch_mean needs algo.episodes_per_batch of at least 2: the mean of a single episode's "
                "returns leaves nothing to learn from"
            )
        self.collection = WholeEpisodes(episodes_per_batch // spec.num_envs)
        self.finished = False
        self._policy = build_policy(network, spec, torch_generator(seed, "agent/init")).to(device)
        self._parameters = list(self._policy.parameters())
        self._optimizer = optimizer(self._parameters)
        self._baseline: Baseline
        if baseline == "value":
            value = build_value(network, spec, torch_generator(seed, "agent/init_value")).to(device)
            self._baseline = LearnedValue(value, value_optimizer(value.parameters()), value_updates)
        elif baseline == "moving_average":
            self._baseline = MovingAverage(moving_average_decay, device)
        else:
            self._baseline = BatchMean() if baseline == "batch_mean" else NoBaseline()
        self._estimator = estimator
        self._gamma = gamma
        self._normalize = normalize
        self._entropy_bonus = entropy_bonus
        self._max_grad_norm = max_grad_norm
        self._reward_clip = reward_clip
        self._evaluation_policy = evaluation_policy

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def act(self, obs: Tensor, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """Draws from the policy; while evaluated, as `evaluation_policy` says."""
        logits = self._policy(obs)
        if explore or self._evaluation_policy == "sampled":
            return ActorOutput(categorical_sample(logits, rng), carry, {})
        return ActorOutput(greedy(logits), carry, {})

    def learn(self, rollout: Rollout) -> Metrics:
        """One step up the policy gradient, then the baseline learns."""
        rollout = clip_reward(rollout, self._reward_clip)
        obs, mask = rollout.obs, rollout.mask
        weight = estimate(rollout.reward, rollout.last, mask, self._gamma, self._estimator)
        advantage = weight - self._baseline.predict(obs, weight, mask)
        if self._normalize:
            spread = masked_mean(advantage.square(), mask) - masked_mean(advantage, mask).square()
            advantage = advantage / (spread.clamp(min=0.0).sqrt() + 1e-8)
        logits = self._policy(obs.flatten(0, 1)).unflatten(0, mask.shape)
        log_prob = categorical_log_prob(logits, rollout.action)
        entropy = categorical_entropy(logits)
        policy_loss = -sum_per_episode(log_prob * advantage, rollout)
        loss = policy_loss - self._entropy_bonus * sum_per_episode(entropy, rollout)
        grad_norm = descend(loss, self._parameters, self._optimizer, self._max_grad_norm)
        return {
            "loss/policy": policy_loss.detach(),
            "policy/entropy": masked_mean(entropy.detach(), mask),
            "grad/norm": grad_norm,
            "value/weight_mean": masked_mean(weight, mask),
            **self._baseline.learn(obs, weight, mask),
        }

    def state_dict(self) -> State:
        """Policy, optimizer and baseline."""
        return {
            "policy": self._policy.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "baseline": self._baseline.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self._policy.load_state_dict(state["policy"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._baseline.load_state_dict(state["baseline"])


def sum_per_episode(values: Tensor, rollout: Rollout) -> Tensor:
    """1/N Σᵢ Σₜ over the N whole episodes of a rollout: values [T, B] to a scalar."""
    num_episodes = (rollout.last & rollout.mask).sum()
    return torch.where(rollout.mask, values, 0.0).sum() / num_episodes


def clip_reward(rollout: Rollout, limit: float | None) -> Rollout:
    """The rollout as the agent learns from it; its episodes keep their raw returns."""
    if limit is None:
        return rollout
    return dataclasses.replace(rollout, reward=rollout.reward.clamp(-limit, limit))
