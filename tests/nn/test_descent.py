import pytest
import torch
from torch import Tensor, nn

from rlrun.nn.descent import descend
from rlrun.nn.optimizers import Adam

UPDATES = (1, 100)


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4), nn.Linear(4, 1)).double()


def loss_of(net: nn.Module, images: Tensor) -> Tensor:
    loss: Tensor = (net(images) - 3.0).square().mean()
    return loss


@pytest.mark.parametrize("limit", [None, 1e-3, 1e3])
@pytest.mark.parametrize("updates", UPDATES)
def test_descent_is_what_torch_would_do_call_by_call(updates: int, limit: float | None) -> None:
    ours, plain = network(), network()
    parameters = list(ours.parameters())
    optimizer = Adam(learning_rate=1e-2, eps=1e-8)(parameters)
    reference = torch.optim.Adam(plain.parameters(), lr=1e-2, eps=1e-8, fused=True)
    rng = torch.Generator().manual_seed(0)
    for _ in range(updates):
        images = torch.rand(5, 2, 3, 3, generator=rng, dtype=torch.float64)
        norm = descend(loss_of(ours, images), parameters, optimizer, limit)
        reference.zero_grad()
        loss_of(plain, images).backward()  # type: ignore[no-untyped-call]
        expected = nn.utils.clip_grad_norm_(plain.parameters(), float("inf") if limit is None else limit)
        reference.step()
        torch.testing.assert_close(norm, expected, rtol=1e-12, atol=0)
    for mine, theirs in zip(parameters, plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-12)


def test_parameters_that_the_loss_does_not_depend_on_stay() -> None:
    net = network()
    parameters = list(net.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    descend(parameters[0].square().sum(), parameters, Adam(learning_rate=0.1, eps=1e-8)(parameters), 1.0)
    moved = [not torch.equal(old, new) for old, new in zip(before, parameters, strict=True)]
    assert moved == [True] + [False] * (len(parameters) - 1)
