"""What `device.precision=bfloat16` narrows: products of hidden layers, and nothing that is compared or learned from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlrun.compute.execution import Execution
from rlrun.nn.networks import build_policy_value, build_q_network
from rlrun.nn.trunks import MLP
from rlrun.types import EnvSpec

CPU = torch.device("cpu")
SPEC = EnvSpec("vector", spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(3), 1)
NETWORK = MLP(hidden=[64, 64], activation="relu")
OBS = torch.rand(2000, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1


def narrow(forward: Callable[..., Any]) -> Callable[..., Any]:
    return Execution(CPU, "none", "bfloat16", None).passing(forward)


def q_network(*, dueling: bool, q_near: float = 0.0) -> nn.Module:
    model = build_q_network(NETWORK, SPEC, torch.Generator().manual_seed(0), dueling=dueling)
    head: Any = model[-1]  # type: ignore[index]
    (head.value if dueling else head)[-1].bias.data += q_near
    return model


@pytest.mark.parametrize("dueling", [False, True])
def test_greedy_actions_agree_where_q_is_about_80(dueling: bool) -> None:
    model = q_network(dueling=dueling, q_near=80.0)
    wide, near = model(OBS), narrow(model.forward)(OBS)
    assert 79 < wide.min() < wide.max() < 81
    best = near.topk(2).values
    assert (best[:, 0] > best[:, 1]).all()  # no ties
    assert (wide.argmax(1) == near.argmax(1)).float().mean() > 0.97
    torch.testing.assert_close(wide, near, rtol=0, atol=0.01)


@pytest.mark.parametrize("dueling", [False, True])
def test_the_products_before_the_last_layers_are_narrow(dueling: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = q_network(dueling=dueling)
    kinds: list[torch.dtype] = []

    def noted(x: Tensor) -> Tensor:
        kinds.append(x.dtype)
        return x.relu()

    for layer in model.modules():
        if isinstance(layer, nn.ReLU):
            monkeypatch.setattr(layer, "forward", noted)
    wide = model(OBS)
    assert set(kinds) == {torch.float32}
    kinds.clear()
    near = narrow(model.forward)(OBS)
    assert set(kinds) == {torch.bfloat16}
    assert near.dtype == torch.float32
    assert not torch.equal(wide, near)
    torch.testing.assert_close(wide, near, rtol=0.03, atol=0.03)
    gradients = torch.autograd.grad(near.square().mean(), list(model.parameters()))
    assert {tensor.dtype for tensor in (*gradients, *model.parameters())} == {torch.float32}


@pytest.mark.parametrize("shared", [False, True])
def test_logits_and_values_have_bits_that_bfloat16_has_not(shared: bool) -> None:
    model = build_policy_value(NETWORK, SPEC, torch.Generator().manual_seed(0), shared=shared)
    both: tuple[Tensor, Tensor] = narrow(model.forward)(OBS)
    for output in (*both, narrow(model.logits)(OBS), narrow(model.values)(OBS)):
        assert output.dtype == torch.float32
        assert (output != output.bfloat16().float()).float().mean() > 0.9
