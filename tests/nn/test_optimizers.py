import copy
import math
from collections.abc import Callable, Iterable

import pytest
import torch
from torch import nn

from rlrun.errors import UserError
from rlrun.nn.flat import FlatOptimizer
from rlrun.nn.optimizers import Adam, CentredRMSProp, RMSProp, at_step
from rlrun.numerics.schedules import Constant, Linear

Factory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
GRADIENTS = (2.0, -1.0)  # of the one parameter at the first and the second step
FACTORIES: list[Factory] = [
    Adam(learning_rate=0.1, eps=1e-3),
    RMSProp(learning_rate=0.1, decay=0.9, eps=0.01, initial_square=1.0),
    CentredRMSProp(learning_rate=0.1, decay=0.9, eps=0.01),
]


FALLING = Linear(start=0.1, end=0.0, duration_steps=4, delay_steps=0)  # .1, .075, .05, .025, 0
SCHEDULED: list[Factory] = [
    Adam(learning_rate=FALLING, eps=1e-3),
    RMSProp(learning_rate=FALLING, decay=0.9, eps=0.01, initial_square=1.0),
    CentredRMSProp(learning_rate=FALLING, decay=0.9, eps=0.01),
]


def step(parameter: nn.Parameter, optimizer: torch.optim.Optimizer, gradient: float) -> float:
    parameter.grad = torch.full_like(parameter, gradient)
    optimizer.step()
    return parameter[0].item()


def trajectory(factory: Factory) -> list[float]:
    parameter = nn.Parameter(torch.tensor([1.0]))
    optimizer = factory([parameter])
    return [step(parameter, optimizer, gradient) for gradient in GRADIENTS]


def test_two_steps_of_adam_by_hand() -> None:
    # Bias-corrected: m = 2, v = 4; then m = (.9*.2 - .1)/.19 = .08/.19, v = (.999*.004 + .001)/.001999.
    first = 1.0 - 0.1 * 2.0 / (2.0 + 1e-3)
    second = first - 0.1 * (0.08 / 0.19) / (math.sqrt(0.004996 / 0.001999) + 1e-3)
    assert trajectory(FACTORIES[0]) == pytest.approx([first, second], rel=1e-5)


def test_two_steps_of_rmsprop_by_hand_with_eps_under_the_root() -> None:
    # g2 = .9*1 + .1*4 = 1.3; then .9*1.3 + .1*1 = 1.27.
    first = 1.0 - 0.1 * 2.0 / math.sqrt(1.3 + 0.01)
    second = first + 0.1 * 1.0 / math.sqrt(1.27 + 0.01)
    assert trajectory(FACTORIES[1]) == pytest.approx([first, second], rel=1e-6)


def test_two_steps_of_centred_rmsprop_by_hand_with_eps_under_the_root() -> None:
    # g = .2, g2 = .4, variance .36; then g = .18 - .1 = .08, g2 = .36 + .1 = .46, variance .4536.
    first = 1.0 - 0.1 * 2.0 / math.sqrt(0.36 + 0.01)
    second = first + 0.1 * 1.0 / math.sqrt(0.4536 + 0.01)
    assert trajectory(FACTORIES[2]) == pytest.approx([first, second], rel=1e-6)


def test_centred_rmsprop_survives_a_variance_that_rounding_makes_negative() -> None:
    parameter = nn.Parameter(torch.ones(2000))
    optimizer = CentredRMSProp(learning_rate=1e-6, decay=0.5, eps=1e-9)([parameter])
    for _ in range(60):  # a constant gradient: the true variance goes to 0
        parameter.grad = torch.linspace(1.0, 1000.0, 2000)
        optimizer.step()
    assert bool(torch.isfinite(parameter).all())


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_loaded_optimizer_continues_as_if_never_interrupted(factory: Factory) -> None:
    parameter = nn.Parameter(torch.tensor([1.0]))
    optimizer = factory([parameter])
    step(parameter, optimizer, GRADIENTS[0])
    other_parameter = nn.Parameter(parameter.detach().clone())
    other = factory([other_parameter])
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert step(other_parameter, other, GRADIENTS[1]) == step(parameter, optimizer, GRADIENTS[1])


@pytest.mark.parametrize("factory", FACTORIES)
def test_parameters_without_a_gradient_stay(factory: Factory) -> None:
    used, unused = nn.Parameter(torch.tensor([1.0])), nn.Parameter(torch.tensor([1.0]))
    optimizer = factory([used, unused])
    assert step(used, optimizer, 2.0) != 1.0
    assert unused.item() == 1.0


def two_layers() -> list[nn.Parameter]:
    rng = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 4, 5, generator=rng).contiguous(memory_format=torch.channels_last)
    return [nn.Parameter(images), nn.Parameter(torch.randn(7, generator=rng))]


def test_adam_is_torchs_fused_one_bit_for_bit_and_goes_on_from_its_state() -> None:
    ours, theirs = two_layers(), two_layers()
    mine = FACTORIES[0](ours)
    reference = torch.optim.Adam(theirs, lr=0.1, eps=1e-3, fused=True)
    rng = torch.Generator().manual_seed(2)
    for number in range(100):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=rng)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
        if number == 50:  # an optimizer of before, from a checkpoint
            mine = FACTORIES[0](ours)
            mine.load_state_dict(copy.deepcopy(reference.state_dict()))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_the_loaded_counts_of_adam_are_where_the_parameters_are() -> None:
    here, elsewhere = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3, device="meta"))
    optimizer = FACTORIES[0]([here])
    here.grad = torch.ones(3)
    optimizer.step()
    other = FACTORIES[0]([elsewhere])
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert {name: value.device.type for name, value in other.state[elsewhere].items()} == {
        "step": "meta",
        "exp_avg": "meta",
        "exp_avg_sq": "meta",
    }


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def moved(model: nn.Sequential, optimizer: torch.optim.Optimizer, seed: int) -> list[torch.Tensor]:
    """Its parameters after one step down made-up gradients."""
    rng = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=rng)
    optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize(("constant", "scheduled"), list(zip(FACTORIES, SCHEDULED, strict=True)))
def test_a_step_uses_the_learning_rate_that_its_schedule_has_for_the_agent_step(
    constant: Factory, scheduled: Factory
) -> None:
    model = network()
    other = copy.deepcopy(model)
    optimizer, by_hand = scheduled(model.parameters()), constant(other.parameters())
    assert at_step(by_hand, 7) == {}
    for turn, rate in ((0, 0.1), (1, 0.075), (2, 0.05), (2, 0.05), (3, 0.025), (4, 0.0), (9, 0.0)):
        assert at_step(optimizer, turn)["optimizer/learning_rate"] == pytest.approx(rate, abs=1e-15)
        by_hand.param_groups[0]["lr"] = rate
        for one, two in zip(moved(model, optimizer, turn), moved(other, by_hand, turn), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("factory", SCHEDULED)
def test_a_scheduled_optimizer_is_loaded_with_its_learning_rate_and_not_copied(factory: Factory) -> None:
    model = network()
    optimizer = factory(model.parameters())
    at_step(optimizer, 3)
    moved(model, optimizer, 0)
    with pytest.raises(TypeError, match="state_dict"):
        copy.deepcopy(optimizer)
    other = copy.deepcopy(model)
    loaded = factory(other.parameters())
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    at_step(loaded, 3)
    assert loaded.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    expected = moved(model, optimizer, 1)
    assert all(map(torch.equal, moved(other, loaded, 1), expected))
    at_step(loaded, 4)  # which leaves the original alone
    assert all(map(torch.equal, moved(other, loaded, 2), expected))
    assert not all(map(torch.equal, moved(model, optimizer, 2), expected))


@pytest.mark.parametrize("factory", SCHEDULED)
def test_a_schedule_that_nobody_asks_is_an_error_and_not_its_first_value(factory: Factory) -> None:
    model = network()
    with pytest.raises(RuntimeError, match=r"rlrun\.nn\.optimizers\.at_step"):
        moved(model, factory(model.parameters()), 0)


def test_a_plain_learning_rate_stays_a_number_and_no_tensor_is_kept() -> None:
    for factory in FACTORIES:
        optimizer = factory(network().parameters())
        assert isinstance(optimizer, FlatOptimizer)
        assert optimizer.rate(optimizer.param_groups[0]) == 0.1


def test_a_learning_rate_below_0_is_refused() -> None:
    rising = Linear(start=-0.1, end=1.0, duration_steps=4, delay_steps=0)
    with pytest.raises(UserError, match=r" -0\.1\b.* 0$"):
        Adam(learning_rate=rising, eps=1e-8)
    Adam(learning_rate=Constant(value=0.1), eps=1e-8)


def test_a_schedule_that_has_come_to_0_is_told_of_once_and_not_at_its_last_step(
    caplog: pytest.LogCaptureFixture,
) -> None:
    falling = Linear(start=0.1, end=0.0, duration_steps=4, delay_steps=0)
    optimizer = Adam(learning_rate=falling, eps=1e-8)(network().parameters())
    for step in (2, 4):
        at_step(optimizer, step)
    assert caplog.records == []
    for step in (6, 8):
        at_step(optimizer, step)
    (record,) = caplog.records
    assert "step 6" in record.getMessage()
