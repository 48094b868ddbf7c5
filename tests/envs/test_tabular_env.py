from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from rlrun.envs.tabular import Observation, RandomWalk, TabularEnv, random_walk_model
from rlrun.protocols import VecEnv
from rlrun.testing.vec_env import VecEnvContract
from rlrun.types import Float64Array, Int64Array, TabularModel


def two_rooms() -> TabularModel:
    """Room 0: action 0 stays (1/4, reward 8) or goes to room 1 (3/4, reward -2); action 1 ends in state 2 and pays 5.

    Room 1: action 0 goes to room 0 and pays .5; action 1 is not legal.
    """
    return TabularModel(
        num_states=3,
        num_actions=2,
        state=np.array([1, 0, 0, 0]),  # not in order
        action=np.array([0, 1, 0, 0]),
        next_state=np.array([0, 2, 1, 0]),
        probability=np.array([1.0, 1.0, 0.75, 0.25]),
        reward=np.array([0.5, 5.0, -2.0, 8.0]),
        discount=np.array([1.0, 0.0, 1.0, 1.0]),
        initial=np.array([1.0, 0.0, 0.0]),
        legal=np.array([[True, True], [True, False], [False, False]]),
        state_names=("left", "right", "outside"),
        action_names=("on", "out"),
    )


def played(
    model: TabularModel,
    num_envs: int = 1,
    observation: Observation = "index",
    max_episode_steps: int | None = None,
    looks: Int64Array | None = None,
) -> TabularEnv:
    return TabularEnv(
        model=model,
        name="rooms",
        looks=looks,
        observation=observation,
        max_episode_steps=max_episode_steps,
        num_envs=num_envs,
    )


def walk(num_states: int = 5, num_envs: int = 1, observation: Observation = "index") -> RandomWalk:
    return RandomWalk(
        num_states=num_states,
        left_reward=-1.0,
        right_reward=1.0,
        observation=observation,
        max_episode_steps=30,
        num_envs=num_envs,
    )


def values(model: TabularModel, gamma: float = 1.0) -> Float64Array:
    """V of the policy that has no choice, by the Bellman equations; 0 where the episode is over."""
    matrix = np.eye(model.num_states)
    reward = np.zeros(model.num_states)
    np.add.at(matrix, (model.state, model.next_state), -gamma * model.probability * model.discount)
    np.add.at(reward, model.state, model.probability * model.reward)
    return np.asarray(np.linalg.solve(matrix, reward), np.float64)


class TestWalkOfIndices(VecEnvContract):
    stochastic_start = False

    def make(self, num_envs: int) -> VecEnv:
        return walk(5, num_envs)


class TestWalkOfOneHots(VecEnvContract):
    def make(self, num_envs: int) -> VecEnv:
        # Four states from which to start, so that episodes begin differently.
        model = replace(random_walk_model(4, -1.0, 2.0), initial=np.array([0, 0.1, 0.2, 0.3, 0.4, 0]))
        return played(model, num_envs, "one_hot", max_episode_steps=7)


class TestContinuingRing(VecEnvContract):
    def make(self, num_envs: int) -> VecEnv:
        ring = TabularModel(
            num_states=4,
            num_actions=2,
            state=np.repeat(np.arange(4), 4),
            action=np.tile([0, 0, 1, 1], 4),
            next_state=(np.repeat(np.arange(4), 4) + np.tile([1, 2, 3, 0], 4)) % 4,
            probability=np.tile([0.3, 0.7, 0.9, 0.1], 4),
            reward=np.linspace(-3, 4, 16),
            discount=np.ones(16),
            initial=np.full(4, 0.25),
            legal=np.ones((4, 2), bool),
        )
        return played(ring, num_envs)


def test_outcomes_come_as_often_as_the_model_says_and_with_their_own_rewards() -> None:
    slots = 40_000
    env = played(two_rooms(), slots)
    env.reset(3)
    step = env.step(np.zeros(slots, np.int64))
    shown = step.next_obs["obs"]
    stayed = shown == 0
    np.testing.assert_array_equal(step.reward, np.where(stayed, 8, -2))
    np.testing.assert_array_equal(np.unique(shown), [0, 1])
    assert not step.last.any()
    assert abs(stayed.mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / slots)  # five standard deviations of the mean


def test_draws_of_one_slot_in_time_are_as_independent_as_draws_of_many_slots() -> None:
    env = played(replace(two_rooms(), next_state=np.array([0, 2, 0, 0])))  # going on never leaves the room
    env.reset(0)
    steps = 8_000
    stayed = np.array([env.step(np.zeros(1, np.int64)).reward[0] == 8 for _ in range(steps)])
    assert abs(stayed.mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / steps)
    both = stayed[1:] & stayed[:-1]
    deviation = np.sqrt((1 / 16 * 15 / 16 + 2 * (1 / 64 - 1 / 256)) / steps)  # neighbours share a draw
    assert abs(both.mean() - 1 / 16) < 5 * deviation


def test_first_states_come_as_often_as_the_model_says() -> None:
    slots = 40_000
    model = replace(random_walk_model(3, 0.0, 1.0), initial=np.array([0, 0.7, 0, 0.3, 0]))
    first = played(model, slots).reset(1)
    np.testing.assert_array_equal(np.unique(first), [1, 3])
    assert abs((first == 1).mean() - 0.7) < 5 * np.sqrt(0.7 * 0.3 / slots)


# Ten tenths sum to a little less than 1, and the row after them can never happen; the others sum to a little more.
@pytest.mark.parametrize("probabilities", [[0.1] * 10 + [0.0], [0.2, 0.4, 0.3, 0.1]])
@pytest.mark.parametrize("draw", [0.0, 0.5, 1 - 2.0**-53])
def test_no_draw_lands_in_the_rows_of_another_state_and_action(
    draw: float, probabilities: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_the_edge(stream: Int64Array, time: Int64Array) -> Float64Array:
        return np.full(np.broadcast_shapes(np.shape(stream), np.shape(time)), draw)

    monkeypatch.setattr("rlrun.envs.tabular.hash_uniform", at_the_edge)
    num_states = 3_000
    state = np.repeat(np.arange(num_states), len(probabilities))
    probability = np.tile(probabilities, num_states)
    model = TabularModel(
        num_states=num_states,
        num_actions=1,
        state=state,
        action=np.zeros_like(state),
        next_state=state,
        probability=probability,
        reward=np.where(probability > 0, state, -1.0),
        discount=np.ones(len(state)),
        initial=np.full(num_states, 1 / num_states),
        legal=np.ones((num_states, 1), bool),
    )
    env = played(model, num_states)
    env.reset(0)
    env.load_state_dict({**env.state_dict(), "state": np.arange(num_states)})
    step = env.step(np.zeros(num_states, np.int64))
    np.testing.assert_array_equal(step.next_obs, np.arange(num_states))
    np.testing.assert_array_equal(step.reward, np.arange(num_states))


def test_an_outcome_with_discount_0_ends_the_episode_and_a_time_limit_keeps_its_discount() -> None:
    env = played(two_rooms(), 2, max_episode_steps=3)
    env.reset(0)
    out, on = np.array([1, 0]), np.array([0, 0])
    step = env.step(out)
    assert (step.last[0], step.discount[0], step.reward[0]) == (True, 0.0, 5.0)
    assert (step.next_obs["obs"][0], step.obs["obs"][0]) == (2, 0), "the end is shown, and the next episode has begun"
    assert (step.last[1], step.discount[1]) == (False, 1.0)
    env.step(on)
    step = env.step(on)  # the third step of slot 1, and the second one of slot 0's second episode
    assert step.last.tolist() == [False, True]
    assert step.discount.tolist() == [1.0, 1.0]
    assert step.obs["obs"][1] == 0


def test_an_episode_that_ends_on_the_last_step_of_the_limit_has_ended() -> None:
    env = played(two_rooms(), max_episode_steps=1)
    env.reset(0)
    step = env.step(np.array([1]))
    assert (step.last[0], step.discount[0]) == (True, 0.0)


def test_an_illegal_action_names_state_and_action_and_moves_no_slot() -> None:
    env = played(two_rooms(), 2)
    env.reset(0)
    env.load_state_dict({**env.state_dict(), "state": np.array([0, 1])})
    before = env.state_dict()
    with pytest.raises(ValueError, match=r"action out .*state right .*slot 1.*: on$"):
        env.step(np.array([0, 1]))
    after = env.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("action", [-1, 2])
def test_an_action_that_there_is_not_is_refused(action: int) -> None:
    env = played(two_rooms())
    env.reset(0)
    with pytest.raises(ValueError, match=f"action {action}: .* 0 to 1"):
        env.step(np.array([action]))


def test_states_that_look_alike_show_the_same_number_and_stay_apart_in_the_model() -> None:
    env = played(two_rooms(), looks=np.array([0, 0, 1]))
    assert env.spec.obs_space == spaces.Discrete(2)
    assert env.spec.model is not None
    assert env.spec.model.num_states == 3
    env.reset(0)
    env.load_state_dict({**env.state_dict(), "state": np.array([1])})
    np.testing.assert_array_equal(env.restart(np.zeros(1, bool))["obs"], [0])
    env.step(np.array([0]))
    np.testing.assert_array_equal(env.step(np.array([1])).next_obs["obs"], [1])
    seen = played(two_rooms(), 2, "one_hot", looks=np.array([0, 0, 1]))
    assert seen.spec.obs_shape == (2,)
    np.testing.assert_array_equal(seen.reset(0)["obs"], np.array([[1, 0], [1, 0]], np.float32))


def test_episodes_end_by_a_limit_or_where_no_policy_can_stay() -> None:
    endless = replace(two_rooms(), discount=np.ones(4))
    assert not played(endless).spec.episodic
    assert played(endless, max_episode_steps=9).spec.episodic
    assert not played(two_rooms()).spec.episodic  # a policy that never leaves is possible
    assert played(random_walk_model(num_states=5, left_reward=0.0, right_reward=1.0)).spec.episodic


def test_a_model_whose_rows_do_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"state 0, action 0: .*0\.75"):
        played(replace(two_rooms(), probability=np.array([1, 1, 0.5, 0.25])))
    with pytest.raises(ValueError, match=r"state 1, action 1: .*legal"):
        played(replace(two_rooms(), legal=np.array([[True, True], [True, True], [False, False]])))


def test_the_random_walk_has_two_rows_a_state_and_pays_at_its_ends() -> None:
    model = random_walk_model(3, -2.0, 5.0)
    assert (model.num_states, model.num_actions) == (5, 1)
    rows = zip(model.state, model.next_state, model.probability, model.reward, model.discount, strict=True)
    assert [tuple(map(float, row)) for row in rows] == [
        (1, 0, 0.5, -2, 0),
        (1, 2, 0.5, 0, 1),
        (2, 1, 0.5, 0, 1),
        (2, 3, 0.5, 0, 1),
        (3, 2, 0.5, 0, 1),
        (3, 4, 0.5, 5, 0),
    ]
    assert model.action.tolist() == [0] * 6
    assert model.initial.tolist() == [0, 0, 1, 0, 0]
    assert model.legal[:, 0].tolist() == [False, True, True, True, False]
    assert model.state_names == ("left", "1", "2", "3", "right")
    assert random_walk_model(4, 0.0, 1.0).initial.tolist() == [0, 0, 0.5, 0.5, 0, 0]
    assert random_walk_model(1, -1.0, 1.0).next_state.tolist() == [0, 2]


def test_the_values_of_the_random_walks_are_those_of_the_book() -> None:
    five = values(random_walk_model(5, 0.0, 1.0))  # Sutton and Barto (2018), example 6.2
    np.testing.assert_allclose(five, [0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 0], atol=1e-12)
    nineteen = values(random_walk_model(19, -1.0, 1.0))  # example 7.1
    np.testing.assert_allclose(nineteen[1:-1], (np.arange(1, 20) - 10) / 10, atol=1e-12)


def test_the_sampled_walk_ends_at_either_end_with_its_reward() -> None:
    env = walk(1, 10_000)  # one state: every step ends
    np.testing.assert_array_equal(env.reset(0), 1)
    step = env.step(np.zeros(10_000, np.int64))
    assert step.last.all()
    assert (step.discount == 0).all()
    np.testing.assert_array_equal(step.reward, np.where(step.next_obs == 0, -1, 1))
    assert abs(step.reward.mean()) < 5 / np.sqrt(10_000)
