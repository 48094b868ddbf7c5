"""Evaluation, with its own environments and random streams, so that it never affects training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from rlrun.compute.transfer import upload_to
from rlrun.errors import UserError
from rlrun.loop.evaluation_actions import evaluation_actions
from rlrun.loop.meter import DiscountedReturns
from rlrun.loop.slots import Act, Slots
from rlrun.protocols import Agent, Discounting, VecEnv
from rlrun.rng import named_seed, torch_generator
from rlrun.types import Carry, EnvSpec, Episodes, Float64Array, Int64Array


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """When and how long to evaluate (`evaluation` in the config).

    Args:
        every_steps: agent steps between evaluations; None: only at the end.
        episodes: whole episodes in each evaluation.
        num_envs: environments in parallel.
        epsilon: probability of a random action instead of the agent's; ignored by agents that sample their actions.
        max_episode_frames: emulator frames after which an evaluation episode is truncated; None: as in training.
        greedy_episodes: further episodes with greedy actions, where evaluation is not greedy anyway; 0: none.
        greedy_limit_steps: agent steps after which a greedy episode is cut off, its return counted so far.
    """

    every_steps: Annotated[int, Field(gt=0)] | None
    episodes: Annotated[int, Field(gt=0)]
    num_envs: Annotated[int, Field(gt=0)]
    epsilon: Annotated[float, Field(ge=0, le=1)]
    max_episode_frames: Annotated[int, Field(gt=0)] | None  # and subject to the environment's own check
    greedy_episodes: Annotated[int, Field(ge=0)]
    greedy_limit_steps: Annotated[int, Field(gt=0)]

    @property
    def environment(self) -> dict[str, int]:
        """Arguments of its environments that differ from training."""
        limit = {} if self.max_episode_frames is None else {"max_episode_frames": self.max_episode_frames}
        return {"num_envs": self.num_envs, **limit}


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The episodes of one evaluation."""

    returns: Float64Array  # [N] raw, undiscounted
    lengths: Int64Array  # [N] agent steps
    greedy_returns: Float64Array | None = None  # [M] with greedy actions, if the others were not
    discounted_returns: Float64Array | None = None  # [N] with the agent's gamma, if it has one; raw rewards

    @property
    def mean(self) -> float:
        """The mean raw return."""
        return float(self.returns.mean())

    @property
    def standard_error(self) -> float:
        """The standard error of the mean over episodes; NaN for one episode."""
        count = len(self.returns)
        return float(self.returns.std(ddof=1) / np.sqrt(count)) if count > 1 else float("nan")

    def means(self) -> dict[str, float]:
        """`eval/episode_return`, and `eval/greedy_return` and `eval/discounted_return` where there are such."""
        more = {"eval/greedy_return": self.greedy_returns, "eval/discounted_return": self.discounted_returns}
        return {"eval/episode_return": self.mean} | {
            name: float(returns.mean()) for name, returns in more.items() if returns is not None
        }

    def as_text(self) -> str:
        """One line."""
        count = len(self.returns)
        spread = f" ± {self.standard_error:.2f}" if count > 1 else ""
        line = f"evaluation mean {self.mean:.2f}{spread} over {count} episodes"
        if self.greedy_returns is None:
            return line
        return f"{line}; greedy {self.greedy_returns.mean():.2f} over {len(self.greedy_returns)}"

    def as_json(self) -> dict[str, float | int | list[float]]:
        """Its part of `result.json`."""
        greedy = {} if self.greedy_returns is None else {"eval/greedy_returns": self.greedy_returns.tolist()}
        return {
            **self.means(),
            "eval/standard_error": self.standard_error if len(self.returns) > 1 else 0.0,
            "eval/episodes": len(self.returns),
            "eval/returns": self.returns.tolist(),
            **greedy,
        }


def rules_of(settings: EvaluationSettings, actions: str, spec: EnvSpec) -> dict[str, float | str | None]:
    """What a score depends on: how many episodes, how actions are chosen, and the rules of the environment.

    Args:
        settings: of the evaluation.
        actions: the name of the agent's `EvaluationActions`.
        spec: of the evaluation's environment.
    """
    return {"env": spec.name, "episodes": settings.episodes, "actions": actions, **spec.rules}


def rules_as_text(rules: Mapping[str, float | str | None]) -> str:
    """What `rules_of` returned, in one line."""
    first = f"{rules['episodes']} episodes on {rules['env']}, actions {rules['actions']}"
    rest = [f"{name} {value}" for name, value in rules.items() if name not in ("env", "episodes", "actions")]
    return ", ".join([first, *rest])


class EvaluationStopped(Exception):  # noqa: N818 - nothing went wrong
    """The run was asked to stop during an evaluation, which must be repeated."""


class Evaluator:
    """Plays whole episodes with the agent's evaluation policy (`explore=False`).

    The number of episodes of every slot is fixed beforehand: the first N to finish would favour short ones. Where that
    policy is not greedy, further episodes with greedy actions are reported in a column of their own.

    Args:
        env: environments used for nothing else.
        episodes: how many to play.
        greedy_episodes: how many more to play greedily, if the others are not; 0: none.
        greedy_limit_steps: agent steps after which a greedy episode is cut off, its return counted so far.
        seed: the run's seed; evaluation k has its own streams, whatever happened before.
        device: where the agent lives.
        epsilon: probability of a random action instead of the agent's; ignored by agents that sample their actions.
        first_slot: the global number of slot 0 (over all processes); `episodes` counts this process's episodes only.

    Raises:
        UserError: if episodes of `env` may never end.
    """

    def __init__(
        self,
        env: VecEnv,
        episodes: int,
        seed: int,
        device: torch.device,
        greedy_episodes: int = 0,
        greedy_limit_steps: float = math.inf,
        epsilon: float = 0.0,
        first_slot: int = 0,
    ) -> None:
        if not env.spec.episodic:
            raise UserError(f"episodes of {env.spec.name} may never end: set env.max_episode_steps to evaluate it")
        self.env = env
        self._seed = seed
        self._device = device
        self._upload = upload_to(device, env.spec)
        self._episodes = episodes
        self._greedy_episodes = greedy_episodes
        self._greedy_limit_steps = greedy_limit_steps
        self._epsilon = epsilon
        self._first_slot = first_slot

    def evaluate(self, agent: Agent, index: int | str, stopping: Callable[[], bool] = lambda: False) -> Evaluation:
        """Makes the evaluation `index` of this run: its number in training, or a name; each has its own streams.

        Raises:
            EvaluationStopped: if `stopping()` became true before it was complete.
        """
        play = partial(self._play, partial(agent.initial_carry, self.env.spec.num_envs), stopping=stopping)
        act, act_greedily, _ = evaluation_actions(agent, self._epsilon, self.env.spec.num_actions)
        discounted = None
        if isinstance(agent, Discounting) and self.env.spec.num_players == 1:
            discounted = DiscountedReturns(agent.gamma, self.env.spec.num_envs)
        episodes = play(act, f"evaluation/{index}", self._episodes, discounted=discounted)
        greedy = None
        if act_greedily is not None and self._greedy_episodes:
            name, limit = f"evaluation/{index}/greedy", self._greedy_limit_steps
            greedy = play(act_greedily, name, self._greedy_episodes, limit_steps=limit).returns
        return Evaluation(episodes.returns, episodes.lengths, greedy, None if discounted is None else discounted.all())

    def _play(
        self,
        initial_carry: Callable[[], Carry],
        act: Act,
        name: str,
        count: int,
        *,
        stopping: Callable[[], bool],
        limit_steps: float = math.inf,
        discounted: DiscountedReturns | None = None,
    ) -> Episodes:
        """`count` episodes of the streams called `name`; those longer than the limit are cut off there."""
        num_envs = self.env.spec.num_envs
        rng = torch_generator(self._seed, f"{name}/act", self._device)
        slots = Slots(self.env, self._upload, limit_steps)
        slots.reset(named_seed(self._seed, f"{name}/env"), self._first_slot, initial_carry())
        share, rest = divmod(count, num_envs)
        left = share + (np.arange(num_envs) < rest)  # [B]
        while (left > 0).any():
            if stopping():
                raise EvaluationStopped
            counts = left > 0
            result = slots.step(act, rng, initial_carry(), counts).result
            if discounted is not None:
                discounted.record(result, counts)
            left = left - result.last
        return slots.meter.pop()
