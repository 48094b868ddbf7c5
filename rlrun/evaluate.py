"""Evaluation: its own environments and its own random streams, so evaluating never changes training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from rlrun.episode_meter import EpisodeMeter
from rlrun.errors import UserError
from rlrun.protocols import Agent, VecEnv
from rlrun.rng import named_seed, torch_generator
from rlrun.tree import tree_where
from rlrun.types import Float64Array, Int64Array, as_tensor


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The episodes of one evaluation."""

    returns: Float64Array  # [N] raw, undiscounted
    lengths: Int64Array  # [N] agent steps

    @property
    def mean(self) -> float:
        """The mean raw return."""
        return float(self.returns.mean())

    @property
    def standard_error(self) -> float:
        """The standard error of the mean over episodes; NaN for one episode."""
        count = len(self.returns)
        return float(self.returns.std(ddof=1) / np.sqrt(count)) if count > 1 else float("nan")


class EvaluationStopped(Exception):  # noqa: N818 - nothing went wrong
    """The run was asked to stop in the middle of an evaluation, which must be made again."""


class Evaluator:
    """Plays whole episodes as the agent wants to be evaluated (`explore=False`).

    The number of episodes of every slot is fixed beforehand: the first N to finish would favour short ones.

    Args:
        env: environments of its own.
        episodes: how many to play.
        seed: the run's seed; evaluation k has streams of its own, whatever happened before.
        device: where the agent lives.

    Raises:
        UserError: if episodes of `env` may never end.
    """

    def __init__(self, env: VecEnv, episodes: int, seed: int, device: torch.device) -> None:
        if not env.spec.episodic:
            raise UserError(f"episodes of {env.spec.name} may never end: set env.max_episode_steps to evaluate it")
        self.env = env
        self._seed = seed
        self._device = device
        share, rest = divmod(episodes, env.spec.num_envs)
        self._quota = share + (np.arange(env.spec.num_envs) < rest)  # [B]

    def evaluate(self, agent: Agent, index: int, stopping: Callable[[], bool] = lambda: False) -> Evaluation:
        """Evaluation number `index` of this run.

        Raises:
            EvaluationStopped: if `stopping()` became true before it was complete.
        """
        num_envs = self.env.spec.num_envs
        rng = torch_generator(self._seed, f"evaluation/{index}/act", self._device)
        obs = self.env.reset(named_seed(self._seed, f"evaluation/{index}/env"))
        initial_carry = carry = agent.initial_carry(num_envs)
        left = self._quota.copy()
        meter = EpisodeMeter(self.env.spec.name, num_envs)
        meter.begun(obs, np.ones(num_envs, bool))
        while (left > 0).any():
            if stopping():
                raise EvaluationStopped
            with torch.no_grad():
                output = agent.act(as_tensor(obs, self._device), carry, rng, explore=False)
            time_step = self.env.step(output.action.cpu().numpy())
            obs, carry = time_step.obs, output.carry
            meter.record(time_step, left > 0)
            if time_step.last.any():
                left = left - time_step.last
                if carry != ():
                    carry = tree_where(as_tensor(time_step.last, self._device), initial_carry, carry)
        episodes = meter.pop()
        return Evaluation(episodes.returns, episodes.lengths)
