import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rlrun.numerics.losses import (
    huber,
    masked_mean,
    masked_squared_error,
    normalised,
    policy_gradient_loss,
    q_td_target,
    squared_error,
)

F64 = torch.float64
LOG_PROB = torch.tensor([0.25, 0.1], dtype=F64).log()


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=F64)


def test_q_td_target_by_hand() -> None:
    next_q = torch.tensor([[1.0, 5.0], [7.0, 2.0], [3.0, 4.0]], dtype=F64)
    target = q_td_target(tensor(1, 2, 3), tensor(0.5, 0, 0.25), next_q, None)
    torch.testing.assert_close(target, tensor(3.5, 2, 4))


def test_double_q_values_the_action_that_the_selector_chooses() -> None:
    next_q = torch.tensor([[1.0, 5.0], [7.0, 2.0]], dtype=F64)
    selector = torch.tensor([[9.0, 0.0], [0.0, 9.0]], dtype=F64)
    torch.testing.assert_close(q_td_target(tensor(1, 2), tensor(0.5, 0.5), next_q, selector), tensor(1.5, 3))


def test_targets_and_weights_carry_no_gradient() -> None:
    next_q = torch.ones(2, 3, dtype=F64, requires_grad=True)
    assert not q_td_target(tensor(1, 2), tensor(1, 1), next_q, None).requires_grad
    weight = tensor(1, 2).requires_grad_()
    log_prob = LOG_PROB.clone().requires_grad_()
    policy_gradient_loss(log_prob, weight).sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is None
    assert log_prob.grad is not None


@pytest.mark.parametrize("loss", [lambda q, y: huber(q, y, 1.0), squared_error])
def test_a_target_with_a_gradient_gets_none(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    value, target = tensor(1, 2).requires_grad_(), tensor(0, 5).requires_grad_()
    loss(value, target).backward()  # type: ignore[no-untyped-call]
    assert target.grad is None
    assert value.grad is not None


def test_huber_clamps_the_error_and_not_the_loss() -> None:
    value, target = tensor(-3, 0.5, 7, 1, 2).requires_grad_(), tensor(0, 1, 7, 0, -0.5)  # errors -3, -0.5, 0, 1, 2.5
    loss = huber(value, target, 1.0)
    torch.testing.assert_close(loss.detach(), tensor(2.5, 0.125, 0, 0.5, 2).mean())
    loss.backward()  # type: ignore[no-untyped-call]
    assert value.grad is not None
    torch.testing.assert_close(value.grad, tensor(-1, -0.5, 0, 1, 1) / 5)


def test_huber_turns_linear_at_delta() -> None:
    torch.testing.assert_close(huber(tensor(1), tensor(5), 2.0), torch.tensor(2.0 * (4 - 1), dtype=F64))


def test_squared_error_is_halved() -> None:
    value, target = tensor(-3, 2).requires_grad_(), tensor(0, 0)
    loss = squared_error(value, target)
    torch.testing.assert_close(loss.detach(), tensor(4.5, 2).mean())
    loss.backward()  # type: ignore[no-untyped-call]
    assert value.grad is not None
    torch.testing.assert_close(value.grad, tensor(-3, 2) / 2)


def test_masked_squared_error_by_hand() -> None:
    mask = torch.tensor([True, True, False])
    loss = masked_squared_error(tensor(1, 2, float("nan")), tensor(4, 0, 1), mask)
    torch.testing.assert_close(loss, torch.tensor((9 / 2 + 4 / 2) / 2, dtype=F64))


def test_masked_steps_count_nothing_even_if_they_are_not_finite() -> None:
    values = tensor(1, float("nan"), 5, float("inf"))
    mask = torch.tensor([True, False, True, False])
    assert masked_mean(values, mask) == 3.0
    assert masked_mean(values, torch.zeros(4, dtype=torch.bool)) == 0.0


def test_normalised_by_hand() -> None:
    # Mean 2 and variance (4 + 1 + 9) / 3 of the three that count.
    values, mask = tensor(0, 1, 5, float("nan")), torch.tensor([True, True, True, False])
    expected = tensor(-2, -1, 3) / (14 / 3) ** 0.5
    torch.testing.assert_close(normalised(values, mask, values)[:3], expected)
    torch.testing.assert_close(normalised(values[:3], None, values[:3]), expected)
    torch.testing.assert_close(normalised(1e-9 * values[:3], None, 1e-9 * values[:3]), expected)  # of any unit


@pytest.mark.parametrize(
    ("offset", "spread"), [(0.0, 1.0), (99.34, 1e-3), (99.34, 1e-2), (99.34, 0.1), (-5000.0, 1.0), (20_000.0, 1.0)]
)
def test_normalised_in_float32_is_what_float64_says_of_the_same_numbers(offset: float, spread: float) -> None:
    noise = torch.randn(500, 8, generator=torch.Generator().manual_seed(0), dtype=F64)
    values = (offset + spread * noise).float()
    exact = values.double()
    expected = (exact - exact.mean()) / exact.std(correction=0)
    place = 2.0**-24 * abs(offset) / spread  # half a unit in the last place of the mean, which is a float32 too
    torch.testing.assert_close(normalised(values, None, values).double(), expected, rtol=1e-5, atol=1e-6 + 2 * place)


@pytest.mark.parametrize("value", [0.0, 99.34, -5000.0, 1e30])
def test_what_is_equal_has_no_spread(value: float) -> None:
    values = torch.full((500, 8), value)
    assert float(normalised(values, None, values).abs().max()) <= 1e-5 * abs(value)


def test_rounding_is_no_spread() -> None:
    rng = torch.Generator().manual_seed(0)
    values = 1e3 + 1e-4 * torch.randn(500, 8, generator=rng, dtype=F64).float()  # 2 units in the last place
    assert float(normalised(values, None, values).abs().max()) < 1e-2
    errors = 1e-4 * torch.randn(500, 8, generator=rng)  # of a value of 1,000 that has been learned to the last place
    assert float(normalised(errors, None, values).abs().max()) < 1e-3
    assert float(normalised(errors, None, errors).std()) == pytest.approx(1.0, rel=1e-3)


def test_policy_gradient_loss_by_hand() -> None:
    loss = policy_gradient_loss(LOG_PROB, tensor(3, -5))
    torch.testing.assert_close(loss, tensor(3 * 2 * math.log(2.0), -5 * math.log(10.0)))


def test_several_means_are_taken_at_once() -> None:
    values = torch.stack([tensor(1, 2, 100), tensor(3, 5, float("nan"))])
    torch.testing.assert_close(masked_mean(values, torch.tensor([True, True, False])), tensor(1.5, 4))


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: huber(x, tensor(0.1, -2, 0.3, 0.5), 0.7),
        lambda x: squared_error(x, tensor(1, -2, 3, 0.5)),
        lambda x: policy_gradient_loss(x, tensor(1, -2, 0.5, 3)).sum(),
        lambda x: masked_squared_error(x, tensor(1, -2, 3, 0.5), torch.tensor([True, True, False, True])),
    ],
)
def test_gradients_agree_with_finite_differences(loss: Callable[[Tensor], Tensor]) -> None:
    point = tensor(0.3, -1.4, 2.2, -0.6).requires_grad_()
    assert torch.autograd.gradcheck(loss, (point,))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"reward.*next_q"):
        q_td_target(tensor(1, 2), tensor(1), torch.zeros(2, 3, dtype=F64), None)
    with pytest.raises(ValueError, match=r"\(2,\).*\(1,\)"):
        masked_mean(tensor(1, 2), torch.tensor([True]))
