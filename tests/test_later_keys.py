"""Keys that came later: what they say of a run that is older than they are."""

from collections.abc import Mapping
from typing import Any

import pytest

from rlrun import catalogue
from rlrun.config import RUN_VALUES
from rlrun.errors import WrongKeyError
from rlrun.later_keys import LATER_KEYS, with_later_keys
from rlrun.schema import check_component, check_value


@pytest.mark.parametrize(("target", "keys"), LATER_KEYS.items())
def test_they_are_keys_of_their_class_with_values_that_are_right(target: str, keys: Mapping[str, Any]) -> None:
    known = catalogue.target(target)
    assert known is not None
    for key, value in keys.items():
        assert check_value(known.parameters[key].annotation, value, key) == value


def test_only_what_is_missing_is_added_however_deep() -> None:
    old = {"_target_": "rlrun.device.Device", "kind": "cpu"}
    chosen = old | {"precision": "bfloat16"}
    added = old | {"precision": "float32"}
    assert with_later_keys({"device": old, "agents": [{"inside": old}, chosen]}) == {
        "device": added,
        "agents": [{"inside": added}, chosen],
    }


@pytest.mark.parametrize("value", [1, "text", None, [1, None], {"_target_": "my.Device"}, {"kind": "cpu"}])
def test_anything_else_is_as_it_was(value: object) -> None:
    assert with_later_keys(value) == value


def test_other_keys_that_are_missing_are_refused() -> None:
    with pytest.raises(WrongKeyError, match=r"device\.num_threads is missing"):
        check_component(
            with_later_keys({"_target_": "rlrun.device.Device", "kind": "cpu"}), "device", runtime=RUN_VALUES
        )
