import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlrun.agents.random import Random
from rlrun.errors import UserError
from rlrun.evaluate import Evaluation, Evaluator
from rlrun.testing.scripted_env import ScriptedEnv
from rlrun.types import EnvSpec

CPU = torch.device("cpu")


def test_every_slot_plays_its_share_of_the_episodes() -> None:
    env = ScriptedEnv(2)
    evaluation = Evaluator(env, episodes=5, seed=0, device=CPU).evaluate(Random(rollout_steps=1, spec=env.spec), 0)
    # Slot 0 plays three (2, 3, 4 steps), slot 1 two (3, 4): not the first five to finish.
    assert sorted(evaluation.lengths.tolist()) == [2, 3, 3, 4, 4]


def test_evaluations_do_not_depend_on_what_was_evaluated_before() -> None:
    env = ScriptedEnv(2)
    agent = Random(rollout_steps=1, spec=env.spec)
    evaluator = Evaluator(env, episodes=6, seed=0, device=CPU)
    first = evaluator.evaluate(agent, 1).returns
    evaluator.evaluate(agent, 0)
    np.testing.assert_array_equal(first, evaluator.evaluate(agent, 1).returns)
    assert not np.array_equal(first, evaluator.evaluate(agent, 2).returns)


def test_mean_and_standard_error_by_hand() -> None:
    evaluation = Evaluation(np.array([1.0, 2.0, 6.0]), np.array([1, 1, 1]))
    assert evaluation.mean == 3.0
    assert evaluation.standard_error == pytest.approx((7.0 / 3) ** 0.5)


def test_endless_episodes_are_refused() -> None:
    env = ScriptedEnv(1)
    env.spec = EnvSpec("endless", spaces.Discrete(2), spaces.Discrete(2), 1, episodic=False)
    with pytest.raises(UserError, match="may never end"):
        Evaluator(env, episodes=1, seed=0, device=CPU)
