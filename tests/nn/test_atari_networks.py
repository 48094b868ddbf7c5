"""The convolutional networks are the plain ones, channels first and call by call, in outputs, gradients and updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlrun.nn.descent import descend
from rlrun.nn.networks import build_q_network
from rlrun.nn.optimizers import Adam
from rlrun.nn.trunks import Convolutional
from rlrun.types import EnvSpec

ACTIONS = 6
FRAMES = EnvSpec("frames", spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(ACTIONS), 1)
NATURE2015 = Convolutional(channels=[32, 64, 64], kernels=[8, 4, 3], strides=[4, 2, 1], hidden=512)
NIPS2013 = Convolutional(channels=[16, 32], kernels=[8, 4], strides=[4, 2], hidden=256)


def plain_nature2015() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(4, 32, 8, stride=4),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, stride=2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, stride=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 512),
        nn.ReLU(),
        nn.Linear(512, ACTIONS),
    )


def plain_nips2013() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(4, 16, 8, stride=4),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 9 * 9, 256),
        nn.ReLU(),
        nn.Linear(256, ACTIONS),
    )


def images(seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(256, (2, 4, 84, 84), generator=rng, dtype=torch.uint8)


def loss_of(q: Tensor) -> Tensor:
    """That the actions are worth 0, 1, 2 ..."""
    return (q - torch.arange(ACTIONS)).square().mean()


def assert_close(ours: Sequence[Tensor | None], theirs: Sequence[Tensor | None]) -> None:
    """To 1e-6 of the largest entry of each."""
    for mine, other in zip(ours, theirs, strict=True):
        assert mine is not None
        assert other is not None
        largest = other.abs().max().item()
        assert largest > 0
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-6 * largest)


@pytest.mark.parametrize(("network", "plain"), [(NATURE2015, plain_nature2015), (NIPS2013, plain_nips2013)])
def test_outputs_gradients_and_thirty_updates_are_those_of_the_plain_network(
    network: Convolutional, plain: Callable[[], nn.Sequential]
) -> None:
    ours = build_q_network(network, FRAMES, torch.Generator().manual_seed(0), dueling=False).double()
    theirs = plain().double()
    parameters, others = list(ours.parameters()), list(theirs.parameters())
    with torch.no_grad():
        for here, there in zip(parameters, others, strict=True):
            there.copy_(here)
    optimizer = Adam(learning_rate=1e-4, eps=1e-8)(parameters)
    reference = torch.optim.Adam(others, lr=1e-4, eps=1e-8)
    for number in range(1, 31):
        obs = images(number)
        mine, other = ours(obs), theirs(obs.double() / 255)
        assert_close([mine], [other])
        descend(loss_of(mine), parameters, optimizer, None)
        reference.zero_grad()
        loss_of(other).backward()  # type: ignore[no-untyped-call]
        reference.step()
        if number in (1, 30):
            assert_close([each.grad for each in parameters], [each.grad for each in others])
            assert_close(parameters, others)
