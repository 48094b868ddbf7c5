"""Keys that came later: what they say of a run that is older than they are."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from rlrun.config import catalogue
from rlrun.config.config import RUN_VALUES, check_plain
from rlrun.config.later_keys import LATER_KEYS, with_later_keys
from rlrun.config.schema import check_component, check_value
from rlrun.errors import WrongKeyError

HERE = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(("target", "keys"), LATER_KEYS.items())
def test_they_are_keys_of_their_class_with_values_that_are_right(target: str, keys: Mapping[str, Any]) -> None:
    known = catalogue.target(target)
    assert known is not None
    for key, value in keys.items():
        assert check_value(known.parameters[key].annotation, value, key) == value


def test_only_what_is_missing_is_added_however_deep() -> None:
    old = {"_target_": "rlrun.compute.device.Device", "kind": "cpu"}
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
            with_later_keys({"_target_": "rlrun.compute.device.Device", "kind": "cpu"}), "device", runtime=RUN_VALUES
        )


def test_a_config_as_it_was_before_any_of_them_passes_today() -> None:
    # Written by commit f1c1841, with DQN's keys as they are grouped today. A key that comes later and has no line in
    # the table fails here.
    kept = yaml.safe_load((HERE / "data" / "config_of_an_older_run.yaml").read_text())
    config = check_plain({"fresh": False, **with_later_keys(kept)}, {"algo": "dqn", "env": "pong"})
    assert config.evaluation["greedy_episodes"] == 0
    assert config.device.arguments["precision"] == LATER_KEYS[config.device.target]["precision"]
    assert config.evaluation["max_episode_frames"] is None
    for section, missing in (("device", r"device\.precision"), ("evaluation", r"evaluation\.max_episode_frames")):
        whole = {"fresh": False, **with_later_keys(kept), section: kept[section]}
        with pytest.raises(WrongKeyError, match=f"{missing} is missing"):
            check_plain(whole, {"algo": "dqn", "env": "pong"})


def test_a_key_that_says_what_was_done_before_is_no_part_of_the_experiment() -> None:
    raw = yaml.safe_load((HERE.parent / "conf" / "env" / "gym.yaml").read_text()) | {"id": "CartPole-v1"}
    assert not {"wrappers", "channels"} & check_component(raw, "env").experiment().keys()
    chosen = check_component(raw | {"channels": "last"}, "env").experiment()
    assert chosen["channels"] == "last"
    assert "wrappers" not in chosen


def test_the_page_says_what_they_mean() -> None:
    page = (HERE.parent / "docs" / "runs.md").read_text()
    table = page.partition("| key | of an older run |")[2].partition("\n\n")[0]
    said = {key: yaml.safe_load(value) for key, value in re.findall(r"\| `\w+\.(\w+)` \| `([^`]+)`", table)}
    assert said == {key: value for keys in LATER_KEYS.values() for key, value in keys.items()}
