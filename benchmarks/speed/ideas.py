"""What might make updates faster, compared with what rlrun does, alternating; writes `ideas.csv`.

    .venv/bin/python benchmarks/speed/ideas.py [--rounds 9] [--only IDEA ...]

Each idea computes the same as the plain form (which is checked first) on tensors of the size that training has. Ideas
that pay are not here but in rlrun; another processor may well tell another story.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch
from provenance import RESULTS, warn_if_busy, write_rows
from torch import Tensor, nn
from torch.nn import functional

Computed = Callable[[], Sequence[Tensor]]
BATCH = 32
NATURE = ((4, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1))  # channels in and out, side, stride (Mnih et al. 2015)


class Idea(NamedTuple):
    """Two ways to compute the same."""

    what: str
    num_threads: int
    make: Callable[[], tuple[Computed, Computed]]  # the plain one, and the idea


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="+", choices=list(IDEAS), metavar="IDEA", help=", ".join(IDEAS))
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the CSV")
    arguments = parser.parse_args()
    warn_if_busy()
    rows = []
    for name in arguments.only or IDEAS:
        idea = IDEAS[name]
        torch.set_num_threads(idea.num_threads)
        torch.manual_seed(0)
        plain, other = idea.make()
        for left, right in zip(plain(), other(), strict=True):
            torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-4)
        pairs = [(_milliseconds(plain), _milliseconds(other)) for _ in range(arguments.rounds + 1)][1:]
        plain_ms, idea_ms = (statistics.median(each) for each in zip(*pairs, strict=True))
        ratios = sorted(plain_time / idea_time for plain_time, idea_time in pairs)
        print(f"{idea.what}: {plain_ms:.3g} ms, {idea_ms:.3g} ms so; {statistics.median(ratios):.2f} times as fast")
        row = {"idea": name, "what": idea.what, "threads": idea.num_threads, "plain_ms": f"{plain_ms:.4f}"}
        row |= {"idea_ms": f"{idea_ms:.4f}", "ratio": f"{statistics.median(ratios):.3f}"}
        rows.append(row | {"min": f"{ratios[0]:.3f}", "max": f"{ratios[-1]:.3f}", "rounds": len(ratios)})
    write_rows(arguments.results / "ideas.csv", rows, ["idea"])


def _milliseconds(compute: Computed) -> float:
    """Of one call, out of a twentieth of a second of them."""
    started, calls = perf_counter(), 0
    while (elapsed := perf_counter() - started) < 0.05 or calls < 3:
        compute()
        calls += 1
    return 1e3 * elapsed / calls


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


def _blocks_of_frames() -> tuple[Computed, Computed]:
    """The first convolution, 8x8 with stride 4 on 4 frames, as 2x2 with stride 1 on the 64 values of a 4x4 block."""
    frames, weight = torch.rand(BATCH, 4, 84, 84), torch.randn(32, 4, 8, 8) / 16
    blocks = _channels_last(functional.pixel_unshuffle(frames, 4))
    folded = _channels_last(weight.view(32, 4, 2, 4, 2, 4).permute(0, 1, 3, 5, 2, 4).reshape(32, 64, 2, 2))
    frames, weight = _channels_last(frames), _channels_last(weight)
    gradient = _channels_last(torch.randn(BATCH, 32, 20, 20))

    def both(images: Tensor, kernel: Tensor, stride: int) -> list[Tensor]:
        forward = functional.conv2d(images, kernel, stride=stride)
        strides, mask = [stride, stride], [False, True, False]
        _, found, _ = torch.ops.aten.convolution_backward(
            gradient, images, kernel, [0], strides, [0, 0], [1, 1], False, [0, 0], 1, mask
        )
        return [forward, found.sum()[None], found.square().sum()[None]]

    return lambda: both(frames, weight, 4), lambda: both(blocks, folded, 1)


def _hidden_weight_in_out() -> tuple[Computed, Computed]:
    """The hidden layer, 3136 to 512, with its weight stored (in, out): output and both gradients."""
    features, gradient = torch.randn(BATCH, 3136), torch.randn(BATCH, 512)
    weight = torch.randn(512, 3136) / 56
    turned = weight.t().contiguous()

    def plain() -> list[Tensor]:
        return [functional.linear(features, weight), gradient @ weight, gradient.t() @ features]

    def idea() -> list[Tensor]:
        return [features @ turned, gradient @ turned.t(), (features.t() @ gradient).t()]

    return plain, idea


def _nature() -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels_in, channels_out, side, stride in NATURE:
        layers += [nn.Conv2d(channels_in, channels_out, side, stride), nn.ReLU(inplace=True)]
    layers += [nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(inplace=True), nn.Linear(512, 6)]
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = _channels_last(layer.weight.data)
    return nn.Sequential(*layers)


def _gradients(network: nn.Module, target: nn.Module, frames: Tensor, following: Tensor) -> tuple[Tensor, ...]:
    with torch.no_grad():
        wanted = target(following).amax(dim=1)
    error = functional.huber_loss(network(frames)[:, 0], wanted, reduction="sum")
    return torch.autograd.grad(error, list(network.parameters()))


def _batch_in_halves() -> tuple[Computed, Computed]:
    """The gradient of a DQN update: half of the batch on each of two threads, and not two threads in each product."""
    network, target = _nature(), _nature()
    frames, following = (_channels_last(torch.rand(BATCH, 4, 84, 84)) for _ in range(2))
    pool = ThreadPoolExecutor(1)
    pool.submit(torch.set_num_threads, 1).result()

    def plain() -> Sequence[Tensor]:
        torch.set_num_threads(2)
        return _gradients(network, target, frames, following)

    def idea() -> Sequence[Tensor]:
        torch.set_num_threads(1)
        other = pool.submit(_gradients, network, target, frames[:16], following[:16])
        gradients = _gradients(network, target, frames[16:], following[16:])
        torch._foreach_add_(gradients, other.result())
        return gradients

    return plain, idea


def _twin_networks() -> tuple[Computed, Computed]:
    """Policy and value network of CartPole, two layers of 64, in one batched product per layer: all gradients.

    Each layer keeps a weight of its own, as it is saved and moved, so that the weights are put together in every pass.
    """
    apart = [[nn.Linear(4, 64), nn.Linear(64, 64), nn.Linear(64, outputs)] for outputs in (2, 1)]
    leaves = [leaf for layers in apart for layer in layers for leaf in (layer.weight, layer.bias)]
    obs, wanted = torch.randn(40, 4), [torch.randn(40, 2), torch.randn(40, 1)]

    def plain() -> Sequence[Tensor]:
        outputs = []
        for first, second, last in apart:
            features = functional.linear(obs, first.weight, first.bias).tanh()
            features = functional.linear(features, second.weight, second.bias).tanh()
            outputs.append(functional.linear(features, last.weight, last.bias))
        return torch.autograd.grad(outputs, leaves, wanted)

    def idea() -> Sequence[Tensor]:
        features = obs.expand(2, *obs.shape)
        for policy, value in zip(apart[0][:2], apart[1][:2], strict=True):
            weight, bias = torch.stack((policy.weight, value.weight)), torch.stack((policy.bias, value.bias))
            features = torch.baddbmm(bias.unsqueeze(1), features, weight.mT).tanh()
        lasts = zip(features.unbind(0), (apart[0][2], apart[1][2]), strict=True)
        outputs = [functional.linear(each, last.weight, last.bias) for each, last in lasts]
        return torch.autograd.grad(outputs, leaves, wanted)

    return plain, idea


def _compiled() -> tuple[Computed, Computed]:
    """CartPole's Q-network of 256x256 and its loss, through torch.compile: all gradients of a batch of 64."""
    network = nn.Sequential(nn.Linear(4, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 2))
    parameters = list(network.parameters())
    obs, action, target = torch.randn(64, 4), torch.randint(2, (64, 1)), torch.randn(64)

    def loss() -> Tensor:
        return functional.huber_loss(network(obs).gather(1, action).squeeze(1), target)

    compiled = torch.compile(loss, fullgraph=True, dynamic=False)
    return lambda: torch.autograd.grad(loss(), parameters), lambda: torch.autograd.grad(compiled(), parameters)


IDEAS = {
    "blocks": Idea("first convolution on 4x4 blocks: output and gradient of the weight", 2, _blocks_of_frames),
    "in_out": Idea("hidden weight stored (in, out): output and both gradients", 2, _hidden_weight_in_out),
    "halves": Idea("DQN Pong's gradient, half of the batch on each thread", 2, _batch_in_halves),
    "twins": Idea("policy and value network of CartPole in one batched product: gradients", 1, _twin_networks),
    "compile": Idea("DQN CartPole's gradient through torch.compile on the CPU", 1, _compiled),
}


if __name__ == "__main__":
    main()
