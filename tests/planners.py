"""Planners by name, and running them until they stop."""

from __future__ import annotations

from typing import Any

import torch

from rlrun.agents.planning.convergence import NoLimitError
from rlrun.agents.planning.policy_evaluation import PolicyEvaluation
from rlrun.agents.planning.policy_iteration import PolicyIteration
from rlrun.agents.planning.value_iteration import ValueIteration
from rlrun.loop.collect import empty_rollout
from rlrun.protocols import Agent
from rlrun.types import EnvSpec

CPU = torch.device("cpu")
NOTHING = empty_rollout(CPU)


def planner(algo: str, spec: EnvSpec, gamma: float = 1.0, tolerance: float = 1e-8) -> Any:
    """By the name of its file in conf/algo; `modified_policy_iteration` improves after three sweeps."""
    numbers: dict[str, Any] = {"gamma": gamma, "tolerance": tolerance, "spec": spec, "device": CPU}
    if algo in ("value_iteration", "q_iteration"):
        return ValueIteration(iterates="v" if algo == "value_iteration" else "q", **numbers)
    if algo == "policy_evaluation":
        return PolicyEvaluation(policy="uniform", **numbers)
    sweeps = 3 if algo == "modified_policy_iteration" else None
    return PolicyIteration(initial_policy="uniform", evaluation_sweeps=sweeps, **numbers)


def solve(agent: Agent, limit: int = 200_000) -> int:
    """Sweeps until it is finished; returns how many sweeps that took."""
    for sweep in range(1, limit):
        agent.learn(NOTHING)
        if agent.finished:
            return sweep
    raise AssertionError(f"neither converged nor refused after {limit} sweeps")


def refusal_of(agent: Agent, limit: int = 200_000) -> NoLimitError | None:
    """Why it gave up; None: it finished."""
    try:
        solve(agent, limit)
    except NoLimitError as error:
        return error
    return None
