"""Complete networks: a trunk, and the heads that an agent needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from rlrun.nn.initialisation import initialise_orthogonal, initialise_uniform, unfilled
from rlrun.nn.trunks import Layers, Sequential
from rlrun.numerics.distributions import Categorical
from rlrun.protocols import Distribution
from rlrun.types import EnvSpec

__all__ = ["Network", "build_policy", "build_policy_value", "build_q_network", "build_value", "policy_head"]


class Network(Protocol):
    """What a `network` config describes: the shared part, and the last hidden layer of a head."""

    def trunk(self, spec: EnvSpec) -> Layers:
        """Observations to features."""
        ...

    def hidden(self, in_features: int) -> Layers:
        """Features to a head's features."""
        ...


class PolicyHead(NamedTuple):
    """The output layer and the distribution of a policy."""

    num_outputs: int  # for each observation
    distribution: Callable[[Tensor, Tensor | None], Distribution]  # from outputs [..., num_outputs], and a mask or None


def policy_head(spec: EnvSpec) -> PolicyHead:
    """The head for the kind of actions that `spec` has."""
    return PolicyHead(spec.num_actions, Categorical)


class OutputLinear(nn.Linear):
    """The last layer of a head: in float32 even if the layers before it are in bfloat16.

    Q-values near 80 would be multiples of 0.5 otherwise: actions would tie, and targets be wrong by a quarter.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Features [N, F] to outputs [N, O]."""
        kind = "cuda" if x.is_cuda else "cpu"  # `x.device.type` takes five times as long
        if not torch.is_autocast_enabled(kind):
            return nn.functional.linear(x, self.weight, self.bias)
        with torch.autocast(kind, enabled=False):
            return nn.functional.linear(x.float(), self.weight, self.bias)


class Dueling(nn.Module):
    """Q(s, a) = V(s) + A(s, a) - mean over a' of A(s, a') (Wang et al. 2016, eq. 9).

    The gradients of the two streams add up in the shared layers: there the sum is scaled by 1 / sqrt(2) (section 4.2).

    Args:
        value: features to [N, 1].
        advantage: features to [N, A].

    Both end in an `OutputLinear`, so the sum and the mean are in float32.
    """

    def __init__(self, value: nn.Module, advantage: nn.Module) -> None:
        super().__init__()
        self.value = value
        self.advantage = advantage

    def forward(self, features: Tensor) -> Tensor:
        """[N, F] to [N, A]."""
        features = torch.lerp(features.detach(), features, math.sqrt(0.5))  # the same numbers with a smaller gradient
        advantage: Tensor = self.advantage.forward(features)
        value: Tensor = self.value.forward(features)
        return value + advantage - advantage.mean(dim=1, keepdim=True)


class PolicyValue(nn.Module):
    """A policy and a value function.

    Args:
        policy: observations to logits [N, A].
        value: observations to values [N, 1].
        shared: a common first part, or None.
    """

    def __init__(self, policy: nn.Module, value: nn.Module, shared: nn.Module | None) -> None:
        super().__init__()
        self.shared = shared if shared is not None else nn.Identity()
        self.policy = policy
        self.value = value

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Obs [N, ...] to logits [N, A] and values [N]."""
        features = self.shared.forward(obs)
        return self.policy.forward(features), self.value.forward(features).squeeze(-1)

    def logits(self, obs: Tensor) -> Tensor:
        """The policy alone: obs [N, ...] to logits [N, A]."""
        logits: Tensor = self.policy.forward(self.shared.forward(obs))
        return logits

    def values(self, obs: Tensor) -> Tensor:
        """The value function alone: obs [N, ...] to values [N]."""
        values: Tensor = self.value.forward(self.shared.forward(obs))
        return values.squeeze(-1)


def _head(network: Network, in_features: int, out_features: int) -> tuple[Sequential, nn.Linear]:
    """A hidden and an output layer in sequence, and the output layer itself."""
    hidden = network.hidden(in_features)
    last = unfilled(OutputLinear, hidden.out_features, out_features)
    return Sequential(hidden, last), last


def _whole(network: Network, spec: EnvSpec, out_features: int) -> tuple[Sequential, nn.Linear]:
    trunk = network.trunk(spec)
    head, last = _head(network, trunk.out_features, out_features)
    return Sequential(trunk, head), last


def build_q_network(network: Network, spec: EnvSpec, rng: torch.Generator, *, dueling: bool) -> nn.Module:
    """Observations [N, ...] to Q [N, A]."""
    if dueling:
        trunk = network.trunk(spec)
        value, _ = _head(network, trunk.out_features, 1)
        advantage, _ = _head(network, trunk.out_features, spec.num_actions)
        q = Sequential(trunk, Dueling(value, advantage))
    else:
        q, _ = _whole(network, spec, spec.num_actions)
    initialise_uniform(q, rng)
    return q


def build_policy(network: Network, spec: EnvSpec, rng: torch.Generator) -> nn.Module:
    """Observations [N, ...] to the outputs for `policy_head`, [N, O]; nearly uniform at first."""
    policy, last = _whole(network, spec, policy_head(spec).num_outputs)
    initialise_orthogonal(policy, math.sqrt(2), rng)
    initialise_orthogonal(last, 0.01, rng)
    return policy


def build_value(network: Network, spec: EnvSpec, rng: torch.Generator) -> nn.Module:
    """Observations [N, ...] to values [N, 1]."""
    value, last = _whole(network, spec, 1)
    initialise_orthogonal(value, math.sqrt(2), rng)
    initialise_orthogonal(last, 1.0, rng)
    return value


def build_policy_value(network: Network, spec: EnvSpec, rng: torch.Generator, *, shared: bool) -> PolicyValue:
    """Both; with `shared` they have a common trunk and hidden layer, and separate output layers."""
    if not shared:
        return PolicyValue(build_policy(network, spec, rng), build_value(network, spec, rng), None)
    trunk = network.trunk(spec)
    hidden = network.hidden(trunk.out_features)
    policy = unfilled(OutputLinear, hidden.out_features, policy_head(spec).num_outputs)
    value = unfilled(OutputLinear, hidden.out_features, 1)
    body = Sequential(trunk, hidden)
    initialise_orthogonal(body, math.sqrt(2), rng)
    initialise_orthogonal(policy, 0.01, rng)
    initialise_orthogonal(value, 1.0, rng)
    return PolicyValue(policy, value, body)
