"""Groups of parameters that are added later move too; closures are called; an optimizer is not copied."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import nn

from rlrun.nn.flat import FlatOptimizer
from rlrun.nn.optimizers import Adam, CentredRMSProp, RMSProp
from rlrun.testing.agent import same

Factory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
Pair = tuple[nn.Sequential, FlatOptimizer]
FACTORIES: list[Factory] = [
    Adam(learning_rate=0.1, eps=1e-3),
    RMSProp(learning_rate=0.1, decay=0.9, eps=0.01, initial_square=1.0),
    CentredRMSProp(learning_rate=0.1, decay=0.9, eps=0.01),
]


def made(factory: Factory) -> Pair:
    module = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))
    optimizer = factory(module.parameters())
    assert isinstance(optimizer, FlatOptimizer)
    return module, optimizer


def loss_of(module: nn.Module, number: int) -> torch.Tensor:
    loss: torch.Tensor = module(torch.full((2, 4), number + 1.0)).square().mean()
    return loss


def learn(pair: Pair, number: int) -> None:
    module, optimizer = pair
    optimizer.zero_grad()
    loss_of(module, number).backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def saved(pair: Pair) -> dict[str, Any]:
    module, optimizer = pair
    return copy.deepcopy({"module": module.state_dict(), "optimizer": optimizer.state_dict()})


@pytest.mark.parametrize("copied", [copy.deepcopy, pickle.dumps])
def test_an_optimizer_is_not_copied_and_says_what_to_do(copied: Callable[[object], object]) -> None:
    _, optimizer = made(FACTORIES[0])
    with pytest.raises(TypeError, match="state_dict"):
        copied(optimizer)


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_group_that_is_added_later_moves_each_by_itself(factory: Factory) -> None:
    module, optimizer = made(factory)
    learn((module, optimizer), 0)
    added, plain = (nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 1)) for _ in range(2))
    plain.load_state_dict(added.state_dict())
    addresses = [parameter.data_ptr() for parameter in added.parameters()]
    optimizer.add_param_group({"params": list(added.parameters()), "lr": 0.01})
    references = [factory([parameter]) for parameter in plain.parameters()]
    for number in range(3):
        before = saved((module, optimizer))["module"]
        (loss_of(module, number) + loss_of(added, number)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        assert not same(module.state_dict(), before)
        loss_of(plain, number).backward()  # type: ignore[no-untyped-call]
        for reference in references:
            reference.param_groups[0]["lr"] = 0.01
            reference.step()
            reference.zero_grad()
    assert same(added.state_dict(), plain.state_dict())
    assert [group["together"] for group in optimizer.param_groups] == [True, False]
    assert [parameter.data_ptr() for parameter in added.parameters()] == addresses
    other_module, other_added = copy.deepcopy((module, added))
    other = factory(other_module.parameters())
    other.add_param_group({"params": list(other_added.parameters()), "lr": 0.01})
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, two, which in ((module, added, optimizer), (other_module, other_added, other)):
        (loss_of(one, 3) + loss_of(two, 3)).backward()  # type: ignore[no-untyped-call]
        which.step()
    assert same(added.state_dict(), other_added.state_dict())
    assert same(module.state_dict(), other_module.state_dict())


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_closure_is_called_with_gradients_and_its_value_returned(factory: Factory) -> None:
    closed, plain = made(factory), made(factory)
    plain[0].load_state_dict(closed[0].state_dict())
    losses: list[torch.Tensor] = []

    def closure() -> float:
        assert torch.is_grad_enabled()
        closed[1].zero_grad()
        losses.append(loss_of(closed[0], len(losses)))
        losses[-1].backward()  # type: ignore[no-untyped-call]
        return losses[-1].item()

    for number in range(3):
        loss_of(closed[0], 5).backward()  # type: ignore[no-untyped-call]
        closed[1].gradients()  # asked for, and then not wanted
        assert closed[1].step(closure) == losses[number].item()
        learn(plain, number)
        assert closed[1].step() is None
        assert plain[1].step() is None
    assert len(losses) == 3
    assert same(saved(closed), saved(plain))
