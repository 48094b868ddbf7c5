import numpy as np
import torch

from rlrun.agents.random import Random
from rlrun.loop.collect import Collector
from rlrun.testing.scripted_env import ScriptedEnv
from rlrun.types import NoSteps, Rollout, Steps, WholeEpisodes

CPU = torch.device("cpu")


def collector(num_envs: int, collection: Steps | WholeEpisodes | NoSteps) -> tuple[Collector, Random]:
    env = ScriptedEnv(num_envs)
    return Collector(env, collection, CPU, seed=0), Random(rollout_steps=1, spec=env.spec)


def collect(num_envs: int, collection: Steps | WholeEpisodes | NoSteps, turns: int = 1) -> list[Rollout]:
    collecting, agent = collector(num_envs, collection)
    return [collecting.collect(agent) for _ in range(turns)]


def test_a_rollout_shows_the_true_successor_where_an_episode_ended() -> None:
    (rollout,) = collect(1, Steps(6))
    # Slot 0: episode 0 has 2 steps and terminates, episode 1 has 3 and is cut off, episode 2 has 4.
    assert rollout.obs[:, 0].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [0, 1, 2], [0, 2, 0]]
    assert rollout.next_obs[:, 0].tolist() == [[0, 0, 1], [0, 0, 2], [0, 1, 1], [0, 1, 2], [0, 1, 3], [0, 2, 1]]
    assert rollout.last[:, 0].tolist() == [False, True, False, False, True, False]
    assert rollout.discount[:, 0].tolist() == [1, 0, 1, 1, 1, 1]


def test_final_observations_of_several_slots_stay_in_their_places() -> None:
    (rollout,) = collect(3, Steps(9))
    time = rollout.obs[..., 2] + 1
    assert torch.equal(rollout.next_obs[..., 2], time)
    assert torch.equal(rollout.next_obs[..., :2], rollout.obs[..., :2])
    assert rollout.final_obs.shape[0] == int(rollout.last.sum()) > 3


def test_rollouts_follow_one_another_without_a_gap() -> None:
    first, second = collect(2, Steps(3), turns=2)
    assert torch.equal(first.obs_sequence[-1], second.obs_sequence[0])


def test_episode_returns_are_raw_and_belong_to_whole_episodes() -> None:
    collecting, agent = collector(2, Steps(4))
    rollouts = [collecting.collect(agent) for _ in range(3)]
    reward = torch.cat([rollout.reward for rollout in rollouts])
    returns = np.concatenate([rollout.episodes.returns for rollout in rollouts])
    lengths = np.concatenate([rollout.episodes.lengths for rollout in rollouts])
    slots = np.concatenate([rollout.episodes.slots for rollout in rollouts])
    assert lengths[slots == 0].tolist() == [2, 3, 4, 2]
    assert lengths[slots == 1].tolist() == [3, 4, 2, 3]
    np.testing.assert_allclose(
        returns[slots == 0], [reward[a:b, 0].sum() for a, b in ((0, 2), (2, 5), (5, 9), (9, 11))], rtol=1e-6
    )


def test_whole_episodes_gives_every_slot_its_share_and_masks_the_rest() -> None:
    first, second = collect(2, WholeEpisodes(2), turns=2)
    # Slot 0: episodes of 2 and 3 steps; slot 1: of 3 and 4. So the rollout has 7 steps, of which slot 0 needs 5.
    assert first.mask.sum(0).tolist() == [5, 7]
    assert first.num_steps == 12
    assert first.num_env_steps == 14  # slot 0 played on while it waited
    assert sorted(first.episodes.lengths.tolist()) == [2, 3, 3, 4]
    # Slot 0 was in the middle of its third episode, so its fourth begins.
    assert second.obs[0].tolist() == [[0, 3, 0], [1, 2, 0]]
    assert len(second.episodes.lengths) == 4


def test_a_planner_is_handed_nothing_and_it_counts_one_sweep() -> None:
    (rollout,) = collect(1, NoSteps())
    assert rollout.num_steps == 1
    assert rollout.num_env_steps == 0
    assert rollout.action.shape == (0, 0)


def test_a_collector_continues_in_the_middle_of_an_episode() -> None:
    collecting, agent = collector(3, Steps(4))
    collecting.collect(agent)
    state = collecting.state_dict()
    expected = collecting.collect(agent)
    resumed, agent = collector(3, Steps(4))
    resumed.load_state_dict(state)
    actual = resumed.collect(agent)
    for name in ("obs_sequence", "final_obs", "action", "reward", "discount", "last"):
        assert torch.equal(getattr(expected, name), getattr(actual, name)), name
    np.testing.assert_array_equal(expected.episodes.returns, actual.episodes.returns)
