"""The gradients that the real REINFORCE agent computes on a small mountain trail, with its policy held fixed.

The agent, its network, the environment and the collector are those of a run. Its optimizer alone is replaced by one
that moves nothing and keeps the parameters at hand, so that what `learn` has computed can be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from rlrun.agents.baselines import BaselineSettings
from rlrun.agents.reinforce import Estimator, Reinforce
from rlrun.envs.mdp_file import parse_mdp
from rlrun.envs.tabular import TabularEnv
from rlrun.loop.collect import Collector
from rlrun.nn.optimizers import Adam
from rlrun.nn.trunks import MLP
from rlrun.types import Rollout

BaselineName = Literal["none", "moving_average", "batch_mean", "value"]
ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)
BASELINES: tuple[BaselineName, ...] = get_args(BaselineName)

# Being bold pays in the valley and on the pass and is dearly paid for on the ridge, so that the three components of the
# gradient are of one size, have both signs, and belong to times at which γᵗ differs.
TRAIL = parse_mdp(
    """
states: [valley, ridge, pass, home]
actions: [careful, bold]
start: {valley: 3/4, ridge: 1/4}
transitions: # state, action, next state, probability, reward
  - [valley, careful, ridge, 3/4, 1]
  - [valley, careful, valley, 1/4, -1]
  - [valley, bold, ridge, 1, 4]
  - [ridge, careful, pass, 2/3, 2]
  - [ridge, careful, ridge, 1/3, 0]
  - [ridge, bold, pass, 1/2, 3]
  - [ridge, bold, valley, 1/2, -8]
  - [pass, careful, home, 1, 2]
  - [pass, bold, home, 3/4, 9]
  - [pass, bold, ridge, 1/4, 1]
""",
    "trail",
).model
HORIZON = 5  # agent steps; episodes have 2 to 5
BOLD = torch.tensor([0.6, 0.3, 0.5, 0.5], dtype=torch.float64)  # probability of it in each state
LOGITS = torch.stack([torch.zeros_like(BOLD), torch.logit(BOLD)], dim=1)  # [S, A]
EPISODES_PER_SLOT = 2  # the slots that play theirs sooner wait, and what they do meanwhile must not count


def trail_env(num_envs: int) -> TabularEnv:
    return TabularEnv(
        model=TRAIL,
        name="trail",
        looks=None,
        observation="index",
        max_episode_steps=HORIZON,
        num_envs=num_envs,
    )


@dataclass(frozen=True, slots=True, eq=False)
class FrozenReinforce:
    """A REINFORCE agent whose policy stays as it is, and the parameters in which `learn` leaves its gradient."""

    agent: Reinforce
    parameters: list[nn.Parameter]  # weight [A, S], bias [A] of the policy

    def gradient(self, rollout: Rollout) -> Tensor:
        """What `learn` would climb on this batch, [A * S + A] float64; a learned baseline does learn."""
        self.agent.learn(rollout)
        gradients = [parameter.grad for parameter in self.parameters]
        return -torch.cat([gradient.flatten() for gradient in gradients if gradient is not None]).double()

    def gradients(self, rollouts: Sequence[Rollout]) -> Tensor:
        """[len(rollouts), A * S + A]."""
        return torch.stack([self.gradient(rollout) for rollout in rollouts])


def frozen_reinforce(
    estimator: Estimator,
    baseline: BaselineName,
    gamma: float,
    episodes_per_batch: int,
) -> FrozenReinforce:
    """A linear policy with the table `LOGITS`; the learned value is linear as well, so a table too."""
    kept: list[nn.Parameter] = []
    num_envs = max(1, episodes_per_batch // EPISODES_PER_SLOT)

    def frozen(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        kept.extend(parameters)
        return torch.optim.SGD(kept, lr=0.0)

    agent = Reinforce(
        optimizer=frozen,
        episodes_per_batch=episodes_per_batch,
        estimator=estimator,
        gamma=gamma,
        baseline=BaselineSettings(kind=baseline, decay=0.9, optimizer=Adam(learning_rate=0.05, eps=1e-8), updates=1),
        normalize=False,
        entropy_bonus=0.0,
        max_grad_norm=None,
        reward_clip=None,
        evaluation_policy="greedy",
        spec=trail_env(num_envs).spec,
        device=torch.device("cpu"),
        seed=0,
        network=MLP(hidden=[], activation="tanh"),
    )
    weight, bias = kept
    with torch.no_grad():
        weight.copy_(LOGITS.T)
        bias.zero_()
    return FrozenReinforce(agent, kept)


def as_parameters(gradient: Tensor) -> Tensor:
    """From logits [..., S, A] to the linear layer that makes them, [..., A * S + A]: logits[s, a] = W[a, s] + b[a]."""
    return torch.cat([gradient.transpose(-1, -2).flatten(-2), gradient.sum(dim=-2)], dim=-1)


def sample_rollouts(seed: int, episodes_per_batch: int) -> Iterator[Rollout]:
    """Batches of the trail's episodes without end, from the real collector."""
    env = trail_env(episodes_per_batch // EPISODES_PER_SLOT)
    actor = frozen_reinforce("whole_return", "none", 1.0, episodes_per_batch).agent
    collector = Collector(env, actor.collection, torch.device("cpu"), seed)
    while True:
        yield collector.collect(actor)
