import dataclasses
from operator import itemgetter

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlrun.errors import UserError
from rlrun.loop.collect import empty_rollout
from rlrun.protocols import Replay
from rlrun.replay.uniform import UniformReplay
from rlrun.testing.replay import Player, ReplayContract
from rlrun.types import Batch, EnvSpec, Rollout, map_obs

CPU = torch.device("cpu")


class TestUniformReplayWithPlainObservations(ReplayContract):
    def make(self, spec: EnvSpec, capacity_steps: int, n_step: int, gamma: float) -> Replay:
        return UniformReplay(capacity_steps=capacity_steps, n_step=n_step, gamma=gamma, spec=spec, device=CPU)


class BootstrapsFromTheNextEpisode(UniformReplay):
    def extend(self, rollout: Rollout) -> None:
        super().extend(dataclasses.replace(rollout, final_obs=rollout.obs_sequence[1:][rollout.last]))


class CrossesTimeLimits(UniformReplay):
    def extend(self, rollout: Rollout) -> None:
        super().extend(dataclasses.replace(rollout, last=rollout.last & False, final_obs=rollout.final_obs[:0]))


class IgnoresDiscounts(UniformReplay):
    def extend(self, rollout: Rollout) -> None:
        super().extend(dataclasses.replace(rollout, discount=torch.ones_like(rollout.discount)))


class AlwaysTakesTheFullPowerOfGamma(UniformReplay):
    def sample(self, batch_size: int, rng: torch.Generator) -> Batch:
        batch = super().sample(batch_size, rng)
        return batch._replace(discount=torch.where(batch.discount > 0, self._gamma**self._n_step, 0.0))


class DrawsFromTheGlobalGenerator(UniformReplay):
    def sample(self, batch_size: int, rng: torch.Generator) -> Batch:
        return super().sample(batch_size, torch.default_generator)


class PrefersTheNewest(UniformReplay):
    def sample(self, batch_size: int, rng: torch.Generator) -> Batch:
        batch = super().sample(2 * batch_size, rng)
        better = torch.maximum(batch.index[:batch_size], batch.index[batch_size:]) == batch.index[:batch_size]
        pick = torch.where(better, torch.arange(batch_size), torch.arange(batch_size) + batch_size)
        return Batch(*(map_obs(itemgetter(pick), item) for item in batch))


AS_PLAYED = "test_draws_transitions_as_they_were_played"
BY_HAND = "test_three_step_returns_stop_at_a_time_limit_and_bootstrap_there"


@pytest.mark.parametrize(
    ("wrong", "test"),
    [
        (BootstrapsFromTheNextEpisode, AS_PLAYED),
        (BootstrapsFromTheNextEpisode, BY_HAND),
        (CrossesTimeLimits, AS_PLAYED),
        (CrossesTimeLimits, BY_HAND),
        (IgnoresDiscounts, AS_PLAYED),
        (AlwaysTakesTheFullPowerOfGamma, AS_PLAYED),
        (AlwaysTakesTheFullPowerOfGamma, BY_HAND),
        (DrawsFromTheGlobalGenerator, "test_equal_generators_draw_equal_batches"),
        (PrefersTheNewest, "test_draws_uniformly"),
    ],
)
def test_the_contract_refuses_wrong_replays(wrong: type[UniformReplay], test: str) -> None:
    class Contract(ReplayContract):
        def make(self, spec: EnvSpec, capacity_steps: int, n_step: int, gamma: float) -> Replay:
            return wrong(capacity_steps=capacity_steps, n_step=n_step, gamma=gamma, spec=spec, device=CPU)

    with pytest.raises(AssertionError):
        getattr(Contract(), test)()


def _replay(player: Player, capacity_steps: int = 40, n_step: int = 1) -> UniformReplay:
    return UniformReplay(capacity_steps=capacity_steps, n_step=n_step, gamma=0.9, spec=player.spec, device=CPU)


def test_a_lost_life_ends_the_return_although_the_episode_goes_on() -> None:
    player = Player(1, 1, 0)
    replay = _replay(player, n_step=3)
    reward = np.array([[1.0], [2.0], [4.0], [8.0]])
    discount = np.array([[1.0], [0.0], [1.0], [1.0]])
    replay.extend(player.follow(np.zeros((4, 1), np.int64), reward, discount, np.zeros((4, 1), bool)))
    batch = replay.sample(100, torch.Generator().manual_seed(0))
    assert sorted(set(batch.reward.tolist())) == pytest.approx([2.0, 1 + 0.9 * 2])
    assert batch.discount.tolist() == [0.0] * 100


def test_masked_steps_are_refused() -> None:
    player = Player(2, 1, 0)
    rollout = player.play(3)
    mask = rollout.mask.clone()
    mask[2, 1] = False
    with pytest.raises(ValueError, match="masked"):
        _replay(player).extend(dataclasses.replace(rollout, mask=mask))


def test_rollouts_with_a_gap_between_them_are_refused() -> None:
    player = Player(2, 1, 0)
    replay = _replay(player)
    replay.extend(player.play(3))
    player.play(1)
    with pytest.raises(ValueError, match="begin"):
        replay.extend(player.play(3))


def test_observations_of_another_dtype_are_refused() -> None:
    player = Player(2, 1, 0)
    rollout = player.play(3)
    with pytest.raises(ValueError, match="float64"):
        _replay(player).extend(dataclasses.replace(rollout, obs_sequence=rollout.obs_sequence.double()))


def test_a_rollout_longer_than_the_replay_is_refused() -> None:
    player = Player(2, 1, 0)
    with pytest.raises(UserError, match=r"\b40\b"):
        _replay(player).extend(player.play(21))


def test_a_replay_smaller_than_one_window_is_refused() -> None:
    with pytest.raises(UserError, match=r"\b10\b"):
        _replay(Player(2, 1, 0), capacity_steps=9, n_step=5)


def test_an_empty_rollout_adds_nothing() -> None:
    player = Player(2, 1, 0)
    replay = _replay(player)
    replay.extend(player.play(3))
    replay.extend(empty_rollout(CPU))
    assert len(replay) == 6


def test_index_observations_keep_their_dtype_and_shape() -> None:
    spec = EnvSpec("table", spaces.Discrete(7), spaces.Discrete(300), 1)
    replay = UniformReplay(capacity_steps=8, n_step=1, gamma=0.5, spec=spec, device=CPU)
    player = Player(1, 1, 0)
    rollout = player.follow(
        np.array([[299], [1]]), np.array([[1.0], [2.0]]), np.ones((2, 1)), np.zeros((2, 1), dtype=bool)
    )
    replay.extend(dataclasses.replace(rollout, obs_sequence=torch.tensor([[6], [2], [5]])))
    batch = replay.sample(50, torch.Generator().manual_seed(0))
    seen = set(zip(batch.obs.tolist(), batch.action.tolist(), batch.next_obs.tolist(), strict=True))
    assert seen == {(6, 299, 2), (2, 1, 5)}
    assert batch.obs.dtype == torch.int64
