"""The catalogue is what the constructors are, and reading it imports none of them."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated, Any

import pytest
import write_catalogue

from rlrun.annotations import is_data, members_of
from rlrun.annotations.type_words import describe
from rlrun.config import catalogue
from rlrun.config.catalogue import SETTINGS
from rlrun.config.constructors import hints_of, import_target, product_of
from rlrun.config.files import config_directory, options
from rlrun.config.provenance import read
from rlrun.config.schema import check_value
from rlrun.config.type_fit import fits
from rlrun.errors import UserError

CONF = config_directory()
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1,
    3,
    2.5,
    0.5,
    -0.5,
    1.0,
    1e6,
    1.5e300,
    float("nan"),
    float("inf"),
    "",
    "x",
    "huber",
    "none",
]
VALUES += [[], [1], [-1], [0.5], ["x"], {}, {"a": 1}, {"a": [1]}]


def test_the_file_is_what_the_constructors_say() -> None:
    found = write_catalogue.path().read_text(encoding="utf-8")
    assert found == write_catalogue.text(), "constructors have changed: run `python scripts/write_catalogue.py`"


@pytest.mark.parametrize("name", catalogue.target_names())
def test_what_is_read_from_it_allows_what_the_constructor_allows(name: str) -> None:
    known = catalogue.target(name)
    assert known is not None
    hints = hints_of(import_target(name, ""))
    for key, parameter in known.parameters.items():
        assert describe(parameter.annotation) == describe(hints[key])
        if all(is_data(member) for member in members_of(hints[key])):
            for value in VALUES:
                assert outcome(parameter.annotation, value) == outcome(hints[key], value), (key, value)


def outcome(annotation: Any, value: object) -> object:
    try:
        checked = check_value(annotation, value, "key")
    except UserError as error:
        return str(error)
    return (type(checked), checked)


def test_kinds_hold_what_fits_and_nothing_else() -> None:
    for name in ("Agent", "VecEnv", "Network", "Device", "Logger", "Schedule", "Features"):
        kind = catalogue.kind(name)
        real = (
            hints_of(import_target(kind.owner, ""))[kind.parameter] if kind.parameter else import_target(kind.owner, "")
        )
        protocol = next(member for member in members_of(real) if getattr(member, "__name__", "") == name)
        for target in catalogue.target_names():
            assert (target in kind.targets) == fits(product_of(import_target(target, "")), protocol), (name, target)
    assert catalogue.kind("Network").targets == {"rlrun.nn.trunks.MLP", "rlrun.nn.trunks.Convolutional"}
    assert "rlrun.nn.optimizers.Adam" not in catalogue.kind("Features").targets


_SUGGESTED = {"rlrun.envs.atari.Atari": {"network"}}  # which the environment does not take itself


def test_every_target_and_key_in_yaml_is_in_it_and_the_other_way_round() -> None:
    """Our rule: no constructor has a default, so a config in use gives exactly the keys of its constructor."""
    used: dict[str, set[str]] = {}
    for path in CONF.rglob("*.yaml"):
        settings = read(path, "")
        targets = {
            setting.key.removesuffix("_target_"): setting.value for setting in settings if "_target_" in setting.key
        }
        for section, target in targets.items():
            own = {
                setting.key.removeprefix(section)
                for setting in settings
                if setting.key.startswith(section) and "." not in setting.key.removeprefix(section)
            }
            used.setdefault(target, set()).update(own - {"_target_", "defaults"})
    root = {setting.key for setting in read(CONF / "config.yaml", "")}
    for section, target in SETTINGS.items():
        used[target] = {key.removeprefix(f"{section}.") for key in root if key.startswith(f"{section}.")}
    assert len(used) > 25
    for target, keys in used.items():
        known = catalogue.target(target)
        assert known is not None, target
        inherited = {"optimizer", "network"} & set(known.parameters)  # from a group, by the defaults list
        assert keys - _SUGGESTED.get(target, set()) | inherited == set(known.parameters), target
    unused = set(catalogue.target_names()) - set(used)
    assert unused == {"rlrun.agents.linear.features.Flat", "rlrun.agents.linear.features.Paired"}, (
        "constructors that no config file mentions"
    )


def test_every_parameter_says_what_it_means_and_every_algorithm_where_it_is_from() -> None:
    for name in catalogue.target_names():
        known = catalogue.target(name)
        assert known is not None
        assert known.summary
        assert all(parameter.meaning for parameter in known.parameters.values()), name
    for option in options([CONF], "algo"):
        target = next(s.value for s in read(CONF / "algo" / f"{option}.yaml", "") if s.key.endswith("_target_"))
        known = catalogue.target(target)
        assert known is not None
        assert known.sources or option == "random", option


def test_what_json_cannot_hold_is_refused_when_it_is_written() -> None:
    class Mark:
        pass

    with pytest.raises(ValueError) as caught:  # noqa: PT011 (its text is checked below)
        write_catalogue.entry_of(Annotated[int, Mark()])
    assert "Mark" in str(caught.value)


def test_checking_and_explaining_a_run_imports_no_torch() -> None:
    code = (
        "import sys; from rlrun.config.compose import load_config; from rlrun.config.files import config_directory; "
        "from rlrun.config.explain import explanation; conf = [config_directory()]; "
        "overrides = ['algo=actor_critic', 'env=pong', 'experiment=a2c']; "
        "load_config(overrides, conf); explanation(overrides, conf); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
