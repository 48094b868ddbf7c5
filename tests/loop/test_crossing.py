"""What crosses to a GPU comes from pinned pages and is not waited for; torch's two calls for it are watched here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rlrun.compute.captured import Captured
from rlrun.compute.transfer import NewestPlanes, PinnedArrays, pinned
from rlrun.replay.storage import MemoryStorage
from rlrun.replay.uniform import UniformReplay
from rlrun.runs.state_comparison import first_difference
from rlrun.testing.recorded_operations import RecordedOperations
from rlrun.testing.replay import Player
from rlrun.types import TimeStep

CPU, GPU = torch.device("cpu"), torch.device("cuda")


class Crossings:
    """Stands in for a GPU that is the CPU: what was pinned, and how things crossed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pinned: list[int] = []  # addresses
        self.waited: list[bool] = []  # for each that crossed, whether the CPU waited
        to, copy_ = Tensor.to, Tensor.copy_

        def pin_memory(tensor: Tensor) -> Tensor:
            copied = tensor.clone()
            self.pinned.append(copied.data_ptr())
            return copied

        def brought(tensor: Tensor, *where: Any, non_blocking: bool = False, **how: Any) -> Tensor:
            if where and where[0] == GPU:
                self._note(tensor, non_blocking)
                where = (CPU, *where[1:])
            return to(tensor, *where, **how)

        def copied(place: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
            self._note(source, non_blocking)
            return copy_(place, source)

        def made(factory: Callable[..., Tensor]) -> Callable[..., Tensor]:
            def here(*shape: Any, device: torch.device = CPU, **how: Any) -> Tensor:
                return factory(*shape, device=CPU if device == GPU else device, **how)

            return here

        for name in ("empty", "zeros", "arange"):
            monkeypatch.setattr(torch, name, made(getattr(torch, name)))
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 30, 1 << 30))
        monkeypatch.setattr(Tensor, "pin_memory", pin_memory)
        monkeypatch.setattr(Tensor, "to", brought)
        self.watch_copies: Callable[[], None] = lambda: monkeypatch.setattr(Tensor, "copy_", copied)

    def _note(self, tensor: Tensor, non_blocking: bool) -> None:
        self.waited.append(not non_blocking or tensor.data_ptr() not in self.pinned)


@pytest.fixture
def crossings(monkeypatch: pytest.MonkeyPatch) -> Crossings:
    return Crossings(monkeypatch)


def test_only_what_crosses_to_a_gpu_is_pinned(crossings: Crossings) -> None:
    given = torch.ones(2)
    assert pinned(given, CPU) is given
    assert pinned(torch.ones(2, device="meta"), GPU).device.type == "meta"  # is elsewhere already
    assert not crossings.pinned
    assert torch.equal(pinned(given, GPU), given)
    assert len(crossings.pinned) == 1


def test_arrays_cross_without_waiting(crossings: Crossings) -> None:
    stack = np.arange(2 * 3 * 2 * 2, dtype=np.uint8).reshape(2, 3, 2, 2)
    moved = np.concatenate([stack[:, 1:], stack[:, :1]], 1)
    ones = np.ones(2, np.float32)
    uploads: list[PinnedArrays | NewestPlanes] = [PinnedArrays(GPU), NewestPlanes(GPU)]
    for upload in uploads:
        obs = upload.begun(stack)
        following = upload.following(obs, TimeStep(moved, ones, ones, np.array([False, True]), moved, {}))
        assert np.array_equal(following.numpy(), moved)
    assert len(crossings.pinned) == 2 + 4
    assert crossings.waited
    assert not any(crossings.waited)


def test_inputs_of_recordings_cross_without_waiting(crossings: Crossings) -> None:
    doubled = Captured(lambda x: {"": 2 * x}, list, list, RecordedOperations(), GPU)
    doubled(torch.ones(2))
    crossings.waited.clear()
    crossings.watch_copies()
    assert doubled(torch.full((2,), 3.0))[""].tolist() == [6.0, 6.0]
    assert crossings.waited[0] is False  # the stand-in copies further


def test_numbers_of_steps_cross_without_waiting(crossings: Crossings) -> None:
    player = Player(2, 1, seed=0)
    here, there = (
        UniformReplay(
            capacity_steps=40, n_step=1, gamma=0.9, spec=player.spec, device=CPU, storage=MemoryStorage(place)
        )
        for place in (CPU, GPU)
    )
    rollout = player.play(10)
    here.extend(rollout)
    there.extend(rollout)
    time, slot = here.draw(5, torch.Generator().manual_seed(0))
    crossings.pinned.clear()
    crossings.waited.clear()
    assert first_difference(there.gather(time, slot), here.gather(time, slot)) is None
    assert len(crossings.pinned) == 2
    assert crossings.waited
    assert not any(crossings.waited)
