"""Layers with forward hooks are called as torch calls them, wherever in a network they are."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from rlrun.nn.networks import build_policy_value, build_q_network
from rlrun.nn.trunks import Layers, Sequential
from rlrun.types import EnvSpec

SPEC = EnvSpec("vector", spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2), 1)
OBS = torch.linspace(-1.0, 1.0, 12).view(4, 3)


class Normalised:
    """A network as somebody may bring it: what divides its weights are hooks."""

    def trunk(self, spec: EnvSpec) -> Layers:
        return Layers(4, nn.utils.spectral_norm(nn.Linear(int(np.prod(spec.obs_shape)), 4)), nn.Tanh())

    def hidden(self, in_features: int) -> Layers:
        return Layers(5, nn.utils.spectral_norm(nn.Linear(in_features, 5)), nn.Tanh())


@pytest.mark.parametrize("dueling", [False, True])
def test_a_network_with_hooks_learns_with_all_of_its_parameters(dueling: bool) -> None:
    q = build_q_network(Normalised(), SPEC, torch.Generator().manual_seed(0), dueling=dueling)
    q(OBS).square().sum().backward()
    for name, parameter in q.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name


@pytest.mark.parametrize("shared", [False, True])
def test_a_policy_and_a_value_with_hooks_learn_with_all_of_their_parameters(shared: bool) -> None:
    network = build_policy_value(Normalised(), SPEC, torch.Generator().manual_seed(0), shared=shared)
    logits, values = network(OBS)
    (logits.square().sum() + values.square().sum()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("kind", ["register_forward_pre_hook", "register_forward_hook"])
@pytest.mark.parametrize("number", range(4))
def test_a_hook_on_any_layer_is_called_until_it_is_removed(number: int, kind: str) -> None:
    layers = Sequential(nn.Linear(3, 2), Layers(2, nn.Tanh()), nn.Linear(2, 2), nn.Linear(2, 1))
    expected, called = layers(OBS), []
    handle = getattr(layers[number], kind)(lambda layer, *_: called.append(layer))
    assert torch.equal(layers(OBS), expected)
    assert called == [layers[number]]
    handle.remove()
    assert torch.equal(layers(OBS), expected)
    assert len(called) == 1


def test_what_a_hook_returns_counts() -> None:
    layers = Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    layers[-1].register_forward_hook(lambda _, __, out: out + 1.0)
    plain = nn.Sequential(*copy.deepcopy(list(layers)))
    assert torch.equal(layers(OBS), plain(OBS))
