"""From observations to features: the parts of a network that heads share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field
from torch import Tensor, nn

from rlrun.annotations import Takes, used_unless
from rlrun.errors import UserError
from rlrun.nn.initialisation import unfilled
from rlrun.types import EnvSpec

Positive = Annotated[int, Field(gt=0)]
_WEIGHTS = Takes(12)  # of each weight: itself, its gradient, and at least one running mean of an optimizer


class Encode(nn.Module):
    """Makes floats of whatever an environment shows: indices one-hot, uint8 divided by 255, vectors as they are.

    They are of torch's default type, like the weights of layers, and of another where the network is moved to another.

    Args:
        spec: the environment's.
        flatten: [N, ...] to [N, F] as well; images that stay images keep their 0 to 255, for `OfPixels` to divide.
    """

    _every: Tensor  # all indices, where observations are indices

    def __init__(self, spec: EnvSpec, *, flatten: bool) -> None:
        super().__init__()
        space = spec.observation
        self._classes = int(space.n) if isinstance(space, spaces.Discrete) else 0
        if self._classes:
            self.register_buffer("_every", torch.arange(self._classes), persistent=False)
        self._scale = 1.0 / 255.0 if space.dtype == np.uint8 else 1.0
        self._flatten = flatten
        self._dtype = torch.get_default_dtype()
        self.out_features = self._classes or int(np.prod(spec.obs_shape))

    def forward(self, obs: Tensor) -> Tensor:
        """Obs [N, ...] to floats."""
        if self._classes:
            return (obs[..., None] == self._every).type(self._dtype)  # `one_hot` reads values, which a recording cannot
        if not self._flatten and obs.dtype == torch.uint8:
            # Channels last, moved as bytes and not as floats: the same numbers in half the time.
            return torch.stack(obs.unbind(1), -1).type(self._dtype).permute(0, 3, 1, 2)
        obs = obs.type(self._dtype)
        if not self._flatten:
            return obs
        return (obs * self._scale if self._scale != 1.0 else obs).flatten(1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # What torch does to every parameter for `double()` and its like; asking a parameter at every call costs more.
        self._dtype = fn(torch.empty(0, dtype=self._dtype)).dtype
        moved: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return moved


class Straight(nn.Sequential):
    """A sequence that calls the `forward` of its layers itself, which saves time, except of those with forward hooks.

    Asking for hooks of the backward pass too would cost twice as much, so they are not heard by themselves, nor are
    torch's global ones.
    """

    def forward(self, x: Tensor) -> Tensor:
        """One layer after the other."""
        for layer in self._modules.values():
            x = layer(x) if layer._forward_hooks or layer._forward_pre_hooks else layer.forward(x)
        return x


class Layers(Straight):
    """A sequence of layers that knows how many features it gives."""

    def __init__(self, out_features: int, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.out_features = out_features


class MLP:
    """Fully connected layers; the last of them belongs to each head.

    Args:
        hidden: width of each layer; empty makes everything linear.
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
        """The same tensor, laid out anew."""
        return images.contiguous(memory_format=torch.channels_last)


class OfPixels(nn.Conv2d):
    """A convolution of bytes as fractions of 255: its weight is divided instead, which has far fewer entries."""

    def forward(self, images: Tensor) -> Tensor:
        """What `nn.Conv2d` makes of `images` / 255."""
        return nn.functional.conv2d(images, self.weight * (1.0 / 255.0), self.bias, self.stride)


class Convolutional:
    """Convolutions with ReLUs, and one fully connected layer that belongs to each head.

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
            raise UserError("network.channels, network.kernels and network.strides must be lists of one length")
        self._channels = channels
        self._kernels = kernels
        self._strides = strides
        self._hidden = hidden

    def trunk(self, spec: EnvSpec) -> Layers:
        """Images [N, C, H, W] to features [N, F].

        Raises:
            UserError: if observations are no images, or too small ones.
        """
        if len(spec.obs_shape) != 3:
            raise UserError(
                f"this network needs images [C, H, W], but observations of {spec.name} have shape "
                f"{list(spec.obs_shape)}: use network=mlp"
            )
        in_channels, height, width = spec.obs_shape
        layers: list[nn.Module] = [Encode(spec, flatten=False), ChannelsLast()]
        for out_channels, kernel, stride in zip(self._channels, self._kernels, self._strides, strict=True):
            if min(height, width) < kernel:
                raise UserError(
                    f"images of {spec.name} ({list(spec.obs_shape)}) are too small for this network: use network=mlp"
                )
            kind = OfPixels if len(layers) == 2 and spec.observation.dtype == np.uint8 else nn.Conv2d
            layers += [unfilled(kind, in_channels, out_channels, kernel, stride), nn.ReLU(inplace=True)]
            in_channels, height, width = out_channels, (height - kernel) // stride + 1, (width - kernel) // stride + 1
        trunk = Layers(in_channels * height * width, *layers, nn.Flatten())
        return trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def hidden(self, in_features: int) -> Layers:
        """The fully connected layer."""
        return Layers(self._hidden, unfilled(nn.Linear, in_features, self._hidden), nn.ReLU(inplace=True))
