"""REINFORCE: the likelihood-ratio policy gradient from whole episodes (Williams 1992).

∇J = E[Σₜ wₜ ∇ log π(aₜ|sₜ)] ≈ 1/N Σᵢ Σₜ wᵢₜ ∇ log π(aᵢₜ|sᵢₜ) over N episodes, where the weight wᵢₜ is one of three
estimates of what the action gained, less a baseline. The inner sum is not a mean, which would make the step size depend
on the length of episodes. Where `discount` is 0 an episode ends for learning, also at a lost life, after which the game
continues: what follows is another of the N. A time limit ends an episode like any other end, since nothing is
bootstrapped: this estimates the gradient of the return within the limit.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from rlrun.agents.baselines import BaselineSettings
from rlrun.agents.legality import require_mask
from rlrun.agents.rewards import clip_reward
from rlrun.agents.whole_episodes import whole_episodes
from rlrun.annotations import Takes
from rlrun.errors import ArgumentError, UserError
from rlrun.nn.descent import descend
from rlrun.nn.networks import Network, build_policy, policy_head
from rlrun.nn.optimizers import OptimizerFactory, at_step
from rlrun.numerics.losses import masked_mean, normalised, policy_gradient_loss
from rlrun.numerics.returns import cuts, episode_time, reward_to_go, whole_returns
from rlrun.numerics.schedules import Schedule, schedule_from_zero
from rlrun.protocols import Distribution, EvaluationPolicy
from rlrun.rng import torch_generator
from rlrun.types import ActorOutput, Carry, EnvSpec, Metrics, Obs, Rollout, State, action_mask, seen

Estimator = Literal["whole_return", "reward_to_go", "discounted_reward_to_go"]


def estimate(
    reward: Tensor, discount: Tensor, last: Tensor, mask: Tensor, gamma: float, estimator: Estimator
) -> Tensor:
    """The weights wₜ of the policy gradient, [T, B].

    - `whole_return`: G₀ = Σ γᵗ rₜ at every step. Unbiased, and the noisiest.
    - `reward_to_go`: γᵗ Gₜ, what came after the action only. Unbiased for the same objective: an action cannot change
      rewards before it (Sutton et al. 2000).
    - `discounted_reward_to_go`: Gₜ = Σ_{k≥t} γᵏ⁻ᵗ rₖ without the factor γᵗ. The usual form; biased unless γ = 1
      (Thomas 2014), since it weights late states as much as early ones.
    """
    if estimator == "whole_return":
        return whole_returns(reward, discount, last, mask, gamma)
    to_go = reward_to_go(reward, discount, last, mask, gamma)
    if estimator == "reward_to_go":
        return gamma ** episode_time(cuts(discount, last)).to(reward.dtype) * to_go
    return to_go


class Reinforce:
    """REINFORCE with three estimators and four baselines.

    Args:
        optimizer: makes the optimizer of the policy.
        episodes_per_batch: whole episodes per gradient step; the same number from every environment slot.
        estimator: see `estimate`.
        gamma: discount factor per agent step.
        baseline: what is subtracted from the weights.
        normalize: makes the weights less baseline mean 0 and standard deviation 1 over the steps of a batch.
        entropy_bonus: coefficient of the policy's entropy, summed over an episode as the rewards are; a number, or a
            schedule by agent step.
        max_grad_norm: gradients are scaled down to this norm; None: unchanged.
        reward_clip: rewards are clipped to +- this for learning; None: unchanged.
        evaluation_policy: evaluates draws from the policy, or its most likely action.
        spec: the environment's.
        device: where the networks live.
        seed: the run's.
        network: trunk and hidden layers.

    Raises:
        UserError: if episodes may never end, or do not divide evenly among the slots, or some actions are illegal and
            observations have no mask.
    """

    def __init__(
        self,
        *,
        optimizer: OptimizerFactory,
        episodes_per_batch: Annotated[int, Field(gt=0), Takes(18)],
        estimator: Estimator,
        gamma: Annotated[float, Field(ge=0, le=1)],
        baseline: BaselineSettings,
        normalize: bool,
        entropy_bonus: Annotated[float, Field(ge=0)] | Schedule,
        max_grad_norm: Annotated[float, Field(gt=0)] | None,
        reward_clip: Annotated[float, Field(gt=0)] | None,
        evaluation_policy: EvaluationPolicy,
        spec: EnvSpec,
        device: torch.device,
        seed: int,
        network: Network,
    ) -> None:
        require_mask(spec)
        if not spec.episodic:
            raise UserError(f"REINFORCE needs whole episodes, but those of {spec.name} may never end")
        if episodes_per_batch < 2 and (baseline.kind == "batch_mean" or normalize):
            parameter, wish = (
                ("baseline.kind", "batch_mean") if baseline.kind == "batch_mean" else ("normalize", "true")
            )
            raise ArgumentError(
                parameter,
                f"={wish} needs episodes_per_batch of at least 2: subtracting the mean of a single episode's returns "
                "may leave nothing to learn from",
            )
        if normalize and baseline.kind in ("moving_average", "batch_mean"):
            raise ArgumentError(
                "baseline.kind",
                f"={baseline.kind} has no effect with normalize=true, which subtracts the batch's mean: set "
                "baseline.kind=none or baseline.kind=value",
            )
        self.collection = whole_episodes(episodes_per_batch, spec)
        self.finished = False
        self._distribution = policy_head(spec).distribution
        self._logits = build_policy(network, spec, torch_generator(seed, "agent/init")).to(device)
        self._parameters = list(self._logits.parameters())
        self._optimizer = optimizer(self._parameters)
        self._baseline = baseline.make(network, spec, device, seed)
        self._estimator = estimator
        self.gamma = gamma
        self._normalize = normalize
        self._entropy_bonus = schedule_from_zero(entropy_bonus, "entropy_bonus")
        least, largest = self._entropy_bonus.bounds()
        self._bonus_changes = least != largest
        self._max_grad_norm = max_grad_norm
        self._reward_clip = reward_clip
        self.evaluation_policy = evaluation_policy
        self._steps = 0  # agent steps seen by `learn`

    policy_entries = ("policy",)

    def load_policy(self, state: State) -> None:
        """Loads the policy's network."""
        self._logits.load_state_dict(state["policy"])

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def act(self, obs: Obs, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """Draws from the policy; in evaluation as `evaluation_policy` says."""
        policy, carry = self.policy(obs, carry)
        draws = explore or self.evaluation_policy == "sampled"
        return ActorOutput(policy.sample(rng) if draws else policy.mode(), carry, {})

    def policy(self, obs: Obs, carry: Carry) -> tuple[Distribution, Carry]:
        """π(·|s) for obs [B, ...]."""
        return self._distribution(self._logits(seen(obs)), action_mask(obs)), carry

    def learn(self, rollout: Rollout) -> Metrics:
        """One step up the policy gradient, then the baseline learns."""
        self._steps += rollout.num_steps
        rate = at_step(self._optimizer, self._steps)
        bonus = self._entropy_bonus(self._steps)
        rollout = clip_reward(rollout, self._reward_clip)
        obs, mask = seen(rollout.obs), rollout.mask
        weight = estimate(rollout.reward, rollout.discount, rollout.last, mask, self.gamma, self._estimator)
        advantage = weight - self._baseline.predict(obs, weight, mask)
        if self._normalize:
            advantage = normalised(advantage, mask, made_of=weight)
        logits = self._logits(obs.flatten(0, 1)).unflatten(0, mask.shape)
        policy = self._distribution(logits, action_mask(rollout.obs))
        entropy = policy.entropy()
        policy_loss = sum_per_episode(policy_gradient_loss(policy.log_prob(rollout.action), advantage), rollout)
        loss = policy_loss - bonus * sum_per_episode(entropy, rollout)
        grad_norm = descend(loss, self._parameters, self._optimizer, self._max_grad_norm)
        return {
            "loss/policy": policy_loss.detach(),
            "policy/entropy": masked_mean(entropy.detach(), mask),
            "grad/norm": grad_norm,
            "value/weight_mean": masked_mean(weight, mask),
            **self._baseline.learn(obs, weight, mask, self._steps),
            **({"policy/entropy_bonus": bonus} if self._bonus_changes else {}),
            **rate,
        }

    def state_dict(self) -> State:
        """Policy, optimizer, baseline and the step of the schedules."""
        return {
            "policy": self._logits.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "baseline": self._baseline.state_dict(),
            "steps": self._steps,
        }

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self.load_policy(state)
        self._optimizer.load_state_dict(state["optimizer"])
        self._baseline.load_state_dict(state["baseline"])
        self._steps = state["steps"]


def sum_per_episode(values: Tensor, rollout: Rollout) -> Tensor:
    """1/N Σᵢ Σₜ over the N episodes of a rollout, lost lives counted as ends: values [T, B] to a scalar."""
    num_episodes = (cuts(rollout.discount, rollout.last) & rollout.mask).sum()
    return torch.where(rollout.mask, values, 0.0).sum() / num_episodes
