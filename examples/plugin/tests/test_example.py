"""The contracts, inherited, and a number worked by hand."""

import numpy as np
import pytest
import torch
from rlrun_example.agent import ExpectedSarsa
from rlrun_example.corridor import Corridor

from rlrun import Agent, EnvSpec, Episodes, Rollout, VecEnv
from rlrun.testing import AgentContract, VecEnvContract


def corridor(num_envs: int, max_episode_steps: int = 30) -> Corridor:
    return Corridor(num_envs=num_envs, length=6, wind=0.2, max_episode_steps=max_episode_steps)


def expected_sarsa(spec: EnvSpec) -> ExpectedSarsa:
    return ExpectedSarsa(gamma=0.5, alpha=0.5, epsilon=0.2, rollout_steps=8, spec=spec)


class TestCorridor(VecEnvContract):
    def make(self, num_envs: int) -> VecEnv:
        return corridor(num_envs)

    def make_limited(self, num_envs: int, max_episode_steps: int) -> VecEnv:
        return corridor(num_envs, max_episode_steps)


class TestExpectedSarsa(AgentContract):
    iterations = 20

    def make_env(self) -> VecEnv:
        return corridor(2)

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        del seed  # nothing in it is random but its actions
        return expected_sarsa(spec)


@pytest.mark.parametrize(("discount", "expected"), [(1.0, 1.0 + 0.5 * 0.5 * 3.8), (0.0, 1.0)])
def test_one_update_by_hand(discount: float, expected: float) -> None:
    agent = expected_sarsa(corridor(1).spec)
    agent.load_state_dict({"q": torch.tensor([[0.0, 0.0], [2.0, 4.0]] + [[0.0, 0.0]] * 4)})
    rollout = Rollout(
        obs_sequence=torch.tensor([[0], [1]]),
        final_obs=torch.zeros(0, dtype=torch.int64),
        action=torch.tensor([[1]]),
        reward=torch.tensor([[2.0]]),
        discount=torch.tensor([[discount]]),
        last=torch.tensor([[False]]),
        mask=torch.tensor([[True]]),
        extras={},
        episodes=Episodes.none(),
        num_steps=1,
    )
    agent.learn(rollout)
    # epsilon 1/5 of the mean 3 and 4/5 of the best 4 make 3.8; alpha and gamma are 1/2, and Q(0, 1) was 0.
    assert agent.state_dict()["q"][0, 1].item() == pytest.approx(expected)
    assert np.count_nonzero(agent.state_dict()["q"][0]) == 1
