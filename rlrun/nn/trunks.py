"""From observations to features: the part of a network that heads share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field
from torch import Tensor, nn

from rlrun.annotations import Takes, used_unless
from rlrun.errors import ArgumentError, UserError
from rlrun.nn.initialisation import unfilled
from rlrun.types import EnvSpec, Part

Positive = Annotated[int, Field(gt=0)]
_WEIGHTS = Takes(12)  # of each weight: itself, its gradient, and at least one running mean of an optimizer


class Encode(nn.Module):
    """Observations as floats: indices one-hot, bytes divided by the largest, vectors unchanged.

    An index of several parts becomes the concatenated one-hots of its parts; a bit stays a bit. The dtype is that of
    the weights: torch's default, or the one that the network was moved to.

    Args:
        spec: the environment's.
        flatten: also [N, ...] to [N, F]; unflattened images keep their bytes, which `OfPixels` divides.
    """

    # For indices, one of each for every feature: the feature is 1 if (index // stride) % size == value.
    _value: Tensor
    _stride: Tensor
    _size: Tensor

    def __init__(self, spec: EnvSpec, *, flatten: bool) -> None:
        super().__init__()
        space = spec.obs_space
        self._is_index = isinstance(space, spaces.Discrete)
        self._has_parts = len(spec.parts) > 0
        self.out_features = int(np.prod(spec.obs_shape))
        if isinstance(space, spaces.Discrete):
            columns = _features(spec.parts or (Part(int(space.n), int(space.n)),))
            for name, column in zip(("_value", "_stride", "_size"), columns, strict=True):
                self.register_buffer(name, column, persistent=False)
            self.out_features = len(columns[0])
        self._scale = 1.0 / spec.largest_byte
        self._flatten = flatten
        self._dtype = torch.get_default_dtype()

    def forward(self, obs: Tensor) -> Tensor:
        """Obs [N, ...] to floats."""
        if self._is_index:
            value = obs[..., None]
            if self._has_parts:
                value = value // self._stride % self._size
            return (value == self._value).type(self._dtype)  # `one_hot` reads values, which cannot be recorded
        if not self._flatten and obs.dtype == torch.uint8:
            # Channels last, as bytes instead of floats: the same numbers in half the time.
            return torch.stack(obs.unbind(1), -1).type(self._dtype).permute(0, 3, 1, 2)
        obs = obs.type(self._dtype)
        if not self._flatten:
            return obs
        return (obs * self._scale if self._scale != 1.0 else obs).flatten(1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Called by torch for `double()` and the like; reading the dtype of a parameter at every call costs more.
        self._dtype = fn(torch.empty(0, dtype=self._dtype)).dtype
        moved: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return moved


def _features(parts: Sequence[Part]) -> tuple[Tensor, Tensor, Tensor]:
    """The value, stride and size of each feature [F] of an index with these parts."""
    value: list[int] = []
    stride: list[int] = []
    size: list[int] = []
    step = math.prod(part.size for part in parts)
    for part in parts:
        step //= part.size
        value += range(part.size - part.features, part.size)
        stride += [step] * part.features
        size += [part.size] * part.features
    return torch.tensor(value), torch.tensor(stride), torch.tensor(size)


class Sequential(nn.Sequential):
    """Calls the `forward` of its layers directly, which saves time, except for layers with forward hooks.

    Checking for backward hooks too would cost twice as much, so those are ignored, and torch's global hooks as well.
    """

    def forward(self, x: Tensor) -> Tensor:
        """One layer after the other."""
        for layer in self._modules.values():
            x = layer(x) if layer._forward_hooks or layer._forward_pre_hooks else layer.forward(x)
        return x


class Layers(Sequential):
    """A sequence of layers with a known number of features."""

    def __init__(self, out_features: int, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.out_features = out_features


class MLP:
    """Fully connected layers; each head has its own last one.

    Args:
        hidden: width of each layer; empty: linear.
        activation: between the layers.
    """

    def __init__(
        self,
        *,
        hidden: Annotated[list[Positive], _WEIGHTS],
        activation: Annotated[Literal["relu", "tanh"], used_unless(hidden=[])],
    ) -> None:
        self._hidden = hidden
        self._activation = partial(nn.ReLU, inplace=True) if activation == "relu" else nn.Tanh

    def trunk(self, spec: EnvSpec) -> Layers:
        """Observations [N, ...] of any shape to features [N, F]."""
        encode = Encode(spec, flatten=True)
        widths = [encode.out_features, *self._hidden[:-1]]
        layers: list[nn.Module] = [encode]
        for fan_in, fan_out in pairwise(widths):
            layers += [unfilled(nn.Linear, fan_in, fan_out), self._activation()]
        return Layers(widths[-1], *layers)

    def hidden(self, in_features: int) -> Layers:
        """The last hidden layer."""
        if not self._hidden:
            return Layers(in_features)
        return Layers(self._hidden[-1], unfilled(nn.Linear, in_features, self._hidden[-1]), self._activation())


class ChannelsLast(nn.Module):
    """Images [N, C, H, W] in the memory order in which convolutions are fastest on CPU; the same numbers."""

    def forward(self, images: Tensor) -> Tensor:
        """The same tensor in another memory order."""
        return images.contiguous(memory_format=torch.channels_last)


class OfPixels(nn.Conv2d):
    """A convolution of bytes as fractions of the largest: it divides the weight instead, which has far fewer entries.

    Args:
        in_channels: of the images.
        out_channels: of the output.
        kernel: side, in pixels.
        stride: in pixels.
        largest: byte that counts as 1.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, largest: int) -> None:
        super().__init__(in_channels, out_channels, kernel, stride)
        self._scale = 1.0 / largest

    def forward(self, images: Tensor) -> Tensor:
        """The output of `nn.Conv2d` for `images` / largest."""
        return nn.functional.conv2d(images, self.weight * self._scale, self.bias, self.stride)


class Convolutional:
    """Convolutions with ReLUs, and one fully connected layer in each head.

    Args:
        channels: of each convolution.
        kernels: side of each, in pixels.
        strides: of each, in pixels.
        hidden: width of the fully connected layer.
    """

    def __init__(
        self,
        *,
        channels: Annotated[list[Positive], _WEIGHTS],
        kernels: list[Positive],
        strides: list[Positive],
        hidden: Annotated[Positive, _WEIGHTS],
    ) -> None:
        if not len(channels) == len(kernels) == len(strides) > 0:
            raise ArgumentError("channels", ", kernels and strides must have the same length")
        self._channels = channels
        self._kernels = kernels
        self._strides = strides
        self._hidden = hidden

    def trunk(self, spec: EnvSpec) -> Layers:
        """Images [N, C, H, W] to features [N, F].

        Raises:
            UserError: if observations are not images, or too small, or their channel axis is unknown.
        """
        if len(spec.obs_shape) != 3:
            raise UserError(
                f"this network needs images [C, H, W], but observations of {spec.name} have shape "
                f"{list(spec.obs_shape)}: use one of fully connected layers (MLP)"
            )
        if not spec.channels_known:
            raise UserError(
                f"this network needs the channel axis of the pictures {list(spec.obs_shape)} of {spec.name}: "
                "its `channels` must be first or last"
            )
        in_channels, height, width = spec.obs_shape
        layers: list[nn.Module] = [Encode(spec, flatten=False), ChannelsLast()]
        for out_channels, kernel, stride in zip(self._channels, self._kernels, self._strides, strict=True):
            if min(height, width) < kernel:
                raise UserError(
                    f"images of {spec.name} ({list(spec.obs_shape)}) are too small for this network: use one of fully "
                    "connected layers (MLP)"
                )
            size = (in_channels, out_channels, kernel, stride)
            if len(layers) == 2 and spec.obs_space.dtype == np.uint8:
                layers.append(unfilled(OfPixels, *size, spec.largest_byte))
            else:
                layers.append(unfilled(nn.Conv2d, *size))
            layers.append(nn.ReLU(inplace=True))
            in_channels, height, width = out_channels, (height - kernel) // stride + 1, (width - kernel) // stride + 1
        trunk = Layers(in_channels * height * width, *layers, nn.Flatten())
        return trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def hidden(self, in_features: int) -> Layers:
        """The fully connected layer."""
        return Layers(self._hidden, unfilled(nn.Linear, in_features, self._hidden), nn.ReLU(inplace=True))
