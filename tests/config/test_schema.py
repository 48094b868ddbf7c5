"""What the constructor allows is what YAML may say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import pytest
from pydantic import Field

from rlrun.annotations.type_words import describe
from rlrun.config.schema import Component, check_component, check_value, signature_of
from rlrun.errors import UserError, WrongKeyError

Positive = Annotated[float, Field(gt=0)]


class Speaker(Protocol):
    def speak(self, loudly: bool) -> str: ...


class Dog:
    def __init__(self, *, legs: Annotated[int, Field(ge=0, le=4)], name: str) -> None:
        self.legs, self.name = legs, name

    def speak(self, loudly: bool) -> str:
        return "woof" if loudly else self.name


class Ramp:
    def __init__(self, *, slope: Positive) -> None:
        self.slope = slope

    def __call__(self, step: int) -> float:
        return self.slope * step


class Namer:
    def __init__(self) -> None:
        self.suffix = "!"

    def __call__(self, step: int) -> str:
        return f"{step}{self.suffix}"


class House:
    def __init__(
        self,
        *,
        rate: Positive,
        rooms: Annotated[int, Field(gt=0)],
        sizes: list[int],
        style: Literal["old", "new"],
        heated: bool,
        limit: Annotated[float, Field(ge=0)] | None,
        schedule: Callable[[int], float],
        pet: Speaker | None,
        dogs: list[Dog],
        seed: int,
    ) -> None:
        raise AssertionError("checking must not build anything")


def build_dog(*, name: str) -> Dog:
    return Dog(legs=4, name=name)


def untyped(*, name):  # type: ignore[no-untyped-def]
    return name


def open_ended(**options: int) -> Dog:
    return Dog(legs=len(options), name="")


class Kennel:
    """Its annotations name what only type checkers import; they are text, as with postponed evaluation."""

    def __init__(self, *, dogs: ImportedForTypeCheckersAlone, rooms: int) -> None:  # type: ignore[name-defined] # noqa: F821
        raise AssertionError("checking must not build anything")


REX = Dog(legs=4, name="rex")


class Cat:
    """A plug-in's class, with defaults that YAML can say and one that it cannot."""

    def __init__(
        self,
        *,
        name: str,
        lives: Annotated[int, Field(ge=1)] = 9,
        mood: Literal["calm", "wild"] | None = None,
        sizes: tuple[int, ...] = (1, 2),
        basket: Path = Path("here"),
        friend: Speaker = REX,
        weight: float = "heavy",  # type: ignore[assignment] # which its own annotation does not allow
        seed: int = 0,
    ) -> None:
        raise AssertionError("checking must not build anything")


HERE = __name__
RAMP = {"_target_": f"{HERE}.Ramp", "slope": 2}
DOG = {"_target_": f"{HERE}.Dog", "legs": 4, "name": "rex"}
HOUSE: dict[str, Any] = {
    "_target_": f"{HERE}.House",
    "rate": 0.5,
    "rooms": 3,
    "sizes": [1, 2],
    "style": "old",
    "heated": True,
    "limit": None,
    "schedule": RAMP,
    "pet": DOG,
    "dogs": [DOG, {"_target_": f"{HERE}.build_dog", "name": "bo"}],
}


def check_house(**changes: Any) -> Component:
    return check_component(HOUSE | changes, "house", expected=House, runtime=frozenset({"seed", "spec"}))


def test_values_are_coerced_nested_components_checked_and_nothing_is_built() -> None:
    house = check_house(rate=2, rooms=1e6, sizes=[3.0, 4], limit=1)
    assert house.call is House
    assert house.runtime == {"seed"}
    assert house.as_plain() == HOUSE | {"rate": 2.0, "rooms": 1_000_000, "sizes": [3, 4], "limit": 1.0}
    assert type(house.arguments["rate"]) is float
    assert type(house.arguments["rooms"]) is int
    assert [type(size) for size in house.arguments["sizes"]] == [int, int]
    assert house.arguments["dogs"][1].call is build_dog


def key_of(error: BaseException) -> str:
    assert isinstance(error, WrongKeyError)
    assert "\n" not in str(error)
    assert error.key in str(error)
    return error.key


@pytest.mark.parametrize(
    ("changes", "key", "told"),
    [
        ({"rate": True}, "rate", ["true", "number > 0"]),
        ({"rate": 0}, "rate", ["number > 0"]),
        ({"rate": float("nan")}, "rate", ["nan"]),
        ({"rate": float("inf")}, "rate", ["inf"]),
        ({"rate": "0.5"}, "rate", ["'0.5'"]),  # in quotes, since it looks like something else
        ({"rooms": "3"}, "rooms", ["'3'", "integer > 0"]),
        ({"rooms": "010"}, "rooms", ["=010 "]),
        ({"rooms": "-08"}, "rooms", ["=-08 "]),
        ({"rate": "000"}, "rate", ["=000 "]),
        ({"limit": "07.50"}, "limit", ["=07.50 "]),
        ({"heated": "true"}, "heated", ["'true'", "true or false"]),
        ({"heated": "yes"}, "heated", ["=yes ", "true or false"]),
        ({"style": "3"}, "style", ["'3'", "old, new"]),
        ({"rate": None}, "rate", ["null"]),
        ({"rooms": 2.5}, "rooms", ["2.5", "integer > 0"]),
        ({"rooms": True}, "rooms", ["true"]),
        ({"rooms": -1e6}, "rooms", ["-1000000.0"]),
        ({"sizes": 3}, "sizes", ["list", "integer"]),
        ({"sizes": [1, "x"]}, "sizes", ["[1, 'x']"]),
        ({"sizes": [1, True]}, "sizes", ["[1, True]"]),
        ({"style": "od"}, "style", ["od", "old, new"]),
        ({"heated": 1}, "heated", ["true or false"]),
        ({"limit": -1}, "limit", ["number >= 0 or null"]),
        ({"room": 3}, "room", ["house.rooms"]),
        ({"seed": 3}, "seed", []),
        ({"schedule": 0.1}, "schedule", ["_target_"]),
        ({"schedule": DOG}, "schedule._target_", ["test_schema.Dog"]),
        ({"schedule": {"_target_": f"{HERE}.Namer"}}, "schedule._target_", ["test_schema.Namer"]),
        ({"schedule": RAMP | {"slope": -1}}, "schedule.slope", ["number > 0"]),
        ({"schedule": RAMP | {"slop": 1}}, "schedule.slop", ["house.schedule.slope"]),
        ({"pet": RAMP}, "pet._target_", ["test_schema.Ramp"]),
        ({"dogs": [DOG, RAMP]}, "dogs[1]._target_", ["test_schema.Ramp"]),
        ({"dogs": [DOG | {"legs": 5}]}, "dogs[0].legs", [">= 0 and <= 4"]),
        ({"rate": DOG}, "rate", ["number > 0"]),
        ({"_target_": "rlrun.nn.mlq.Mlp"}, "_target_", ["rlrun.nn.mlq.Mlp", "rlrun.nn.trunks.MLP"]),
        ({"_target_": f"{HERE}.Hous"}, "_target_", ["test_schema.Hous"]),
        ({"_target_": "nosuch.House"}, "_target_", ["nosuch.House"]),
        ({"_target_": "House"}, "_target_", ["House"]),
        ({"_target_": 3}, "_target_", ["3"]),
        ({"_target_": f"{HERE}.HERE"}, "_target_", ["test_schema.HERE"]),
        ({"_target_": "os.system"}, "_target_", ["os.system"]),
        ({"_target_": "subprocess.Popen"}, "_target_", ["subprocess.Popen"]),
    ],
)
def test_what_does_not_fit_is_refused_by_its_key(changes: dict[str, Any], key: str, told: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        check_house(**changes)
    assert key_of(caught.value) == f"house.{key}"
    assert [each for each in told if each not in str(caught.value)] == [], str(caught.value)


def test_a_missing_argument_is_named() -> None:
    for given, key in (({"_target_": f"{HERE}.Dog", "legs": 1}, "dog.name"), ({"legs": 1}, "dog._target_"), (3, "dog")):
        with pytest.raises(UserError) as caught:
            check_component(given, "dog")
        assert key_of(caught.value) == key


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"_target_": f"{HERE}.untyped", "name": "x"}, "thing.name"),
        ({"_target_": f"{HERE}.open_ended", "name": "x"}, "open_ended"),
        ({"_target_": f"{HERE}.Kennel", "dogs": [], "rooms": 1}, "ImportedForTypeCheckersAlone"),
        ({"_target_": "builtins.dict"}, "thing._target_=builtins.dict"),  # they do not say what they take
        ({"_target_": "builtins.range"}, "thing._target_=builtins.range"),
    ],
)
def test_constructors_that_cannot_be_checked_are_refused_in_one_line(given: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError) as caught:
        check_component(given, "thing")
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_defaults_of_a_constructor_are_part_of_the_checked_config() -> None:
    target = f"{HERE}.Cat"
    cat = check_component({"_target_": target, "name": "tom"}, "cat", runtime=frozenset({"seed"}))
    filled = {"lives": 9, "mood": None, "sizes": [1, 2], "basket": "here"}
    assert cat.as_plain() == {"_target_": target, "name": "tom"} | filled
    assert cat.experiment() == cat.as_plain()
    assert check_component(cat.as_plain(), "cat", runtime=frozenset({"seed"})) == cat  # as `config.yaml` is read again
    given = check_component({"_target_": target, "name": "tom", "mood": "wild"}, "cat")
    assert given.arguments["mood"] == "wild"
    assert signature_of(target, "cat", frozenset({"seed"})).defaults.keys() == {*filled, "friend", "weight"}
    with pytest.raises(UserError) as caught:
        check_component({"_target_": target, "name": "tom", "mood": "cross"}, "cat")
    assert key_of(caught.value) == "cat.mood"


def test_mappings_and_bounded_lists() -> None:
    assert check_value(dict[str, float], {"G": 1}, "rewards") == {"G": 1.0}
    bounded = Annotated[list[int], Field(min_length=2)]
    assert describe(bounded) == "a list (each an integer) of length >= 2"
    with pytest.raises(UserError) as caught:
        check_value(bounded, [1], "sizes")
    assert key_of(caught.value) == "sizes"
