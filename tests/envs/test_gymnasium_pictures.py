"""Where the channels of pictures are, what bytes are divided by, and what networks make of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium_env import gymnasium_env

from rlrun.agents.linear.features import Flat
from rlrun.cli.main import run_command
from rlrun.envs.gymnasium import GymnasiumEnv
from rlrun.envs.gymnasium_spaces import Encoding, encoding_of
from rlrun.errors import UserError
from rlrun.nn.networks import build_q_network
from rlrun.nn.trunks import MLP, Convolutional
from rlrun.protocols import VecEnv
from rlrun.testing import VecEnvContract
from rlrun.types import EnvSpec

Array = np.ndarray[Any, Any]


def encoding(
    shape: tuple[int, ...],
    channels: Literal["auto", "first", "last"] = "auto",
    high: int | Array = 255,
    dtype: Any = np.uint8,
) -> Encoding:
    return encoding_of(spaces.Box(0, high, shape, dtype), "env.id=Mine-v0", channels, 3)


def spec_of(seen: Encoding) -> EnvSpec:
    return EnvSpec("mine", seen.space, spaces.Discrete(3), 1, channels_known=seen.channels_known)


def convolutional() -> Convolutional:
    return Convolutional(channels=[4, 6], kernels=[3, 2], strides=[2, 1], hidden=16)


def q_network(spec: EnvSpec, network: Any = None) -> torch.nn.Module:
    return build_q_network(network or convolutional(), spec, torch.Generator().manual_seed(0), dueling=False)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_that_come_last_are_turned_to_the_front(channels: int, dtype: Any) -> None:
    high: Any = 1 if dtype is np.bool_ else 255
    seen = encoding((8, 9, channels), high=high, dtype=dtype)
    assert seen.space.shape == (channels, 8, 9)
    picture = (np.arange(8 * 9 * channels) % 200).reshape(8, 9, channels).astype(dtype)
    shown = seen.encode(picture)
    assert shown.dtype == seen.space.dtype == (np.uint8 if dtype is np.uint8 else np.float32)
    for channel in range(channels):
        np.testing.assert_array_equal(shown[channel], picture[:, :, channel].astype(shown.dtype))
    (remark,) = seen.remarks
    assert f"agents see [{channels}, 8, 9]" in remark


def test_bounds_are_turned_with_the_picture() -> None:
    low = np.arange(8 * 9 * 3, dtype=np.float32).reshape(8, 9, 3)
    seen = encoding_of(spaces.Box(low, low + 1, dtype=np.float32), "env.id=Mine-v0", "auto", 3)
    np.testing.assert_array_equal(seen.space.low, low.transpose(2, 0, 1))  # type: ignore[union-attr]
    np.testing.assert_array_equal(seen.space.high, low.transpose(2, 0, 1) + 1)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("shape", "channels", "seen_shape", "known"),
    [
        ((4, 84, 84), "auto", (4, 84, 84), True),
        ((84, 84, 4), "auto", (4, 84, 84), True),
        ((84, 84, 4), "first", (84, 84, 4), True),
        ((10, 10, 7), "auto", (10, 10, 7), False),  # MinAtar's Freeway
        ((10, 10, 7), "last", (7, 10, 10), True),
        ((7, 10, 10), "first", (7, 10, 10), True),
        ((3, 10, 4), "auto", (3, 10, 4), False),
        ((3, 10, 4), "last", (4, 3, 10), True),
        ((84, 84), "auto", (84, 84), True),
        ((4, 84, 84, 3), "auto", (4, 84, 84, 3), True),
    ],
)
def test_where_channels_are(
    shape: tuple[int, ...], channels: Literal["auto", "first", "last"], seen_shape: tuple[int, ...], known: bool
) -> None:
    seen = encoding(shape, channels)
    assert (seen.space.shape, seen.channels_known) == (seen_shape, known)
    assert len(seen.remarks) == (seen_shape != shape)


def test_only_a_convolution_asks_where_the_channels_are() -> None:
    spec = spec_of(encoding((10, 10, 7)))
    with pytest.raises(UserError, match=r"\[10, 10, 7\].*channels"):
        q_network(spec)
    values = q_network(spec, MLP(hidden=[8], activation="relu"))(torch.zeros(2, 10, 10, 7, dtype=torch.uint8))
    assert values.shape == (2, 3)
    assert q_network(spec_of(encoding((10, 10, 7), "last")))(torch.zeros(2, 7, 10, 10, dtype=torch.uint8)).shape == (
        2,
        3,
    )


@pytest.mark.parametrize("channels", ["first", "last"])
@pytest.mark.parametrize("space", [spaces.Box(0, 1, (4,)), spaces.Discrete(3), spaces.MultiBinary(3)])
def test_channels_of_what_is_no_picture_are_refused(space: Any, channels: Literal["first", "last"]) -> None:
    with pytest.raises(UserError, match=rf"env\.channels={channels} .*env\.id=Mine-v0"):
        encoding_of(space, "env.id=Mine-v0", channels, 3)


def test_a_network_makes_the_same_of_a_picture_whichever_axis_its_channels_came_on() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (5, 12, 11, 3), np.uint8)
    last, first = encoding((12, 11, 3)), encoding((3, 12, 11))
    network = q_network(spec_of(last))
    seen_last = np.stack([last.encode(each) for each in pictures])
    seen_first = np.stack([first.encode(each) for each in pictures.transpose(0, 3, 1, 2)])
    q_last, q_first = (network(torch.from_numpy(each)) for each in (seen_last, seen_first))
    torch.testing.assert_close(q_last, q_first, rtol=0, atol=0)
    # The first convolution sees the colours as its channels: by hand, with the bytes divided before.
    first_layer = next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
    assert first_layer.in_channels == 3
    by_hand = torch.nn.functional.conv2d(
        torch.from_numpy(pictures.transpose(0, 3, 1, 2) / np.float32(255)), first_layer.weight, first_layer.bias, 2
    )
    torch.testing.assert_close(first_layer(torch.from_numpy(seen_last).float()), by_hand)


@pytest.mark.parametrize(
    ("high", "largest"),
    [(255, 255), (1, 1), (100, 100), (0, 1), (np.array([10, 40], np.uint8).repeat(72).reshape(1, 12, 12), 40)],
)
def test_bytes_are_divided_by_the_largest_that_the_space_allows(high: Any, largest: int) -> None:
    seen = encoding((1, 12, 12), high=high)
    spec = spec_of(seen)
    assert spec.largest_byte == largest
    obs = torch.from_numpy(np.random.default_rng(1).integers(0, largest + 1, (4, 1, 12, 12), np.uint8))
    fractions = obs.double() / largest
    torch.testing.assert_close(Flat(spec=spec)(obs), fractions.flatten(1), rtol=0, atol=0)
    floats = EnvSpec("mine", spaces.Box(0, 1, (1, 12, 12), np.float32), spaces.Discrete(3), 1)
    for network in (convolutional(), MLP(hidden=[8, 8], activation="tanh")):
        with torch.no_grad():
            torch.testing.assert_close(q_network(spec, network)(obs), q_network(floats, network)(fractions.float()))


def test_only_bytes_are_divided() -> None:
    for space in (spaces.Box(0, 255, (3,), np.float32), spaces.Discrete(7)):
        assert EnvSpec("mine", space, spaces.Discrete(2), 1).largest_byte == 1
    assert EnvSpec("mine", spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(2), 1).largest_byte == 255


class TestPicturesContract(VecEnvContract):
    num_steps = 60
    stochastic_start = False

    def make(self, num_envs: int) -> VecEnv:
        return pictures(num_envs)


def pictures(num_envs: int) -> GymnasiumEnv:
    return gymnasium_env("wrapped_work/Picture-v0", num_envs, imports=["wrapped_work"])


def test_every_slot_shows_the_picture_turned_round() -> None:
    env = pictures(2)
    expected = np.zeros((2, 3, 12, 11), np.uint8)
    expected[:, 1, 0, 2] = 4
    np.testing.assert_array_equal(env.reset(0), expected)
    expected = np.zeros((2, 3, 12, 11), np.uint8)
    expected[0, 1, 1, 2] = expected[1, 1, 0, 2] = 4  # the second one stays at the wall
    np.testing.assert_array_equal(env.step(np.array([1, 0])).obs, expected)
    assert env.spec.largest_byte == 4


def test_a_run_says_once_that_pictures_are_turned_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [
        "algo=random",
        "env=gym",
        "env.imports=[wrapped_work]",
        "env.id=wrapped_work/Picture-v0",
        "logger=none",
    ]
    overrides += ["total_steps=20", "evaluation.every_steps=null", "evaluation.episodes=1", "device=cpu"]
    assert run_command(["rlrun", *overrides, f"runs_dir={tmp_path}"]) == 0
    said = capsys.readouterr().out
    assert said.count("are [12, 11, 3], with the channels last: agents see [3, 12, 11]") == 1
