"""How actor-critic estimates advantages, and from what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from rlrun.agents.whole_episodes import whole_episodes
from rlrun.annotations import Takes, used_unless, used_when
from rlrun.errors import ArgumentError
from rlrun.numerics.returns import discounted_returns, gae, n_step_returns, td_errors
from rlrun.types import EnvSpec, Steps, WholeEpisodes

Estimator = Literal["monte_carlo", "td", "n_step", "gae"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvantageSettings:
    """An estimator of advantages, and the experience of one update.

    Args:
        estimator: see `rlrun.agents.actor_critic`.
        rollout_steps: steps of every slot per update (`td`, `n_step`, `gae`).
        episodes_per_batch: whole episodes per update (`monte_carlo`), the same number from every slot.
        gae_lambda: of `gae`; 0: one-step errors, 1: returns.
        normalize: makes the advantages of a batch mean 0 and standard deviation 1.
    """

    estimator: Estimator
    rollout_steps: Annotated[int, Field(gt=0), Takes(18, per_slot=True), used_unless(estimator="monte_carlo")]
    episodes_per_batch: Annotated[int, Field(gt=0), Takes(18), used_when(estimator="monte_carlo")]
    gae_lambda: Annotated[float, Field(ge=0, le=1), used_when(estimator="gae")]
    normalize: bool

    def collection(self, spec: EnvSpec) -> Steps | WholeEpisodes:
        """What they are estimated from in an environment.

        Raises:
            ArgumentError: if `monte_carlo` meets episodes that may never end, or that do not divide evenly among the
                slots; or if `normalize` would make a batch 0.
        """
        if self.estimator != "monte_carlo":
            if self.normalize and self.rollout_steps * spec.num_envs < 2:
                raise ArgumentError(
                    "normalize",
                    "=true needs more than one step per batch, since its advantage less the batch's mean would always "
                    "be 0: set rollout_steps or the number of environments to at least 2, or normalize=false",
                )
            return Steps(self.rollout_steps)
        if not spec.episodic:
            raise ArgumentError(
                "estimator",
                f"=monte_carlo needs whole episodes, but those of {spec.name} may never end: use td, n_step or gae",
            )
        if self.normalize and self.episodes_per_batch < 2:
            raise ArgumentError(
                "normalize",
                "=true needs episodes_per_batch of at least 2: the advantage of a single episode's only step, less "
                "their mean, would always be 0",
            )
        return whole_episodes(self.episodes_per_batch, spec)

    def estimate(
        self, reward: Tensor, discount: Tensor, last: Tensor, value: Tensor, next_value: Tensor, gamma: float
    ) -> tuple[Tensor, Tensor]:
        """Advantages and targets of the value. All [T, B]; `next_value` is V of each step's true successor."""
        if self.estimator == "monte_carlo":
            returns = discounted_returns(reward, discount, last, next_value, gamma)  # a time limit bootstraps
            return returns - value, returns
        if self.estimator == "td":
            advantage = td_errors(reward, discount, value, next_value, gamma)
        elif self.estimator == "n_step":
            advantage = n_step_returns(reward, discount, last, next_value, gamma, self.rollout_steps) - value
        else:
            advantage = gae(reward, discount, last, value, next_value, gamma, self.gae_lambda)
        return advantage, advantage + value
