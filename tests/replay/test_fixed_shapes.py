"""A replay in which no shape depends on values, as recordings need it, draws the same bits; and refuses, if later."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from rlrun.replay.deferred_checks import DeferredChecks
from rlrun.replay.uniform import UniformReplay
from rlrun.testing.agent import same
from rlrun.testing.recorded_operations import RecordedOperations
from rlrun.testing.replay import Player
from rlrun.types import EnvSpec, Rollout

CPU = torch.device("cpu")


def replay(spec: EnvSpec, *, fixed_shapes: bool, n_step: int = 1) -> UniformReplay:
    return UniformReplay(capacity_steps=40, n_step=n_step, gamma=0.9, spec=spec, device=CPU, fixed_shapes=fixed_shapes)


def with_ends(rollout: Rollout) -> Rollout:
    return dataclasses.replace(rollout, ends=rollout.last.sum(1).numpy())


@pytest.mark.parametrize("mid_episode", [False, True])
@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("frame_stack", [1, 4])
def test_draws_and_keeps_the_same_bits(frame_stack: int, n_step: int, mid_episode: bool) -> None:
    player = Player(2, frame_stack, seed=2, mid_episode=mid_episode)
    fixed, free = (replay(player.spec, fixed_shapes=flag, n_step=n_step) for flag in (True, False))
    for turn in range(60):
        rollout = player.play(1 + turn % 5)
        fixed.extend(with_ends(rollout))  # as a collector says them, or as they are looked for
        free.extend(rollout)
        if turn == 30:
            loaded = replay(player.spec, fixed_shapes=True, n_step=n_step)
            loaded.load_state_dict(fixed.state_dict())
            fixed = loaded
        if len(free) > 0:
            assert same(*(each.sample(50, torch.Generator().manual_seed(turn)) for each in (fixed, free)))
    assert same(fixed.state_dict(), free.state_dict())


def test_gathering_can_be_recorded_only_then() -> None:
    player = Player(2, 4, seed=0)
    fixed, free = (replay(player.spec, fixed_shapes=flag) for flag in (True, False))
    rollout = player.play(20)
    for each in (fixed, free):
        each.extend(rollout)
    time, slot = fixed.draw(30, torch.Generator().manual_seed(0))
    _, outputs = RecordedOperations().record(lambda: fixed.gather(time, slot)._asdict())
    assert same(dict(outputs), free.gather(time, slot)._asdict())
    with pytest.raises(ValueError, match="values"):
        RecordedOperations().record(lambda: free.gather(time, slot)._asdict())


def broken(rollout: Rollout, name: str) -> Rollout:
    changes: dict[str, Any] = {}
    if name == "mask":
        changes["mask"] = torch.zeros_like(rollout.mask)
    elif name == "stacks":
        sequence = rollout.obs_sequence.clone()
        sequence[2:, :, 0] += 1
        changes["obs_sequence"] = sequence
    elif name == "finals":
        changes["final_obs"] = rollout.final_obs + 1
    return dataclasses.replace(rollout, **changes)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mask", "masked"),
        ("stacks", "^observations .*stacks"),
        ("finals", "final observations .*stacks"),
        ("gap", "begin"),
    ],
)
def test_what_is_wrong_is_refused_at_once_or_before_it_is_saved(name: str, words: str) -> None:
    for fixed_shapes in (False, True):
        player = Player(2, 4, seed=0)
        kept = replay(player.spec, fixed_shapes=fixed_shapes)
        kept.extend(with_ends(player.play(5)))
        if name == "gap":
            player.play(1)
        wrong = broken(with_ends(player.play(15)), name)
        assert wrong.final_obs.shape[0] > 0
        if fixed_shapes:
            kept.extend(wrong)
            with pytest.raises(ValueError, match=words):
                kept.state_dict()
        else:
            with pytest.raises(ValueError, match=words):
                kept.extend(wrong)


@pytest.mark.parametrize("fixed_shapes", [False, True])
def test_final_observations_that_nobody_ended_with_are_refused_at_once(fixed_shapes: bool) -> None:
    player = Player(2, 4, seed=0)
    kept = replay(player.spec, fixed_shapes=fixed_shapes)
    rollout = with_ends(player.play(15))
    with pytest.raises(ValueError, match="final"):
        kept.extend(dataclasses.replace(rollout, ends=np.zeros(15, np.int64), final_obs=rollout.final_obs[:-1]))


def test_what_is_to_be_told_later_is_told_in_the_end() -> None:
    checks = DeferredChecks(CPU, later=True)
    checks.all(torch.tensor([True, False]), "first")
    for _ in range(255):
        checks.all(torch.ones(2, dtype=torch.bool), "first")
        checks.read_sometimes()
    with pytest.raises(ValueError, match="first"):
        checks.read_sometimes()
    checks.read()  # it has been told


def test_a_replay_looks_for_what_is_to_be_told_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlrun.replay.deferred_checks._AT_MOST", 5)
    player = Player(2, 4, seed=0)
    kept = replay(player.spec, fixed_shapes=True)
    kept.extend(broken(with_ends(player.play(3)), "mask"))
    for _ in range(3):
        kept.extend(with_ends(player.play(3)))
    with pytest.raises(ValueError, match="masked"):
        kept.extend(with_ends(player.play(3)))
