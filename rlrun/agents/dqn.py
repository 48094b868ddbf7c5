"""DQN: Q-learning with a network, a replay memory and, since 2015, a target network.

Mnih et al. 2013 (arXiv:1312.5602, Algorithm 1) and 2015 (Nature 518, Algorithm 1 and Extended Data Table 1); options:
double Q-learning (van Hasselt et al. 2016), dueling networks (Wang et al. 2016), n-step returns (Sutton 1988; in deep
RL: Mnih et al. 2016, Hessel et al. 2018).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from rlrun.agents.exploration import ExplorationSettings
from rlrun.agents.legality import require_mask
from rlrun.agents.rewards import clip_reward
from rlrun.annotations import Takes, used_unless, used_when
from rlrun.compute.ahead import BatchesAhead, batches_at_once
from rlrun.compute.execution import Execution, plainly
from rlrun.errors import ArgumentError, inside
from rlrun.nn.networks import Network, build_q_network
from rlrun.nn.optimizers import OptimizerFactory, at_step
from rlrun.numerics.distributions import epsilon_greedy
from rlrun.numerics.losses import huber, q_td_target, squared_error
from rlrun.numerics.schedules import crosses
from rlrun.replay.settings import ReplaySettings, UpdatesDue
from rlrun.rng import torch_generator
from rlrun.types import ActorOutput, Batch, Carry, EnvSpec, Metrics, Obs, Rollout, State, Steps, action_mask, seen


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSettings:
    """How the value of the next state is estimated.

    Args:
        period_steps: agent steps between copies of the network into the target network; None: bootstraps from the
            network itself, as in 2013.
        double: the network chooses the next action, the target network values it.
    """

    period_steps: Annotated[int, Field(gt=0)] | None
    double: Annotated[bool, used_unless(period_steps=None)]


class DQN:
    """Deep Q-network.

    Args:
        optimizer: makes the optimizer of the Q-network.
        gamma: discount factor per agent step.
        n_step: rewards summed before bootstrapping.
        rollout_steps: steps of every slot between two calls of `learn`.
        dueling: separate streams for value and advantage.
        loss: `huber` clamps the error's gradient to +-`huber_delta` (2015); `squared` does not (2013).
        huber_delta: where the Huber loss turns linear.
        reward_clip: rewards are clipped to +- this before they are stored; None: unchanged.
        max_grad_norm: gradients are scaled down to this norm; None: unchanged.
        replay: how much experience is kept, and how often it is learned from.
        target: how the value of the next state is estimated.
        exploration: how actions are chosen.
        spec: the environment's.
        device: where network and replay live.
        seed: the run's.
        directory: the run's.
        network: trunk and hidden layers.
        execution: how updates and acting are executed; None: eagerly.

    Raises:
        UserError: if arguments contradict each other, the network does not fit the observations, there is not enough
            memory, or some actions are illegal and observations have no mask.
    """

    def __init__(
        self,
        *,
        optimizer: OptimizerFactory,
        gamma: Annotated[float, Field(ge=0, le=1)],
        n_step: Annotated[int, Field(gt=0)],
        rollout_steps: Annotated[int, Field(gt=0), Takes(18, per_slot=True)],
        dueling: bool,
        loss: Literal["huber", "squared"],
        huber_delta: Annotated[float, Field(gt=0), used_when(loss="huber")],
        reward_clip: Annotated[float, Field(gt=0)] | None,
        max_grad_norm: Annotated[float, Field(gt=0)] | None,
        replay: ReplaySettings,
        target: TargetSettings,
        exploration: ExplorationSettings,
        spec: EnvSpec,
        device: torch.device,
        seed: int,
        directory: Path,
        network: Network,
        execution: Execution | None = None,
    ) -> None:
        require_mask(spec)
        if rollout_steps * spec.num_envs > replay.capacity_steps:
            raise ArgumentError(
                "rollout_steps",
                f"={rollout_steps} in {spec.num_envs} environments is more than "
                f"replay.capacity_steps={replay.capacity_steps} holds",
            )
        self.collection = Steps(rollout_steps)
        self.finished = False
        self.gamma = gamma
        self._num_actions = spec.num_actions
        self._q = build_q_network(network, spec, torch_generator(seed, "agent/init"), dueling=dueling).to(device)
        self._target = self._q if target.period_steps is None else copy.deepcopy(self._q)
        self._optimizer = optimizer(self._q.parameters())
        with inside("replay"):
            self._replay = replay.open(spec, device, directory, n_step=n_step, gamma=gamma)
        self._due = UpdatesDue(replay)
        self._rng = torch_generator(seed, "agent/replay")
        self._target_period_steps = target.period_steps
        self._double = target.double
        self._error = partial(huber, delta=huber_delta) if loss == "huber" else squared_error
        self._reward_clip = reward_clip
        self._exploration = exploration
        self._steps = 0  # agent steps seen by `learn`
        execution = execution or plainly(device)
        at_once = 1 if self._target is self._q else batches_at_once(replay.batch_size, spec, device)
        next_q = execution.passing(self._target.forward)
        self._batches = BatchesAhead(self._replay, replay.batch_size, next_q, self._rng, at_once=at_once)
        self._update = execution.descent(self.loss, self._q, self._optimizer, max_grad_norm)
        self._q_to_act_on = execution.acting(self._q.forward, self._q)

    policy_entries = ("q",)

    def load_policy(self, state: State) -> None:
        """Loads the Q-network."""
        self._q.load_state_dict(state["q"])

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def act(self, obs: Obs, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """Epsilon-greedy: a random action with probability epsilon, otherwise argmax_a Q(obs, a)."""
        epsilon = self._exploration.epsilon(self._steps) if explore else 0.0
        mask = action_mask(obs)
        if epsilon >= 1.0 and mask is None:  # before learning starts; saves the forward pass
            return ActorOutput(
                torch.randint(self._num_actions, obs.shape[:1], generator=rng, device=obs.device), carry, {}
            )
        return ActorOutput(epsilon_greedy(self._q_to_act_on(seen(obs)), epsilon, rng, mask), carry, {})

    def learn(self, rollout: Rollout) -> Metrics:
        """Stores the rollout, then makes as many updates as are due."""
        self._replay.extend(clip_reward(rollout, self._reward_clip))
        before, self._steps = self._steps, self._steps + rollout.num_steps
        metrics = {"policy/epsilon": self._exploration.epsilon(self._steps), **at_step(self._optimizer, self._steps)}
        update: dict[str, Tensor] = {}
        for batch, next_q in self._batches(self._due.after(rollout.num_steps, self._steps)):
            update = self._update(batch, next_q)
        if crosses(before, self._steps, self._target_period_steps):
            self._target.load_state_dict(self._q.state_dict())
        return {**metrics, **{name: value.mean() for name, value in update.items()}}

    def loss(self, batch: Batch, next_q: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The temporal-difference loss of N transitions (2015, Algorithm 1), and metrics.

        Args:
            batch: from the replay.
            next_q: Q(s', .) [N, A] of the target network.
        """
        chosen_by = self.q_values(batch.next_obs) if self._double else None
        target = q_td_target(batch.reward, batch.discount, next_q, chosen_by, action_mask(batch.next_obs))
        q = self._q(seen(batch.obs)).gather(1, batch.action[:, None]).squeeze(1)
        loss = self._error(q, target)
        return loss, {"loss/td": loss.detach(), "value/q_mean": q.detach(), "value/target_mean": target}

    @torch.no_grad()
    def q_values(self, obs: Obs) -> Tensor:
        """Q(s, a) of the online network: obs [N, ...] to [N, A]."""
        q: Tensor = self._q(seen(obs))
        return q

    def state_dict(self) -> State:
        """Networks, optimizer, replay, its stream and the counters."""
        return {
            "q": self._q.state_dict(),
            "target": self._target.state_dict() if self._target is not self._q else {},
            "optimizer": self._optimizer.state_dict(),
            "replay": self._replay.state_dict(),
            "rng": self._rng.get_state(),
            "steps": self._steps,
            "updates_owed": self._due.owed,
        }

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self.load_policy(state)
        if self._target is not self._q:
            self._target.load_state_dict(state["target"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._replay.load_state_dict(state["replay"])
        self._rng.set_state(state["rng"])
        self._steps = state["steps"]
        self._due.owed = state["updates_owed"]
