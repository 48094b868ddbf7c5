"""What agents see of the spaces of Gymnasium, against `gymnasium.spaces.flatten` and by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlrun.agents.linear.features import OneHot
from rlrun.agents.tables.numbered_states import count_states
from rlrun.envs.gymnasium_spaces import Encoding, actions_of, encoding_of
from rlrun.errors import UserError
from rlrun.nn.trunks import Encode
from rlrun.types import EnvSpec, Part

Array = np.ndarray[Any, Any]


def seen_by_a_network(encoding: Encoding, obs: list[Any]) -> Array:
    spec = spec_of(encoding)
    batch = torch.from_numpy(np.array([encoding.encode(each) for each in obs]))
    features: Array = Encode(spec, flatten=True)(batch).numpy()
    return features


def spec_of(encoding: Encoding, num_actions: int = 2) -> EnvSpec:
    return EnvSpec("mine", encoding.space, spaces.Discrete(num_actions), 1, parts=encoding.parts)


def auto(space: spaces.Space[Any]) -> Encoding:
    return encoding_of(space, "env.id=Mine-v0", "auto", 3)


OF_DISCRETE_PARTS: dict[str, Callable[[], spaces.Space[Any]]] = {
    "blackjack": lambda: spaces.Tuple((spaces.Discrete(32), spaces.Discrete(11), spaces.Discrete(2))),
    "multidiscrete": lambda: spaces.MultiDiscrete([3, 2, 5]),
    "matrix": lambda: spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])),
    "bits": lambda: spaces.MultiBinary(5),
    "plane": lambda: spaces.MultiBinary([2, 3]),
    "one number": lambda: spaces.Dict(a=spaces.Discrete(4), b=spaces.MultiDiscrete([7])),
    "tree": lambda: spaces.Dict(
        b=spaces.Tuple((spaces.Discrete(3), spaces.MultiBinary(2))), a=spaces.Dict(z=spaces.MultiDiscrete([2, 4]))
    ),
}


@pytest.mark.parametrize("kind", OF_DISCRETE_PARTS)
def test_networks_see_of_an_index_what_gymnasium_flattens_its_parts_to(kind: str) -> None:
    space = OF_DISCRETE_PARTS[kind]()
    space.seed(0)
    obs = [space.sample() for _ in range(50)]
    encoding = auto(space)
    assert isinstance(encoding.space, spaces.Discrete)
    np.testing.assert_array_equal(
        seen_by_a_network(encoding, obs), [spaces.flatten(space, each) for each in obs], strict=False
    )


def test_the_first_part_counts_most_and_starts_are_taken_off() -> None:
    space = spaces.Tuple((spaces.Discrete(32), spaces.Discrete(11), spaces.Discrete(2)))
    encoding = auto(space)
    assert encoding.space == spaces.Discrete(704)
    assert [encoding.encode(obs).item() for obs in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (31, 10, 1))] == [
        0, 1, 2, 22, 703,
    ]  # fmt: skip
    assert encoding.encode((18, np.int64(7), np.array(1))).dtype == np.int64
    shifted = auto(spaces.MultiDiscrete(np.array([[2, 3], [4, 5]]), start=np.array([[1, -1], [10, 0]])))
    assert shifted.encode(np.array([[1, -1], [10, 0]])).item() == 0
    assert shifted.encode(np.array([[2, 1], [13, 4]])).item() == 119
    assert shifted.encode(np.array([[2, 0], [11, 2]])).item() == np.ravel_multi_index((1, 1, 1, 2), (2, 3, 4, 5))
    begun = auto(spaces.Tuple((spaces.Discrete(3, start=-1), spaces.MultiBinary(2))))
    assert begun.encode((1, np.array([True, False]))).item() == 2 * 4 + 2


@pytest.mark.parametrize("kind", OF_DISCRETE_PARTS)
def test_indices_are_different_for_different_observations(kind: str) -> None:
    space = OF_DISCRETE_PARTS[kind]()
    space.seed(1)
    encoding = auto(space)
    by_index: dict[int, Array] = {}
    for _ in range(300):
        obs = space.sample()
        flat = spaces.flatten(space, obs)
        index = encoding.encode(obs).item()
        assert 0 <= index < encoding.space.n  # type: ignore[union-attr]
        np.testing.assert_array_equal(by_index.setdefault(index, flat), flat)  # type: ignore[arg-type]
    assert len(by_index) > 15


def test_an_index_too_large_for_64_bits_is_a_vector_and_a_table_that_would_not_fit_is_refused() -> None:
    wide = spaces.MultiDiscrete([100] * 5)
    encoding = auto(wide)
    assert encoding.space == spaces.Discrete(10**10)
    assert encoding.parts == (Part(100, 100),) * 5
    wide.seed(0)
    obs = [wide.sample() for _ in range(20)]
    np.testing.assert_array_equal(seen_by_a_network(encoding, obs), [spaces.flatten(wide, each) for each in obs])
    for refused in (lambda: count_states(spec_of(encoding)), lambda: OneHot(spec=spec_of(encoding))):
        with pytest.raises(UserError, match=r"10,000,000,000"):
            refused()
    assert count_states(spec_of(auto(spaces.MultiBinary(20)))) == 2**20
    assert auto(spaces.MultiBinary(62)).space == spaces.Discrete(2**62)
    bits = spaces.MultiBinary(63)
    vector = auto(bits)
    assert vector.space == spaces.Box(0, 1, (63,), np.float32)
    np.testing.assert_array_equal(vector.encode(np.arange(63) % 2), np.arange(63) % 2)
    with pytest.raises(UserError, match=r"mine .*Box .*\[63\] \(float32\)"):
        count_states(spec_of(vector))


def test_the_largest_index_keeps_its_parts() -> None:
    encoding = auto(spaces.MultiBinary(62))
    obs = np.array([1] * 62)
    assert encoding.encode(obs).item() == 2**62 - 1
    obs[::3] = 0
    np.testing.assert_array_equal(seen_by_a_network(encoding, [obs]), obs[None])


MIXED = spaces.Dict(
    position=spaces.Box(-2.0, 3.0, (2, 2), np.float64),
    direction=spaces.Discrete(4),
    inside=spaces.Tuple((spaces.MultiBinary(3), spaces.MultiDiscrete([2, 3]), spaces.Box(0, 9, (), np.int32))),
)


def test_a_tree_with_a_box_is_flattened_as_gymnasium_does() -> None:
    MIXED.seed(0)
    encoding = auto(MIXED)
    flat = spaces.flatten_space(MIXED)
    assert isinstance(flat, spaces.Box)
    assert encoding.space == spaces.Box(flat.low.astype(np.float32), flat.high.astype(np.float32), dtype=np.float32)
    for _ in range(30):
        obs = MIXED.sample()
        vector = encoding.encode(obs)
        assert vector.dtype == np.float32
        np.testing.assert_array_equal(vector, np.asarray(spaces.flatten(MIXED, obs), np.float32))
    (remark,) = encoding.remarks
    assert "flattened to 17 numbers" in remark


def test_bytes_in_a_tree_are_fractions_of_the_largest_and_starts_are_taken_off() -> None:
    picture, plane = spaces.Box(0, 200, (1, 2), np.uint8), spaces.Box(0, 1, (2,), np.uint8)
    space = spaces.Dict(picture=picture, plane=plane, turn=spaces.Discrete(3, start=2))
    encoding = auto(space)
    seen = encoding.encode({"picture": np.array([[50, 200]], np.uint8), "plane": np.array([1, 0], np.uint8), "turn": 3})
    np.testing.assert_array_equal(seen, np.array([0.25, 1, 1, 0, 0, 1, 0], np.float32))
    assert encoding.space == spaces.Box(0, 1, (7,), np.float32)


def test_a_tree_of_one_part_is_that_part() -> None:
    picture = spaces.Box(0, 255, (8, 9, 3), np.uint8)
    encoding = auto(spaces.Dict(image=picture))
    assert encoding.space == spaces.Box(0, 255, (3, 8, 9), np.uint8)
    obs = np.arange(216, dtype=np.uint8).reshape(8, 9, 3)
    np.testing.assert_array_equal(encoding.encode({"image": obs}), obs.transpose(2, 0, 1))
    index = auto(spaces.Tuple((spaces.Discrete(5, start=1),)))
    assert (index.space, index.encode((5,)).item()) == (spaces.Discrete(5), 4)


def test_a_number_without_axes_is_a_vector_of_one() -> None:
    encoding = auto(spaces.Box(-1, 7, (), np.float64))
    assert encoding.space == spaces.Box(-1, 7, (1,), np.float32)
    np.testing.assert_array_equal(encoding.encode(np.float64(2.5)), np.array([2.5], np.float32))


def test_bounds_too_large_for_float32_are_none() -> None:
    box = auto(spaces.Box(-1e300, 1e300, (2,), np.float64)).space
    assert box == spaces.Box(-np.inf, np.inf, (2,), np.float32)


class Strange(spaces.Space[Any]):
    """Its `repr` shows an address."""

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(None, None)

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def __repr__(self) -> str:
        return object.__repr__(self)


GREY = spaces.Box(0, 255, (7, 7, 1), np.uint8)
FILTER = r"_target_: gymnasium\.wrappers\.FilterObservation, filter_keys: "


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Strange(), r"Strange.*env\.wrappers=\["),
        (spaces.Text(9), r"\bText\b"),
        (spaces.Sequence(spaces.Discrete(2)), r"\bSequence\b"),
        (spaces.Graph(spaces.Discrete(2), None), r"\bGraph\b"),
        (spaces.Dict(), r"Dict\(\)"),
        (
            spaces.Dict(image=GREY, word=spaces.Text(9), odd=Strange(), way=spaces.Discrete(4)),
            rf"word \(Text\), odd \(Strange\).*'env\.wrappers=.*{FILTER}\[image, way\]}}\]'",
        ),
        (spaces.Tuple((Strange(), spaces.Discrete(2))), rf"0 \(Strange\): .*{FILTER}\[1\]"),
        (spaces.Dict(a=spaces.Dict(b=Strange())), r"a\.b \(Strange\)"),
        (
            spaces.Dict(image=spaces.Box(0, 255, (84, 84, 3), np.uint8), way=spaces.Discrete(4)),
            rf"21,172 .*16,384 .*{FILTER}\[image\]",
        ),
    ],
)
def test_what_is_refused_says_the_way_out_and_shows_no_addresses(space: spaces.Space[Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        auto(space)
    assert "0x" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Box(-1, 1, (3,)), r"Box .*\[3\].*gymnasium\.wrappers\.DiscretizeAction, bins: 5"),
        (spaces.MultiDiscrete([2, 3]), r"MultiDiscrete\(\[2, 3\]\).*env\.wrappers=\["),
        (Strange(), r"Strange.*Discrete"),
    ],
)
def test_actions_that_are_not_discrete_are_refused_with_the_way_out(space: spaces.Space[Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        actions_of(space, "env.id=Mine-v0")
    assert "0x" not in str(refused.value)


def test_long_spaces_are_not_spelt_out() -> None:
    (remark,) = auto(spaces.MultiDiscrete([2] * 30)).remarks
    assert "MultiDiscrete([2, 2, 2, 2, 2, 2, 2, ..., 2])" in remark
    assert "1,073,741,824" in remark
