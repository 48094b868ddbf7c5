"""What a CUDA graph would need, on a CPU: `RecordedOperations` replays operations, and no Python, in fixed memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlrun.compute.captured import Captured
from rlrun.errors import UserError
from rlrun.nn.descent import descend
from rlrun.nn.networks import build_q_network
from rlrun.nn.optimizers import Adam, CentredRMSProp, RMSProp, at_step, moved_by
from rlrun.nn.trunks import MLP
from rlrun.numerics.schedules import Linear
from rlrun.testing.recorded_operations import RecordedOperations
from rlrun.types import EnvSpec

CPU = torch.device("cpu")


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(48, 2))


def step_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
    parameters = list(model.parameters())

    def step(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        loss = (model(x) - y).square().mean()
        return {"loss": loss.detach(), "norm": descend(loss, parameters, optimizer, 0.5)}

    return step


FALLING = Linear(start=1e-2, end=0.0, duration_steps=10, delay_steps=0)


def captured(function: Callable[..., dict[str, Tensor]], changes: Callable[[], list[Tensor]] = list) -> Captured:
    return Captured(function, list, changes, RecordedOperations(), CPU)


@pytest.mark.parametrize(
    "optimizer",
    [
        Adam(learning_rate=1e-2, eps=1e-8),
        RMSProp(learning_rate=1e-2, decay=0.9, eps=1e-3, initial_square=1.0),
        CentredRMSProp(learning_rate=1e-2, decay=0.9, eps=1e-2),
        Adam(learning_rate=FALLING, eps=1e-8),
        RMSProp(learning_rate=FALLING, decay=0.9, eps=1e-3, initial_square=1.0),
        CentredRMSProp(learning_rate=FALLING, decay=0.9, eps=1e-2),
    ],
)
def test_recorded_steps_of_every_optimizer_are_the_plain_ones_bit_for_bit(
    optimizer: Adam | RMSProp | CentredRMSProp,
) -> None:
    plain_model, recorded_model = network(), network()
    plain_optimizer, recorded_optimizer = (optimizer(model.parameters()) for model in (plain_model, recorded_model))
    plain = step_of(plain_model, plain_optimizer)
    recorded = captured(step_of(recorded_model, recorded_optimizer), lambda: moved_by(recorded_optimizer))
    rng = torch.Generator().manual_seed(0)
    for turn in range(12):
        count = (4, 7)[turn % 3 == 2]  # two recordings in turns
        assert at_step(plain_optimizer, turn) == at_step(recorded_optimizer, turn)
        x, y = torch.randn(count, 2, 6, 6, generator=rng), torch.randn(count, 2, generator=rng)
        expected, actual = plain(x, y), recorded(x, y)
        assert all(torch.equal(expected[name], actual[name]) for name in expected)
        if turn == 6:  # new tensors take the place of the optimizer's
            recorded_optimizer.load_state_dict(recorded_optimizer.state_dict())
    for one, other in zip(moved_by(plain_optimizer), moved_by(recorded_optimizer), strict=True):
        assert torch.equal(one, other)


def test_an_optimizer_whose_state_cannot_begin_is_refused() -> None:
    with pytest.raises(UserError, match="SGD"):
        moved_by(torch.optim.SGD(network().parameters(), lr=0.1))


def test_outputs_are_copies_and_inputs_are_copied() -> None:
    doubled = captured(lambda x: {"": 2 * x})
    given = torch.ones(3)
    first = doubled(given)[""]
    given.fill_(5.0)
    second = doubled(given)[""]
    assert first.tolist() == [2.0] * 3
    assert second.tolist() == [10.0] * 3


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


def test_inputs_may_be_named_tuples() -> None:
    less = captured(lambda pair, x: {"": pair.left - pair.right * x})
    for factor in (2.0, 5.0):
        given = Pair(torch.full((2,), 7.0), torch.full((2,), factor))
        assert less(given, torch.ones(2))[""].tolist() == [7.0 - factor] * 2


def test_another_tensor_in_the_place_of_one_that_is_read_is_recorded_anew() -> None:
    read = [torch.ones(2)]
    added = Captured(lambda x: {"": x + read[0]}, lambda: read, list, RecordedOperations(), CPU)
    assert added(torch.zeros(2))[""].tolist() == [1.0, 1.0]
    read[0].fill_(3.0)  # in place: the recording sees it
    assert added(torch.zeros(2))[""].tolist() == [3.0, 3.0]
    read[0] = torch.full((2,), 7.0)
    assert added(torch.zeros(2))[""].tolist() == [7.0, 7.0]


def test_warming_up_leaves_what_is_changed_as_it_was() -> None:
    total = torch.zeros(2)

    def add(x: Tensor) -> dict[str, Tensor]:
        return {"": total.add_(x)}

    recorded = captured(add, lambda: [total])
    assert recorded(torch.ones(2))[""].tolist() == [1.0, 1.0]
    assert recorded(torch.ones(2))[""].tolist() == [2.0, 2.0]


def test_only_so_many_recordings_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlrun.compute.captured._MOST_RECORDINGS", 2)
    calls = []

    def doubled(x: Tensor) -> dict[str, Tensor]:
        calls.append(len(x))
        return {"": 2 * x}

    recorded = captured(doubled)
    for size in (1, 2, 3, 3, 1):
        assert recorded(torch.ones(size))[""].tolist() == [2.0] * size
    assert calls.count(3) == 2
    assert calls.count(1) == calls.count(2) == 4  # three to warm up, one to record


def test_the_stand_in_shows_what_a_graph_would_do_wrong() -> None:
    numbers = iter(range(100))

    def with_a_number_of_pythons(x: Tensor) -> dict[str, Tensor]:
        return {"": x + next(numbers)}

    recorded = captured(with_a_number_of_pythons)
    assert torch.equal(recorded(torch.zeros(2))[""], recorded(torch.zeros(2))[""])

    def with_a_hidden_change(x: Tensor) -> dict[str, Tensor]:
        return {"": hidden.add_(x)}

    hidden = torch.zeros(2)
    assert captured(with_a_hidden_change)(torch.ones(2))[""].tolist() != [1.0, 1.0]

    source = torch.ones(1)
    replay, outputs = RecordedOperations().record(lambda: {"": 2 * source})
    kept = outputs[""]
    source.fill_(4.0)
    replay()
    assert kept.item() == 8.0  # overwritten, since nobody copied it


@pytest.mark.parametrize(
    "function",
    [
        lambda x: {"": x * x.sum().item()},
        lambda x: {"": x[x > 0]},
        lambda x: {"": x if bool((x > 0).all()) else -x},
        lambda x: {"": (x > 0).nonzero()},
    ],
)
def test_what_would_wait_for_the_gpu_cannot_be_recorded(function: Callable[..., dict[str, Tensor]]) -> None:
    with pytest.raises(ValueError, match="values"):
        captured(function)(torch.ones(3))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: {"": nn.functional.dropout(x)},
        lambda x: {"": torch.rand_like(x)},
        lambda x: {"": x[torch.randint(3, (2,))]},
        lambda x: {"": torch.empty_like(x).normal_()},
    ],
)
def test_what_draws_random_numbers_cannot_be_recorded(
    function: Callable[..., dict[str, Tensor]],
) -> None:
    with pytest.raises(ValueError, match="random"):
        captured(function)(torch.ones(3))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: {"": x + torch.tensor(2.0)},
        lambda x: {"": x + torch.tensor([1.0, 2.0, 3.0]).to(x.device)},
        lambda x: {"": x + torch.from_numpy(np.ones(3)).to(x.device)},
    ],
)
def test_what_would_copy_from_the_cpu_cannot_be_recorded(function: Callable[..., dict[str, Tensor]]) -> None:
    with pytest.raises(ValueError, match="numpy"):
        captured(function)(torch.ones(3))


def test_networks_on_numbered_cells_can_be_recorded() -> None:
    spec = EnvSpec("cells", spaces.Discrete(5), spaces.Discrete(4), 1)
    q = build_q_network(MLP(hidden=[3], activation="relu"), spec, torch.Generator().manual_seed(0), dueling=False)
    cells = torch.tensor([4, 0, 2])
    assert torch.equal(captured(lambda x: {"": q(x)})(cells)[""], q(cells))
