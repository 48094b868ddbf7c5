"""Contracts to test your own environments, agents and replays against: inherit, define how to make one, run pytest."""

from rlrun.testing.agent import AgentContract
from rlrun.testing.replay import ReplayContract
from rlrun.testing.vec_env import VecEnvContract

__all__ = ["AgentContract", "ReplayContract", "VecEnvContract"]
