import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlrun.agents.random import Random
from rlrun.errors import UserError
from rlrun.loop.evaluate import Evaluation, EvaluationStopped, Evaluator
from rlrun.numerics.distributions import Categorical
from rlrun.protocols import EvaluationPolicy
from rlrun.testing.scripted_env import ScriptedEnv
from rlrun.types import ActorOutput, Carry, EnvSpec, Int64Array, TimeStep

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
    with pytest.raises(UserError, match=r"endless .*env\.max_episode_steps"):
        Evaluator(env, episodes=1, seed=0, device=CPU)


class Drawing(Random):
    """Draws, and has a likeliest action: 1."""

    evaluation_policy: EvaluationPolicy = "sampled"

    def policy(self, obs: torch.Tensor, carry: Carry) -> tuple[Categorical, Carry]:
        return Categorical(torch.tensor([0.0, 1.0]).expand(len(obs), 2)), carry


class PaidByAction(ScriptedEnv):
    """The reward is the action."""

    def step(self, action: Int64Array) -> TimeStep:
        return super().step(action)._replace(reward=action.astype(np.float32))


def evaluated(greedy_episodes: int, limit_steps: float = 100, policy: EvaluationPolicy = "sampled") -> Evaluation:
    env = PaidByAction(2)
    agent = Drawing(rollout_steps=1, spec=env.spec)
    agent.evaluation_policy = policy
    return Evaluator(env, 5, 0, CPU, greedy_episodes, limit_steps).evaluate(agent, 3)


def test_an_agent_that_draws_is_shown_greedily_beside_and_is_drawn_the_same() -> None:
    alone, both = evaluated(0), evaluated(3)
    assert alone.greedy_returns is None
    assert alone.means() == {"eval/episode_return": alone.mean}
    np.testing.assert_array_equal(alone.returns, both.returns)
    assert both.greedy_returns is not None
    # Slot 0 plays 2 and then 3 steps, slot 1 plays 3; every greedy step is paid 1.
    assert sorted(both.greedy_returns.tolist()) == [2.0, 3.0, 3.0]
    assert both.means() == {"eval/episode_return": both.mean, "eval/greedy_return": 8 / 3}
    assert both.as_json()["eval/greedy_returns"] == both.greedy_returns.tolist()
    assert both.mean < both.lengths.mean()


def test_who_is_evaluated_greedily_has_one_number() -> None:
    assert evaluated(3, policy="greedy").greedy_returns is None


def test_a_greedy_episode_that_is_too_long_counts_as_far_as_it_came() -> None:
    # Slot 0 would play 2, 3 and 4 steps, slot 1 3 and 4.
    cut = evaluated(5, limit_steps=3)
    assert cut.greedy_returns is not None
    assert sorted(cut.greedy_returns.tolist()) == [2.0, 3.0, 3.0, 3.0, 3.0]
    whole = evaluated(5)
    np.testing.assert_array_equal(cut.returns, whole.returns)
    assert whole.greedy_returns is not None
    assert sorted(whole.greedy_returns.tolist()) == [2.0, 3.0, 3.0, 4.0, 4.0]


def test_an_evaluation_that_is_stopped_while_it_plays_greedily_is_no_evaluation() -> None:
    env = PaidByAction(2)
    steps = iter(range(100))
    with pytest.raises(EvaluationStopped):
        Evaluator(env, 1, 0, CPU, 1).evaluate(Drawing(rollout_steps=1, spec=env.spec), 0, lambda: next(steps) >= 3)


class AlwaysOne(Random):
    """Takes action 1."""

    gamma = 0.5

    def act(self, obs: torch.Tensor, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        return super().act(obs, carry, rng, explore=explore)._replace(action=torch.ones(len(obs), dtype=torch.int64))


def with_epsilon(epsilon: float, episodes: int, greedy_episodes: int = 0) -> Evaluation:
    env = PaidByAction(2)
    evaluator = Evaluator(env, episodes, 0, CPU, greedy_episodes, epsilon=epsilon)
    return evaluator.evaluate(AlwaysOne(rollout_steps=1, spec=env.spec), 0)


def test_with_epsilon_as_many_actions_as_that_are_random() -> None:
    epsilon = 0.4
    evaluation = with_epsilon(epsilon, episodes=1_000)
    num_steps = evaluation.lengths.sum()
    share = evaluation.returns.sum() / num_steps  # of action 1: half of the random ones, and all others
    assert share == pytest.approx(1 - epsilon / 2, abs=4 * (0.16 / num_steps) ** 0.5)


def test_without_epsilon_there_is_one_number_and_with_it_a_greedy_one_beside() -> None:
    alone, both = with_epsilon(0.0, 3, greedy_episodes=3), with_epsilon(1.0, 3, greedy_episodes=3)
    assert alone.greedy_returns is None
    np.testing.assert_array_equal(alone.returns, alone.lengths)
    assert both.greedy_returns is not None
    assert sorted(both.greedy_returns.tolist()) == [2.0, 3.0, 3.0]
    assert both.returns.sum() < both.lengths.sum()


def test_an_agent_that_draws_ignores_epsilon() -> None:
    env = PaidByAction(2)
    agent = Drawing(rollout_steps=1, spec=env.spec)
    with_it, without = (Evaluator(env, 5, 0, CPU, epsilon=epsilon).evaluate(agent, 0) for epsilon in (0.9, 0.0))
    np.testing.assert_array_equal(with_it.returns, without.returns)


def test_discounted_returns_by_hand() -> None:
    # Slot 0 plays 2 and then 3 steps, slot 1 plays 3, each paid 1: 1 + 1/2, and 1 + 1/2 + 1/4.
    evaluation = with_epsilon(0.0, 3)
    assert evaluation.discounted_returns is not None
    assert sorted(evaluation.discounted_returns.tolist()) == [1.5, 1.75, 1.75]
    assert evaluation.means()["eval/discounted_return"] == pytest.approx(5 / 3)
