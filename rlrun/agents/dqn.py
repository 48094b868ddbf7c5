"""DQN: Q-learning with a network, a replay memory and, since 2015, a target network.

Mnih et al. 2013 (arXiv:1312.5602, Algorithm 1) and 2015 (Nature 518, Algorithm 1 and Extended Data Table 1); options:
double Q-learning (van Hasselt et al. 2016), dueling networks (Wang et al. 2016), n-step returns (Sutton 1988; in deep
RL: Mnih et al. 2016, Hessel et al. 2018).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rlrun.agents.legality import require_mask
from rlrun.annotations import AtMost, Takes, used_unless, used_when
from rlrun.compute.execution import Execution, plainly
from rlrun.errors import UserError
from rlrun.nn.descent import gradient_norm, gradients_of, scale_down
from rlrun.nn.networks import Network, build_q_network
from rlrun.nn.optimizers import at_step, moved_by
from rlrun.numerics.distributions import epsilon_greedy
from rlrun.numerics.losses import huber, q_td_target, squared_error
from rlrun.numerics.schedules import Schedule, require_probability
from rlrun.replay.disk import StorageFolder, StorageKind, open_storage
from rlrun.replay.uniform import UniformReplay
from rlrun.rng import torch_generator
from rlrun.types import ActorOutput, Batch, Carry, EnvSpec, Metrics, Obs, Rollout, State, Steps, action_mask, seen

_TOGETHER_BYTES = 1 << 24  # of transitions that are drawn at once on a CPU
_TOGETHER_ROWS = 1 << 11  # of them: what a layer makes of more is not in the cache when the next one reads it
_TOGETHER_ON_GPU = 16  # updates with one draw there, where memory is not the limit: each number of them is a recording
OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class DQN:
    """Deep Q-network.

    Args:
        optimizer: makes the optimizer of the Q-network.
        gamma: discount factor per agent step.
        batch_size: transitions per update.
        replay_ratio: transitions learned from per transition collected; batch 32 and one update per 4 steps make 8.
        replay_capacity_steps: agent steps that the replay memory holds.
        replay_storage: where it keeps observations: the device's `memory`, or a file on `disk`, which may be larger.
        replay_folder: a directory on whose disk the file of `replay_storage=disk` is; None is the disk of the run.
        learning_starts_steps: agent steps before the first update.
        rollout_steps: steps of every slot between two calls of `learn`.
        target_period_steps: agent steps between copies into the target network; None bootstraps from the network
            itself, as in 2013.
        n_step: rewards summed before bootstrapping.
        double: the network chooses the next action, the target network values it.
        dueling: separate streams for value and advantage.
        loss: `huber` clamps the error's gradient to +-`huber_delta` (2015); `squared` does not (2013).
        huber_delta: where the Huber loss turns linear.
        reward_clip: rewards are clipped to +- this before they are stored; None leaves them alone.
        max_grad_norm: gradients are scaled down to this norm; None leaves them alone.
        epsilon: exploration, by agent step.
        evaluation_epsilon: exploration while being evaluated.
        spec: the environment's.
        device: where network and replay live.
        seed: the run's.
        directory: the run's.
        network: trunk and hidden layers.
        execution: how updates and acting are carried out; None: as they are written.

    Raises:
        UserError: if numbers contradict each other, the network does not fit the observations, memory is short, or some
            actions are illegal.
    """

    def __init__(
        self,
        *,
        optimizer: OptimizerFactory,
        gamma: Annotated[float, Field(ge=0, le=1)],
        batch_size: Annotated[int, Field(gt=0), AtMost("replay_capacity_steps")],
        replay_ratio: Annotated[float, Field(gt=0)],
        replay_capacity_steps: Annotated[int, Field(gt=0), Takes(10)],
        replay_storage: StorageKind,
        replay_folder: Annotated[StorageFolder | None, used_when(replay_storage="disk")],
        learning_starts_steps: Annotated[int, Field(ge=1)],
        rollout_steps: Annotated[int, Field(gt=0), Takes(18, per_slot=True)],
        target_period_steps: Annotated[int, Field(gt=0)] | None,
        n_step: Annotated[int, Field(gt=0)],
        double: Annotated[bool, used_unless(target_period_steps=None)],
        dueling: bool,
        loss: Literal["huber", "squared"],
        huber_delta: Annotated[float, Field(gt=0), used_when(loss="huber")],
        reward_clip: Annotated[float, Field(gt=0)] | None,
        max_grad_norm: Annotated[float, Field(gt=0)] | None,
        epsilon: Schedule,
        evaluation_epsilon: Annotated[float, Field(ge=0, le=1)],
        spec: EnvSpec,
        device: torch.device,
        seed: int,
        directory: Path,
        network: Network,
        execution: Execution | None = None,
    ) -> None:
        require_mask(spec)
        if batch_size > replay_capacity_steps:
            raise UserError(
                f"algo.batch_size={batch_size} is more than algo.replay_capacity_steps={replay_capacity_steps} holds"
            )
        if rollout_steps * spec.num_envs > replay_capacity_steps:
            raise UserError(
                f"algo.rollout_steps={rollout_steps} in {spec.num_envs} environments is more than "
                f"algo.replay_capacity_steps={replay_capacity_steps} holds"
            )
        if learning_starts_steps < n_step * spec.num_envs:
            raise UserError(
                f"algo.learning_starts_steps={learning_starts_steps} is too early: {n_step}-step returns in "
                f"{spec.num_envs} environments need at least {n_step * spec.num_envs} steps"
            )
        self.collection = Steps(rollout_steps)
        self.finished = False
        require_probability(epsilon, "algo.epsilon")
        self._num_actions = spec.num_actions
        self._q = build_q_network(network, spec, torch_generator(seed, "agent/init"), dueling=dueling).to(device)
        self._target = copy.deepcopy(self._q) if target_period_steps is not None else self._q
        self._parameters = list(self._q.parameters())
        self._optimizer = optimizer(self._parameters)
        execution = execution or plainly(device)
        self._replay = UniformReplay(
            capacity_steps=replay_capacity_steps,
            n_step=n_step,
            gamma=gamma,
            spec=spec,
            device=device,
            storage=open_storage(replay_storage, replay_folder, directory, device),
            fixed_shapes=execution.fixed_shapes,
        )
        self._rng = torch_generator(seed, "agent/replay")
        self._batch_size = batch_size
        self._most_together = _updates_together(batch_size, spec, device)
        self._updates_per_step = replay_ratio / batch_size
        self._learning_starts_steps = learning_starts_steps
        self._target_period_steps = target_period_steps
        self._double = double
        self._loss = loss
        self._huber_delta = huber_delta
        self._reward_clip = reward_clip
        self._max_grad_norm = max_grad_norm
        self._epsilon = epsilon
        self._evaluation_epsilon = evaluation_epsilon
        self._steps = 0  # agent steps seen by `learn`
        self._updates_owed = 0.0
        if execution.records:
            _require_recordable(self._optimizer, replay_storage)
        self._q_of = execution.in_precision(self._q.forward)
        self._target_of = execution.in_precision(self._target.forward)
        self._backward = execution.backward_through(self._loss_of, self._q)
        self._learn_from = execution.recorded(self._update_from, self._read, partial(moved_by, self._optimizer))
        self._values_to_act_on = execution.recorded_pass(self.q_values, partial(list, self._parameters))

    def initial_carry(self, num_envs: int) -> Carry:
        """No memory."""
        del num_envs
        return ()

    def act(self, obs: Obs, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """Epsilon-greedy: a random action with probability epsilon, otherwise argmax_a Q(obs, a)."""
        epsilon = self._epsilon(self._steps) if explore else self._evaluation_epsilon
        mask = action_mask(obs)
        if epsilon >= 1.0 and mask is None:  # before learning starts; spares the forward pass
            return ActorOutput(
                torch.randint(self._num_actions, obs.shape[:1], generator=rng, device=obs.device), carry, {}
            )
        return ActorOutput(epsilon_greedy(self._values_to_act_on(seen(obs)), epsilon, rng, mask), carry, {})

    def learn(self, rollout: Rollout) -> Metrics:
        """Stores the rollout, then makes as many updates as the replay ratio owes."""
        self._replay.extend(self._clipped(rollout))
        before, self._steps = self._steps, self._steps + rollout.num_steps
        metrics: dict[str, Tensor | float] = {"policy/epsilon": self._epsilon(self._steps)}
        metrics |= at_step(self._optimizer, self._steps)
        if self._steps < self._learning_starts_steps:
            return metrics
        self._updates_owed += rollout.num_steps * self._updates_per_step
        updates = int(self._updates_owed)
        self._updates_owed -= updates
        while updates:
            together = 1 if self._target is self._q else min(updates, self._most_together)
            metrics |= self._learn_from(*self._replay.draw(together * self._batch_size, self._rng))
            updates -= together
        period = self._target_period_steps
        if period is not None and before // period < self._steps // period:
            self._target.load_state_dict(self._q.state_dict())
        return metrics

    @torch.no_grad()
    def q_values(self, obs: Obs) -> Tensor:
        """Q(s, a) of the online network: obs [N, ...] to [N, A]."""
        q: Tensor = self._q_of(seen(obs))
        return q

    def _update_from(self, time: Tensor, slot: Tensor) -> dict[str, Tensor]:
        """An update for every batch of these steps, times [N] and slots [N]; what the last one of them says.

        What follows is valued for all of them at once: the target network stays as it is.
        """
        drawn = self._replay.gather(time, slot)
        valued = torch.split(self._valued(drawn), self._batch_size)
        said = [self._descend(*each) for each in zip(drawn.split(self._batch_size), valued, strict=True)]
        return _means(*said[-1])

    def _read(self) -> list[Tensor]:
        """All that `_update_from` reads and does not change."""
        return [*(self._target.parameters() if self._target is not self._q else ()), *self._replay.tensors()]

    @torch.no_grad()
    def _valued(self, batch: Batch) -> Tensor:
        """What is known of the targets without the online network: all [N], or with `double` Q(s', a) [N, A]."""
        next_q: Tensor = self._target_of(seen(batch.next_obs))
        if self._double:
            return next_q
        return q_td_target(batch.reward, batch.discount, next_q, None, action_mask(batch.next_obs))

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """One step of gradient descent on the temporal-difference error of N transitions."""
        return _means(*self._descend(batch, self._valued(batch)))

    def _descend(self, batch: Batch, valued: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """An update; its loss, Q(s, a) [N] and the targets [N], none with a gradient."""
        said: tuple[Tensor, Tensor, Tensor] = self._backward(batch, valued)
        gradients = gradients_of(self._parameters, self._optimizer)
        if self._max_grad_norm is not None:
            scale_down(gradients, gradient_norm(gradients), self._max_grad_norm)
        self._optimizer.step()
        return said

    def _loss_of(self, batch: Batch, valued: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """The temporal-difference loss, with gradient; and without: the loss, Q(s, a) [N] and its targets [N]."""
        target = valued
        if self._double:
            selector, mask = self.q_values(batch.next_obs), action_mask(batch.next_obs)
            target = q_td_target(batch.reward, batch.discount, valued, selector, mask)
        q = self._q_of(seen(batch.obs)).gather(1, batch.action[:, None]).squeeze(1)
        loss = huber(q, target, self._huber_delta) if self._loss == "huber" else squared_error(q, target)
        return loss, (loss.detach(), q.detach(), target)

    def _clipped(self, rollout: Rollout) -> Rollout:
        if self._reward_clip is None:
            return rollout
        clipped = rollout.reward.clamp(-self._reward_clip, self._reward_clip)
        return dataclasses.replace(rollout, reward=clipped)

    def state_dict(self) -> State:
        """Networks, optimizer, replay, its stream and the counters."""
        return {
            "q": self._q.state_dict(),
            "target": self._target.state_dict() if self._target is not self._q else {},
            "optimizer": self._optimizer.state_dict(),
            "replay": self._replay.state_dict(),
            "rng": self._rng.get_state(),
            "steps": self._steps,
            "updates_owed": self._updates_owed,
        }

    def load_state_dict(self, state: State) -> None:
        """Continues exactly."""
        self._q.load_state_dict(state["q"])
        if self._target is not self._q:
            self._target.load_state_dict(state["target"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._replay.load_state_dict(state["replay"])
        self._rng.set_state(state["rng"])
        self._steps = state["steps"]
        self._updates_owed = state["updates_owed"]


def _means(loss: Tensor, q: Tensor, target: Tensor) -> dict[str, Tensor]:
    return {"loss/td": loss, "value/q_mean": q.mean(), "value/target_mean": target.mean()}


def _require_recordable(optimizer: torch.optim.Optimizer, storage: StorageKind) -> None:
    if storage == "disk":
        raise UserError(
            "device.compile records updates, which a replay on disk cannot be in: algo.replay_storage=memory"
        )
    moved_by(optimizer)  # refuses what it cannot begin


def _updates_together(batch_size: int, spec: EnvSpec, device: torch.device) -> int:
    """How many batches are drawn at once at most."""
    if device.type == "cuda":
        return _TOGETHER_ON_GPU
    return max(1, min(_TOGETHER_ROWS, _TOGETHER_BYTES // (2 * spec.obs_bytes)) // batch_size)
