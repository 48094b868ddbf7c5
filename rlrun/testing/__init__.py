"""Contracts that anyone's environments, agents and replays can be tested against: inherit, say how to make one, run."""

from rlrun.testing.agent import AgentContract
from rlrun.testing.replay import ReplayContract
from rlrun.testing.vec_env import VecEnvContract

__all__ = ["AgentContract", "ReplayContract", "VecEnvContract"]
