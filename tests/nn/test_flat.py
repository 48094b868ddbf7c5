"""Parameters in one piece of memory move as they would by themselves, and their state is kept for each of them."""

import copy
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import nn

from rlrun.errors import UserError
from rlrun.nn.descent import descend
from rlrun.nn.flat import FlatOptimizer
from rlrun.nn.optimizers import Adam, CentredRMSProp, RMSProp
from rlrun.testing.agent import same

Factory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
FACTORIES: list[Factory] = [
    Adam(learning_rate=0.1, eps=1e-3),
    RMSProp(learning_rate=0.1, decay=0.9, eps=0.01, initial_square=1.0),
    CentredRMSProp(learning_rate=0.1, decay=0.9, eps=0.01),
]
SHAPES = ((64, 4), (2,), (64,), (3, 64), (3,), (1, 64), (1,), (5, 3))  # small ones in the middle: all after it shifts
FLOATS = (torch.float32, torch.float64)


def parameters(dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    rng = torch.Generator().manual_seed(1)
    return [nn.Parameter(torch.randn(shape, generator=rng).to(dtype)) for shape in SHAPES]


def give_gradients(to: list[nn.Parameter], seed: int, without: int | None = None) -> None:
    rng = torch.Generator().manual_seed(seed)
    for i, parameter in enumerate(to):
        gradient = torch.randn(parameter.shape, generator=rng).to(parameter.dtype)
        parameter.grad = None if i == without else gradient


def flat(factory: Factory, of: list[nn.Parameter]) -> FlatOptimizer:
    optimizer = factory(of)
    assert isinstance(optimizer, FlatOptimizer)
    return optimizer


def assert_equal(first: list[nn.Parameter], second: list[nn.Parameter]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def assert_as_alone(factory: Factory, together: list[nn.Parameter], alone: list[nn.Parameter]) -> None:
    """To the bit; torch's fused Adam rounds the last few entries of a tensor otherwise."""
    if not isinstance(factory, Adam):
        assert_equal(together, alone)
    tolerance = 1e-12 if together[0].dtype == torch.float64 else 1e-6
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("factory", FACTORIES)
def test_a_hundred_steps_are_those_of_each_parameter_alone(factory: Factory, dtype: torch.dtype) -> None:
    together, alone = parameters(dtype), parameters(dtype)
    one, many = flat(factory, together), [factory([parameter]) for parameter in alone]
    assert one.param_groups[0]["together"]
    for number in range(100):
        give_gradients(together, number)
        give_gradients(alone, number)
        one.step()
        for optimizer in many:
            optimizer.step()
    assert_as_alone(factory, together, alone)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("factory", FACTORIES)
def test_a_parameter_without_gradient_parts_them_and_the_numbers_stay_those_of_each_alone(
    factory: Factory, dtype: torch.dtype
) -> None:
    together, alone = parameters(dtype), parameters(dtype)
    one, many = flat(factory, together), [factory([parameter]) for parameter in alone]
    for number, without in enumerate([None, None, 2, None, 0]):
        give_gradients(together, number, without)
        give_gradients(alone, number, without)
        one.step()
        for optimizer in many:
            optimizer.step()
    assert not one.param_groups[0]["together"]
    assert_as_alone(factory, together, alone)


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("without", [None, 1])
def test_a_loaded_one_goes_on_bit_for_bit(factory: Factory, without: int | None) -> None:
    ours = parameters()
    optimizer = flat(factory, ours)
    for number in range(3):
        give_gradients(ours, number, without if number == 1 else None)
        optimizer.step()
    others = [nn.Parameter(parameter.detach().clone()) for parameter in ours]
    other = flat(factory, others)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert other.param_groups[0]["together"] == optimizer.param_groups[0]["together"] == (without is None)
    for number in range(3, 6):
        for each, of in ((optimizer, ours), (other, others)):
            give_gradients(of, number)
            each.gradients()
            each.step()
    assert_equal(ours, others)
    assert same(optimizer.state_dict(), other.state_dict()), "what is saved next is what moves"


def test_the_state_has_the_layout_of_torchs_adam_and_either_goes_on_from_the_others() -> None:
    ours, theirs = parameters(), parameters()
    mine, reference = flat(FACTORIES[0], ours), torch.optim.Adam(theirs, lr=0.1, eps=1e-3, fused=True)
    for number in range(20):
        give_gradients(ours, number)
        give_gradients(theirs, number)
        mine.step()
        reference.step()
        if number == 10:
            before, after = mine.state_dict(), reference.state_dict()
            assert before["state"].keys() == after["state"].keys()
            assert [state["exp_avg"].shape for state in before["state"].values()] == [torch.Size(s) for s in SHAPES]
            mine.load_state_dict(copy.deepcopy(after))
            assert mine.param_groups[0]["together"]
    assert_as_alone(FACTORIES[0], ours, theirs)


def test_parameters_that_torchs_adam_moved_unequally_often_keep_counts_of_their_own() -> None:
    ours, theirs = parameters(), parameters()
    mine, reference = flat(FACTORIES[0], ours), torch.optim.Adam(theirs, lr=0.1, eps=1e-3, fused=True)
    for number, without in enumerate((None, 2, None)):
        give_gradients(theirs, number, without)
        reference.step()
    # All have moved, so nothing but their counts tells them apart.
    for parameter, other in zip(ours, theirs, strict=True):
        parameter.data.copy_(other.data)
    mine.load_state_dict(copy.deepcopy(reference.state_dict()))
    assert not mine.param_groups[0]["together"]
    for number in range(3, 9):
        give_gradients(ours, number)
        give_gradients(theirs, number)
        mine.step()
        reference.step()
    assert_equal(ours, theirs)
    assert [float(state["step"]) for state in mine.state_dict()["state"].values()] == [9, 9, 8, 9, 9, 9, 9, 9]


@pytest.mark.parametrize("setting", [{"weight_decay": 0.01}, {"amsgrad": True}, {"maximize": True}])
def test_a_state_of_settings_that_would_be_ignored_is_refused(setting: dict[str, Any]) -> None:
    ours, theirs = parameters(), parameters()
    mine, other = flat(FACTORIES[0], ours), torch.optim.Adam(theirs, lr=0.1, eps=1e-3, **setting)
    give_gradients(theirs, 0)
    other.step()
    before = copy.deepcopy(mine.state_dict())
    (name,) = setting
    with pytest.raises(UserError, match=rf"{name}=\S+ .*FusedAdam"):
        mine.load_state_dict(other.state_dict())
    assert same(mine.state_dict(), before)


def test_settings_that_are_off_or_say_how_to_compute_are_no_reason_to_refuse_a_state() -> None:
    ours, theirs = parameters(), parameters()
    other = torch.optim.AdamW(theirs, lr=0.1, weight_decay=0.0, foreach=True)
    give_gradients(theirs, 0)
    other.step()
    mine = flat(FACTORIES[0], ours)
    mine.load_state_dict(other.state_dict())
    assert mine.param_groups[0]["together"]


def test_parameters_stay_where_their_module_sees_and_loads_them() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    kept = copy.deepcopy(module.state_dict())
    optimizer = flat(FACTORIES[1], list(module.parameters()))
    obs = torch.linspace(-1.0, 1.0, 8).view(2, 4)
    before = module(obs)
    descend(module(obs).sum(), list(module.parameters()), optimizer, None)
    assert not torch.equal(module(obs), before)
    module.load_state_dict(kept)
    torch.testing.assert_close(module(obs), before, rtol=0, atol=0)


def test_parameters_that_are_moved_elsewhere_still_learn() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))
    optimizer = flat(FACTORIES[0], list(module.parameters()))
    module.double()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    descend(module(torch.ones(2, 4, dtype=torch.float64)).sum(), list(module.parameters()), optimizer, None)
    assert not any(torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))


def which_learn(module: nn.Module, optimizer: torch.optim.Optimizer) -> list[bool]:
    """Whether each parameter moves in one step."""
    parameters = list(module.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    descend(module(torch.ones(2, 4)).sum(), parameters, optimizer, None)
    return [not torch.equal(old, new) for old, new in zip(before, parameters, strict=True)]


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("number", range(4))
def test_a_single_parameter_that_is_moved_elsewhere_still_learns_and_so_do_the_others(
    factory: Factory, number: int
) -> None:
    module, plain = two_layers(), two_layers()
    plain.load_state_dict(module.state_dict())
    optimizer = flat(factory, list(module.parameters()))
    references = [factory([parameter]) for parameter in plain.parameters()]
    for turn in range(3):
        if turn == 1:
            parameter = list(module.parameters())[number]
            parameter.data = parameter.data.clone()
        assert which_learn(module, optimizer) == [True] * 4
        plain.zero_grad()
        plain(torch.ones(2, 4)).sum().backward()
        for reference in references:
            reference.step()
    for mine, other in zip(module.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-6)


def test_two_optimizers_may_share_parameters() -> None:
    module = two_layers()
    whole = flat(FACTORIES[0], list(module.parameters()))
    head = flat(FACTORIES[0], list(module[1].parameters()))
    assert which_learn(module, whole) == [True] * 4
    assert which_learn(module, head) == [False, False, True, True]
    assert which_learn(module, whole) == [True] * 4


def test_large_and_mixed_parameters_are_left_as_they_are() -> None:
    large = [nn.Parameter(torch.zeros(400, 400)), nn.Parameter(torch.zeros(3))]
    mixed = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3, dtype=torch.float64))]
    images = [nn.Parameter(torch.zeros(2, 3, 4, 5).contiguous(memory_format=torch.channels_last))]
    for each in (large, mixed, [*images, nn.Parameter(torch.zeros(3))]):
        pointers = [parameter.data_ptr() for parameter in each]
        optimizer = flat(FACTORIES[0], each)
        assert not optimizer.param_groups[0]["together"]
        assert [parameter.data_ptr() for parameter in each] == pointers


@pytest.mark.parametrize("max_grad_norm", [None, 0.5, 100.0])
def test_a_descent_is_that_of_separate_tensors(max_grad_norm: float | None) -> None:
    ours, theirs = [[nn.Parameter(p.detach().double()) for p in parameters()] for _ in range(2)]
    mine = FACTORIES[1](ours)
    reference = [FACTORIES[1]([parameter]) for parameter in theirs]

    def loss(of: list[nn.Parameter]) -> torch.Tensor:
        return torch.stack([(parameter - 1.0).pow(4).sum() for parameter in of]).sum()

    for _ in range(100):
        norm = descend(loss(ours), ours, mine, max_grad_norm)
        for parameter in theirs:
            parameter.grad = None
        loss(theirs).backward()  # type: ignore[no-untyped-call]
        if max_grad_norm is None:
            expected = torch.cat([p.grad.flatten() for p in theirs if p.grad is not None]).norm()
        else:
            expected = nn.utils.clip_grad_norm_(theirs, max_grad_norm)
        torch.testing.assert_close(norm, expected, rtol=1e-9, atol=1e-12)
        for optimizer in reference:
            optimizer.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.process
def test_making_stepping_and_keeping_an_agent_imports_neither_torchs_compiler_nor_its_algebra() -> None:
    code = (
        "import sys; from rlrun import make\n"
        "m = make('algo=dqn env=cartpole algo.replay.learning_starts_steps=8 logger=none')\n"
        "[*m.steps(32)]; m.agent.load_state_dict(m.agent.state_dict())\n"
        "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
