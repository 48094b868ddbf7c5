"""Actor-critic: a policy gradient weighted by advantages, from a value function learned along with the policy.

Four ways to estimate the advantage (`rlrun.agents.advantages`). `monte_carlo` is the lectures' algorithm: play whole
episodes, fit V to the returns, weight by G - V. `td` is batch actor-critic with the one-step error (Sutton and Barto
2018, section 13.5, but without its factor γᵗ, as all four). `n_step` is advantage actor-critic, A2C (Mnih et al. 2016),
and `gae` mixes all n (Schulman et al. 2016).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from rlrun.agents.advantages import AdvantageSettings
from rlrun.agents.legality import require_mask
from rlrun.agents.rewards import clip_reward
from rlrun.compute.execution import Execution, plainly
from rlrun.errors import ArgumentError, inside
from rlrun.nn.networks import Network, build_policy_value, policy_head
from rlrun.nn.optimizers import OptimizerFactory, at_step
from rlrun.numerics.losses import masked_mean, masked_squared_error, normalised, policy_gradient_loss, squared_error
from rlrun.numerics.schedules import Schedule, schedule_from_zero
from rlrun.protocols import Distribution, EvaluationPolicy
from rlrun.rng import torch_generator
from rlrun.types import ActorOutput, Carry, EnvSpec, Metrics, Obs, Rollout, State, Steps, action_mask, seen


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSettings:
    """How the value function is learned.

    Args:
        shared: policy and value share all layers but the last.
        updates: gradient steps on the value per batch; more than one needs `shared=False`.
        coefficient: of the value loss.

    Raises:
        ArgumentError: if updates of the value alone would move a shared policy.
    """

    shared: bool
    updates: Annotated[int, Field(gt=0)]
    coefficient: Annotated[float, Field(ge=0)]

    def __post_init__(self) -> None:
        if self.shared and self.updates > 1:
            raise ArgumentError(
                "updates", f"={self.updates} would also move a shared policy: set shared=false or updates=1"
            )


class RolloutBatch(NamedTuple):
    """What the loss depends on besides the network: tensors, since recorded or compiled code would keep numbers."""

    obs: Tensor  # [T, B, ...]
    mask: Tensor  # [T, B] bool
    action: Tensor  # [T, B]
    reward: Tensor  # [T, B] clipped
    discount: Tensor  # [T, B]
    last: Tensor  # [T, B] bool
    value_after: Tensor  # [B] V of the observations after the rollout
    value_at_end: Tensor  # [T, B] V of the true successors where episodes ended, 0 elsewhere
    entropy_bonus: Tensor  # a scalar
    action_mask: Tensor | None  # [T, B, A] bool; None: every action is allowed


class ActorCritic:
    """Policy and value, from one network or two.

    Args:
        optimizer: makes the optimizer of all parameters.
        gamma: discount factor per agent step.
        advantage: how advantages are estimated, and from what.
        value: how the value function is learned.
        entropy_bonus: coefficient of the policy's mean entropy; a number, or a schedule by agent step.
        max_grad_norm: gradients are scaled down to this norm; None: unchanged.
        reward_clip: rewards are clipped to +- this for learning; None: unchanged.
        evaluation_policy: evaluates draws from the policy, or its most likely action.
        spec: the environment's.
        device: where the network lives.
        seed: the run's.
        network: trunk and hidden layers.
        execution: how updates and acting are executed; None: eagerly. Updates from whole episodes are neither compiled
            nor recorded, since their rollouts have many lengths.

    Raises:
        UserError: if episodes do not fit the estimator (`AdvantageSettings.collection`), some actions are illegal and
            observations have no mask, or a step of the optimizer cannot be recorded.
    """

    def __init__(
        self,
        *,
        optimizer: OptimizerFactory,
        gamma: Annotated[float, Field(ge=0, le=1)],
        advantage: AdvantageSettings,
        value: ValueSettings,
        entropy_bonus: Annotated[float, Field(ge=0)] | Schedule,
        max_grad_norm: Annotated[float, Field(gt=0)] | None,
        reward_clip: Annotated[float, Field(gt=0)] | None,
        evaluation_policy: EvaluationPolicy,
        spec: EnvSpec,
        device: torch.device,
        seed: int,
        network: Network,
        execution: Execution | None = None,
    ) -> None:
        require_mask(spec)
        with inside("advantage"):
            self.collection = advantage.collection(spec)
        self.finished = False
        init = torch_generator(seed, "agent/init")
        self._distribution = policy_head(spec).distribution
        self._network = build_policy_value(network, spec, init, shared=value.shared).to(device)
        self._optimizer = optimizer(self._network.parameters())
        execution = execution or plainly(device)
        self._logits = execution.acting(self._network.logits, self._network)
        self._values = execution.passing(self._network.values)
        descent = partial(
            execution.descent,
            optimizer=self._optimizer,
            max_grad_norm=math.inf if max_grad_norm is None else max_grad_norm,  # the norm is measured in any case
            many_shapes=not isinstance(self.collection, Steps),
        )
        self._update = descent(self.loss, self._network)
        self._refit_value = descent(self.value_loss, self._network.value)
        self._advantage = advantage
        self._value = value
        self.gamma = gamma
        self._entropy_bonus = schedule_from_zero(entropy_bonus, "entropy_bonus")
        least, largest = self._entropy_bonus.bounds()
        self._bonus_varies = least != largest
        self._wants_entropy = largest > 0
        self._reward_clip = reward_clip
        self.evaluation_policy = evaluation_policy
        self._steps = 0  # agent steps seen by `learn`

    policy_entries = ("network",)

    def load_policy(self, state: State) -> None:
        """Loads policy and value."""
        self._network.load_state_dict(state["network"])

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
        """One gradient step on policy, value and entropy together; then perhaps more on the value alone."""
        rollout = clip_reward(rollout, self._reward_clip)
        self._steps += rollout.num_steps
        known = at_step(self._optimizer, self._steps)
        bonus = self._entropy_bonus(self._steps)
        if self._bonus_varies:
            known["policy/entropy_bonus"] = bonus
        batch = RolloutBatch(
            seen(rollout.obs),
            rollout.mask,
            rollout.action,
            rollout.reward,
            rollout.discount,
            rollout.last,
            *self._values_beyond(rollout),
            rollout.reward.new_full((), bonus),
            action_mask(rollout.obs),
        )
        metrics = self._update(batch)
        target = metrics.pop("target")
        for _ in range(self._value.updates - 1):
            self._refit_value(batch.obs, batch.mask, target)
        return {**metrics, **known}

    @torch.no_grad()
    def _values_beyond(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """V of observations that no step acted on: after the rollout [B], and where episodes ended [T, B]."""
        unseen, finals = seen(rollout.obs_sequence)[-1], seen(rollout.final_obs)
        at_ends = rollout.reward.new_zeros(rollout.reward.shape)
        if len(finals) == 0:
            return self._values(unseen), at_ends
        values = self._values(torch.cat([unseen, finals]))
        return values[: len(unseen)], at_ends.masked_scatter_(rollout.last, values[len(unseen) :])

    def loss(self, batch: RolloutBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, metrics, and `target`: the target of the value [T, B]."""
        mask = batch.mask
        logits, values = self._network(batch.obs.flatten(0, 1))
        policy = self._distribution(logits, None if batch.action_mask is None else batch.action_mask.flatten(0, 1))
        value = values.view(mask.shape)
        with torch.no_grad():
            following = torch.cat([value[1:], batch.value_after[None]])
            next_value = torch.where(batch.last, batch.value_at_end, following)  # after an end another episode follows
            advantage, target = self._advantage.estimate(
                batch.reward, batch.discount, batch.last, value.detach(), next_value, self.gamma
            )
            if self._advantage.normalize:
                counts = None if isinstance(self.collection, Steps) else mask
                advantage = normalised(advantage, counts, made_of=target)
        policy_loss = self._mean(
            policy_gradient_loss(policy.log_prob(batch.action.flatten()), advantage.flatten()), mask
        )
        critic_loss = self._value_loss(value, target, mask)
        loss = policy_loss + self._value.coefficient * critic_loss
        with torch.set_grad_enabled(self._wants_entropy):  # otherwise only a metric
            entropy = self._mean(policy.entropy(), mask)
            if self._wants_entropy:
                loss = loss - batch.entropy_bonus * entropy
        return loss, {
            "loss/policy": policy_loss.detach(),
            "loss/value": critic_loss.detach(),
            "policy/entropy": entropy.detach(),
            "value/mean": self._mean(value.detach(), mask),
            "target": target,
        }

    def value_loss(self, obs: Tensor, mask: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The value's part of the loss; `target` [T, B]."""
        value = self._network.values(obs.flatten(0, 1)).view(target.shape)
        return self._value.coefficient * self._value_loss(value, target, mask), {}

    def _mean(self, values: Tensor, mask: Tensor) -> Tensor:
        """The mean over the steps in `mask`; without whole episodes, over all. values [T, B] or [T B]."""
        return values.mean() if isinstance(self.collection, Steps) else masked_mean(values.view(mask.shape), mask)

    def _value_loss(self, value: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        if isinstance(self.collection, Steps):
            return squared_error(value, target)
        return masked_squared_error(value, target, mask)

    def state_dict(self) -> State:
        """Network, optimizer and the step of the schedules."""
        return {
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "steps": self._steps,
        }

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self.load_policy(state)
        self._optimizer.load_state_dict(state["optimizer"])
        self._steps = state["steps"]
