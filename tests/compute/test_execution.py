"""Precision, compiling and recording as agents ask for them."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from rlrun.compute.execution import Compile, Execution, Precision, plainly
from rlrun.testing.recorded_operations import RecordedOperations

CPU = torch.device("cpu")


def execution(compile: Compile = "none", precision: Precision = "float32", *, records: bool = False) -> Execution:  # noqa: A002
    return Execution(CPU, compile, precision, RecordedOperations() if records else None)


def test_plainly_changes_nothing() -> None:
    def function(x: Tensor) -> Tensor:
        return x

    plain = plainly(CPU)
    assert plain.in_precision(function) is function
    assert plain.compiled(function) is function
    assert plain.recorded_pass(function, list) is function
    assert not plain.records
    assert not plain.fixed_shapes


def test_what_was_asked_for_is_unheeded_until_a_function_meets_it() -> None:
    assert plainly(CPU).unheeded == {}
    layer = nn.Linear(1, 1)
    narrow = execution("inductor", "bfloat16")
    narrow.recorded(dict, list, list)
    narrow.recorded_pass(layer.forward, list)
    assert narrow.unheeded == {"compile": "inductor", "precision": "bfloat16"}
    narrow.in_precision(layer.forward)
    assert narrow.unheeded == {"compile": "inductor"}
    narrow.backward_through(lambda: (torch.zeros(()), ()), layer)
    assert narrow.unheeded == {}
    graphs = execution("graphs", records=True)
    graphs.compiled(twice)
    assert graphs.unheeded == {"compile": "graphs"}
    graphs.recorded_pass(twice, list)
    assert graphs.unheeded == {}


def both(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    return layer(x), layer(x).sum(1)


def test_bfloat16_makes_every_output_of_a_network_float32() -> None:
    outputs = execution(precision="bfloat16").in_precision(partial(both, nn.Linear(4, 4)))(torch.ones(2, 4))
    assert [output.dtype for output in outputs] == [torch.float32] * 2


def test_what_is_compiled_is_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))  # no C++ compiler: quick

    def broken(x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x

    assert execution("inductor").compiled(lambda x: 2 * x)(torch.ones(2)).tolist() == [2.0, 2.0]
    with pytest.raises(Exception, match="branching"):
        execution("inductor").compiled(broken)(torch.ones(2))


def test_a_process_may_compile_a_function_for_many_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo import config

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # quick
    with config.patch(accumulated_recompile_limit=12):  # 256 would take long to reach
        for sizes in (range(1, 10), range(10, 20)):  # of two agents
            doubled = execution("inductor").compiled(twice)
            for size in sizes:
                assert doubled(torch.ones(size)).tolist() == [2.0] * size


def twice(x: Tensor) -> Tensor:
    return 2 * x


def test_a_recorded_pass_follows_weights_that_are_changed_in_place() -> None:
    weight = torch.ones(2)
    forward = execution(records=True).recorded_pass(partial(torch.mul, weight), partial(list, [weight]))
    first = forward(torch.ones(2))
    weight.fill_(3.0)
    assert forward(torch.ones(2)).tolist() == [3.0, 3.0]
    assert first.tolist() == [1.0, 1.0]


def noted(grads: list[bool], weight: Tensor, x: Tensor) -> Tensor:
    grads.append(torch.is_grad_enabled())
    return weight * x


@pytest.mark.parametrize("grad_at_first", [False, True])
def test_a_recorded_pass_keeps_no_gradient_whoever_calls_it_first(grad_at_first: bool) -> None:
    weight = torch.ones(2, requires_grad=True)
    grads: list[bool] = []
    forward = execution(records=True).recorded_pass(partial(noted, grads, weight), partial(list, [weight]))
    with torch.set_grad_enabled(grad_at_first):
        first = forward(torch.ones(2))
    assert not first.requires_grad
    assert not forward(torch.ones(2)).requires_grad
    assert not any(grads)
