"""Precision, compiling and recording as agents ask for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from rlrun.compute.compiled import compiled
from rlrun.compute.execution import Compile, Execution, Precision, plainly
from rlrun.nn.optimizers import Adam, RMSProp
from rlrun.testing.recorded_operations import RecordedOperations

CPU = torch.device("cpu")


def execution(compile: Compile = "none", precision: Precision = "float32", *, records: bool = False) -> Execution:  # noqa: A002
    return Execution(CPU, compile, precision, RecordedOperations() if records else None)


def halved(layer: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    loss = 0.5 * layer(x).square().mean()
    return loss, {"loss": loss.detach()}


def descent(of: Execution, layer: nn.Module, limit: float | None = None) -> Callable[..., dict[str, Tensor]]:
    optimizer = RMSProp(learning_rate=0.1, decay=0.9, eps=1e-3, initial_square=1.0)(layer.parameters())
    return of.descent(partial(halved, layer), layer, optimizer, limit)


def test_plainly_changes_nothing() -> None:
    layer = nn.Linear(1, 1)
    plain = plainly(CPU)
    assert plain.passing(layer.forward) == layer.forward
    assert plain.acting(layer.forward, layer) == layer.forward


def test_what_was_asked_for_is_unused_until_a_function_meets_it() -> None:
    assert plainly(CPU).unused == {}
    layer = nn.Linear(1, 1)
    narrow = execution("inductor", "bfloat16")
    assert narrow.unused == {"compile": "inductor", "precision": "bfloat16"}
    narrow.acting(layer.forward, layer)
    assert narrow.unused == {"compile": "inductor"}
    optimizer = RMSProp(learning_rate=0.1, decay=0.9, eps=1e-3, initial_square=1.0)(layer.parameters())
    narrow.descent(partial(halved, layer), layer, optimizer, None, many_shapes=True)
    assert narrow.unused == {"compile": "inductor"}
    descent(narrow, layer)
    assert narrow.unused == {}
    graphs = execution("graphs", records=True)
    graphs.passing(layer.forward)
    assert graphs.unused == {"compile": "graphs"}
    graphs.acting(layer.forward, layer)
    assert graphs.unused == {}


@pytest.mark.parametrize("how", ["none", "inductor", "graphs"])
@pytest.mark.parametrize("limit", [None, 0.01])
def test_a_descent_is_one_step_down_the_gradient(
    how: Compile, limit: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))  # no C++ compiler: quick
    layer, x = nn.Linear(1, 1, bias=False), torch.tensor([[3.0]])
    layer.weight.data.fill_(2.0)
    said = descent(execution(how, records=how == "graphs"), layer, limit)(x)
    assert said["loss"].item() == 18.0
    gradient = 18.0 if limit is None else limit * 18.0 / (18.0 + 1e-6)  # of (3 w)^2 / 2 at w = 2, and scaled down
    assert said.get("grad/norm", torch.tensor(18.0)).item() == pytest.approx(18.0)
    assert ("grad/norm" in said) is (limit is not None)
    square = 0.9 + 0.1 * gradient**2
    assert layer.weight.item() == pytest.approx(2.0 - 0.1 * gradient / (square + 1e-3) ** 0.5, rel=1e-5)


@pytest.mark.parametrize("how", ["none", "graphs"])
def test_parameters_that_a_loss_does_not_depend_on_stay_as_they_are(how: Compile) -> None:
    used, other = nn.Linear(1, 1), nn.Linear(1, 1)
    optimizer = Adam(learning_rate=0.1, eps=1e-5)([*used.parameters(), *other.parameters()])
    carried = execution(how, records=how == "graphs")
    both = carried.descent(lambda x: (used(x).sum() + other(x).sum(), {}), nn.Sequential(used, other), optimizer, None)
    alone = carried.descent(lambda x: (used(x).sum(), {}), used, optimizer, None)
    both(torch.ones(1, 1))
    before = [parameter.detach().clone() for parameter in (*used.parameters(), *other.parameters())]
    for _ in range(3):
        alone(torch.ones(1, 1))
    moved = [
        not torch.equal(one, two) for one, two in zip(before, (*used.parameters(), *other.parameters()), strict=True)
    ]
    assert moved == [True, True, False, False]


def both(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    return layer(x), layer(x).sum(1)


def test_bfloat16_makes_every_output_of_a_network_float32() -> None:
    outputs = execution(precision="bfloat16").passing(partial(both, nn.Linear(4, 4)))(torch.ones(2, 4))
    assert [output.dtype for output in outputs] == [torch.float32] * 2


def test_what_is_compiled_is_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))  # no C++ compiler: quick

    def broken(x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x

    assert compiled(lambda x: 2 * x)(torch.ones(2)).tolist() == [2.0, 2.0]
    with pytest.raises(Exception, match="branching"):
        compiled(broken)(torch.ones(2))


def test_a_process_may_compile_a_function_for_many_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo import config

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # quick
    with config.patch(accumulated_recompile_limit=12):  # 256 would take long to reach
        for sizes in (range(1, 10), range(10, 20)):  # of two agents
            doubled = compiled(twice)
            for size in sizes:
                assert doubled(torch.ones(size)).tolist() == [2.0] * size


def twice(x: Tensor) -> Tensor:
    return 2 * x


class Scaled(nn.Module):
    """Multiplies by a weight, and notes whether gradients are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.grads: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.grads.append(torch.is_grad_enabled())
        return self.weight * x


def test_a_recorded_pass_follows_weights_that_are_changed_in_place() -> None:
    scaled = Scaled()
    forward = execution(records=True).acting(scaled.forward, scaled)
    first = forward(torch.ones(2))
    scaled.weight.data.fill_(3.0)
    assert forward(torch.ones(2)).tolist() == [3.0, 3.0]
    assert first.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("grad_at_first", [False, True])
def test_a_recorded_pass_keeps_no_gradient_whoever_calls_it_first(grad_at_first: bool) -> None:
    scaled = Scaled()
    forward = execution(records=True).acting(scaled.forward, scaled)
    with torch.set_grad_enabled(grad_at_first):
        first = forward(torch.ones(2))
    assert not first.requires_grad
    assert not forward(torch.ones(2)).requires_grad
    assert not any(scaled.grads)
