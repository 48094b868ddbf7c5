"""Actor-critic: a policy gradient weighted by advantages, from a value function learned along with the policy.

Four ways to estimate the advantage. `monte_carlo` is the lectures' algorithm: play whole episodes, fit V to the
returns, weight by G - V. `td` is batch actor-critic with the one-step error (Sutton and Barto 2018, section 13.5, but
without its factor γᵗ, as all four). `n_step` is advantage actor-critic, A2C (Mnih et al. 2016), and `gae` mixes all n
(Schulman et al. 2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rlrun.agents.legality import require_mask
from rlrun.agents.rewards import clip_reward
from rlrun.annotations import Takes, used_unless, used_when
from rlrun.compute.execution import Execution, plainly
from rlrun.errors import ArgumentError
from rlrun.nn.networks import Network, build_policy_value, policy_head
from rlrun.nn.optimizers import at_step
from rlrun.numerics.losses import masked_mean, masked_squared_error, normalised, policy_gradient_loss, squared_error
from rlrun.numerics.returns import discounted_returns, gae, n_step_returns, td_errors
from rlrun.numerics.schedules import Schedule, schedule_from_zero
from rlrun.protocols import Distribution, EvaluationPolicy
from rlrun.rng import torch_generator
from rlrun.types import (
    ActorOutput,
    Carry,
    Collection,
    EnvSpec,
    Metrics,
    Obs,
    Rollout,
    State,
    Steps,
    WholeEpisodes,
    action_mask,
    seen,
)

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
Advantage = Literal["monte_carlo", "td", "n_step", "gae"]


class ActorCritic:
    """Policy and value, from one network or two.

    Args:
        optimizer: makes the optimizer of all parameters.
        advantage: the estimator, see above.
        rollout_steps: steps of every slot per update (`td`, `n_step`, `gae`).
        episodes_per_batch: whole episodes per update (`monte_carlo`), the same number from every slot.
        gamma: discount factor per agent step.
        gae_lambda: of `gae`; 0: one-step errors, 1: returns.
        shared: policy and value share all layers but the last.
        value_updates: gradient steps on the value per batch; more than one needs `shared=False`.
        normalize: makes the advantages of a batch mean 0 and standard deviation 1.
        value_coefficient: of the value loss.
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
        UserError: if `monte_carlo` meets episodes that may never end, or that do not divide evenly among the slots; if
            `normalize` would make a batch 0; if some actions are illegal and observations have no mask; or if a step of
            the optimizer cannot be recorded.
    """

    def __init__(
        self,
        *,
        optimizer: OptimizerFactory,
        advantage: Advantage,
        rollout_steps: Annotated[int, Field(gt=0), Takes(18, per_slot=True), used_unless(advantage="monte_carlo")],
        episodes_per_batch: Annotated[int, Field(gt=0), Takes(18), used_when(advantage="monte_carlo")],
        gamma: Annotated[float, Field(ge=0, le=1)],
        gae_lambda: Annotated[float, Field(ge=0, le=1), used_when(advantage="gae")],
        shared: bool,
        value_updates: Annotated[int, Field(gt=0)],
        normalize: bool,
        value_coefficient: Annotated[float, Field(ge=0)],
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
        if shared and value_updates > 1:
            raise ArgumentError(
                "value_updates",
                f"={value_updates} would also move a shared policy: set shared=false or value_updates=1",
            )
        self.collection: Collection = Steps(rollout_steps)
        if normalize and advantage != "monte_carlo" and rollout_steps * spec.num_envs < 2:
            raise ArgumentError(
                "normalize",
                "=true needs more than one step per batch, since its advantage less the batch's mean would always "
                "be 0: set rollout_steps or the number of environments to at least 2, or normalize=false",
            )
        if advantage == "monte_carlo":
            if not spec.episodic:
                raise ArgumentError(
                    "advantage",
                    f"=monte_carlo needs whole episodes, but those of {spec.name} may never end: use td, n_step or gae",
                )
            if episodes_per_batch % spec.num_envs:
                raise ArgumentError(
                    "episodes_per_batch",
                    f"={episodes_per_batch} must be a multiple of the {spec.num_envs} environments (num_envs): every "
                    "environment plays the same number of episodes",
                )
            if normalize and episodes_per_batch < 2:
                raise ArgumentError(
                    "normalize",
                    "=true needs episodes_per_batch of at least 2: the advantage of a single episode's only step, less "
                    "their mean, would always be 0",
                )
            self.collection = WholeEpisodes(episodes_per_batch // spec.num_envs)
        self.finished = False
        init = torch_generator(seed, "agent/init")
        self._distribution, self._masked = policy_head(spec).distribution, spec.shows_mask
        self._network = build_policy_value(network, spec, init, shared=shared).to(device)
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
        self._num_steps = rollout_steps
        self._gamma = gamma
        self._gae_lambda = gae_lambda
        self._value_updates = value_updates
        self._normalize = normalize
        self._value_coefficient = value_coefficient
        self._entropy_bonus = schedule_from_zero(entropy_bonus, "entropy_bonus")
        self._constant_bonus, largest = self._entropy_bonus.bounds()
        self._bonus_varies = self._constant_bonus != largest  # then it is an input of the update
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
        obs, mask = seen(rollout.obs), rollout.mask
        steps: tuple[Tensor, ...]
        steps = (rollout.action, rollout.reward, rollout.discount, rollout.last, *self._values_beyond(rollout))
        if self._bonus_varies:
            known["policy/entropy_bonus"] = self._entropy_bonus(self._steps)
            steps = (*steps, rollout.reward.new_full((), known["policy/entropy_bonus"]))
        allowed = action_mask(rollout.obs)
        if allowed is not None:
            steps = (*steps, allowed)
        metrics = self._update(obs, mask, *steps)
        target = metrics.pop("target")
        for _ in range(self._value_updates - 1):
            self._refit_value(obs, mask, target)
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

    def loss(
        self,
        obs: Tensor,
        mask: Tensor,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        last: Tensor,
        value_after: Tensor,
        value_at_end: Tensor,
        *others: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of steps [T, B] and `_values_beyond` them; metrics, and `target`: the target of the value [T, B].

        `others` are the entropy bonus, a scalar, if it changes (a recording or compiled code would keep a number
        forever), and then the action mask [T, B, A], if observations have one.
        """
        logits, values = self._network(obs.flatten(0, 1))
        policy = self._distribution(logits, others[-1].flatten(0, 1) if self._masked else None)
        value = values.view(reward.shape)
        with torch.no_grad():
            following = torch.cat([value[1:], value_after[None]])
            next_value = torch.where(last, value_at_end, following)  # after an end another episode follows
            advantage, target = self.estimate(reward, discount, last, value.detach(), next_value)
            if self._normalize:
                counts = None if isinstance(self.collection, Steps) else mask
                advantage = normalised(advantage, counts, made_of=target)
        policy_loss = self._mean(policy_gradient_loss(policy.log_prob(action.flatten()), advantage.flatten()), mask)
        critic_loss = self._value_loss(value, target, mask)
        loss = policy_loss + self._value_coefficient * critic_loss
        with torch.set_grad_enabled(self._wants_entropy):  # otherwise only a metric
            entropy = self._mean(policy.entropy(), mask)
            if self._wants_entropy:
                bonus = others[0] if self._bonus_varies else self._constant_bonus
                loss = loss - bonus * entropy
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
        return self._value_coefficient * self._value_loss(value, target, mask), {}

    def _mean(self, values: Tensor, mask: Tensor) -> Tensor:
        """The mean over the steps in `mask`; without whole episodes, over all. values [T, B] or [T B]."""
        return values.mean() if isinstance(self.collection, Steps) else masked_mean(values.view(mask.shape), mask)

    def _value_loss(self, value: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        if isinstance(self.collection, Steps):
            return squared_error(value, target)
        return masked_squared_error(value, target, mask)

    def estimate(
        self, reward: Tensor, discount: Tensor, last: Tensor, value: Tensor, next_value: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Advantages and targets of the value. All [T, B]; `next_value` is V of each step's true successor."""
        gamma = self._gamma
        if self._advantage == "monte_carlo":
            returns = discounted_returns(reward, discount, last, next_value, gamma)  # a time limit bootstraps
            return returns - value, returns
        if self._advantage == "td":
            advantage = td_errors(reward, discount, value, next_value, gamma)
        elif self._advantage == "n_step":
            advantage = n_step_returns(reward, discount, last, next_value, gamma, self._num_steps) - value
        else:
            advantage = gae(reward, discount, last, value, next_value, gamma, self._gae_lambda)
        return advantage, advantage + value

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
