"""How an agent acts in evaluation: for scores, videos and watching alike."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch

from rlrun.loop.slots import Act
from rlrun.numerics.distributions import or_random
from rlrun.protocols import Agent, Stochastic
from rlrun.types import ActorOutput, Carry, Obs, action_mask


class EvaluationActions(NamedTuple):
    """How actions are chosen."""

    act: Act
    greedy: Act | None  # greedy play; None if `act` is greedy, or the agent knows no greedy action
    name: str  # sampled, greedy, or epsilon and its value


def evaluation_actions(agent: Agent, epsilon: float, num_actions: int) -> EvaluationActions:
    """How `agent` acts in evaluation.

    Args:
        agent: acts with `explore=False`.
        epsilon: probability of a random action instead of the agent's; ignored by agents that sample their actions.
        num_actions: of the environment.
    """
    act: Act = partial(agent.act, explore=False)
    if isinstance(agent, Stochastic) and agent.evaluation_policy == "sampled":
        return EvaluationActions(act, partial(_act_greedily, agent), "sampled")
    if epsilon > 0.0:
        return EvaluationActions(partial(_or_at_random, act, epsilon, num_actions), act, f"epsilon {epsilon:g}")
    return EvaluationActions(act, None, "greedy")


def _act_greedily(agent: Stochastic, obs: Obs, carry: Carry, rng: torch.Generator) -> ActorOutput:
    """The most likely actions [B]; draws no random numbers."""
    del rng
    policy, carry = agent.policy(obs, carry)
    return ActorOutput(policy.mode(), carry, {})


def _or_at_random(
    act: Act, epsilon: float, num_actions: int, obs: Obs, carry: Carry, rng: torch.Generator
) -> ActorOutput:
    """What `act` does, or a random allowed action with probability epsilon in each slot."""
    output = act(obs, carry, rng)
    return output._replace(action=or_random(output.action, epsilon, rng, num_actions, action_mask(obs)))
