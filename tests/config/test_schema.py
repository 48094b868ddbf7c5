"""What the constructor allows is what YAML may say."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import pytest
from pydantic import Field

from rlrun.annotations.type_words import describe
from rlrun.config.schema import Component, check_component, check_fields, check_value, signature_of
from rlrun.errors import UserError

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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate": True}, "house.rate=true is not valid: it must be a number > 0"),
        ({"rate": 0}, "house.rate=0 is not valid: it must be a number > 0"),
        ({"rate": float("nan")}, "house.rate=nan is not valid"),
        ({"rate": float("inf")}, "house.rate=inf is not valid"),
        ({"rate": "0.5"}, "house.rate='0.5' is not valid: it must be a number > 0"),
        ({"rooms": "3"}, "house.rooms='3' is not valid: it must be an integer > 0"),
        ({"rooms": "010"}, "house.rooms=010 is not valid: it must be an integer > 0"),
        ({"rooms": "-08"}, "house.rooms=-08 is not valid"),
        ({"rate": "000"}, "house.rate=000 is not valid: it must be a number > 0"),
        ({"limit": "07.50"}, "house.limit=07.50 is not valid"),
        ({"heated": "true"}, "house.heated='true' is not valid: it must be true or false"),
        ({"heated": "yes"}, "house.heated=yes is not valid: it must be true or false"),
        ({"style": "3"}, "house.style='3' is not valid: it must be one of old, new; nearest:"),
        ({"rate": None}, "house.rate=null is not valid"),
        ({"rooms": 2.5}, "house.rooms=2.5 is not valid: it must be an integer > 0"),
        ({"rooms": True}, "house.rooms=true is not valid"),
        ({"rooms": -1e6}, "house.rooms=-1000000.0 is not valid: it must be an integer > 0"),
        ({"sizes": 3}, "house.sizes=3 is not valid: it must be a list (each an integer)"),
        ({"sizes": [1, "x"]}, "house.sizes=[1, 'x'] is not valid"),
        ({"sizes": [1, True]}, "house.sizes=[1, True] is not valid"),
        ({"style": "od"}, "house.style=od is not valid: it must be one of old, new; nearest: old"),
        ({"heated": 1}, "house.heated=1 is not valid: it must be true or false"),
        ({"limit": -1}, "house.limit=-1 is not valid: it must be a number >= 0 or null"),
        ({"room": 3}, "unknown key house.room; nearest: house.rooms"),
        ({"seed": 3}, "unknown key house.seed"),
        ({"schedule": 0.1}, "house.schedule=0.1 is not valid: it must be an object (_target_)"),
        ({"schedule": DOG}, "house.schedule._target_=test_schema.Dog does not fit"),
        ({"schedule": {"_target_": f"{HERE}.Namer"}}, "house.schedule._target_=test_schema.Namer does not fit"),
        ({"schedule": RAMP | {"slope": -1}}, "house.schedule.slope=-1 is not valid: it must be a number > 0"),
        ({"schedule": RAMP | {"slop": 1}}, "unknown key house.schedule.slop; nearest: house.schedule.slope"),
        ({"pet": RAMP}, "house.pet._target_=test_schema.Ramp does not fit"),
        ({"dogs": [DOG, RAMP]}, "house.dogs[1]._target_=test_schema.Ramp does not fit"),
        ({"dogs": [DOG | {"legs": 5}]}, "house.dogs[0].legs=5 is not valid: it must be an integer >= 0 and <= 4"),
        ({"rate": DOG}, "house.rate must be a number > 0, not an object"),
        (
            {"_target_": "rlrun.nn.mlq.Mlp"},
            "house._target_=rlrun.nn.mlq.Mlp does not exist; nearest: rlrun.nn.trunks.MLP",
        ),
        ({"_target_": f"{HERE}.Hous"}, "house._target_=test_schema.Hous does not exist; nearest: HOUSE, House"),
        ({"_target_": "nosuch.House"}, "house._target_=nosuch.House cannot be imported: there is no module nosuch"),
        ({"_target_": "House"}, "house._target_=House cannot be imported"),
        ({"_target_": 3}, "house._target_ must be the dotted name of a class or function, not 3"),
        ({"_target_": f"{HERE}.HERE"}, "is neither a class nor a function"),
        ({"_target_": "os.system"}, "is neither a class nor a function"),
        ({"_target_": "subprocess.Popen"}, "house._target_=subprocess.Popen does not fit"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        check_house(**changes)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_suggested_for_a_class_does_not_depend_on_what_is_imported() -> None:
    importlib.import_module("rlrun.nn.networks")
    with pytest.raises(UserError, match=r"rlrun\.nn\.mlq\.Mlp does not exist; nearest: rlrun\.nn\.trunks\.MLP"):
        check_house(_target_="rlrun.nn.mlq.Mlp")


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(UserError, match=r"dog\.name is missing: a string"):
        check_component({"_target_": f"{HERE}.Dog", "legs": 1}, "dog")


@pytest.mark.parametrize(("target", "words"), [("untyped", "cannot be checked"), ("open_ended", "open argument")])
def test_constructors_that_cannot_be_checked_are_refused(target: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_component({"_target_": f"{HERE}.{target}", "name": "x"}, "thing")


def test_an_annotation_that_cannot_be_read_is_told_in_one_line() -> None:
    with pytest.raises(UserError) as caught:
        check_component({"_target_": f"{HERE}.Kennel", "dogs": [], "rooms": 1}, "kennel")
    assert str(caught.value) == (
        f"{HERE}.Kennel cannot be checked: the annotation of dogs cannot be read at run time (NameError: name "
        "'ImportedForTypeCheckersAlone' is not defined): import ImportedForTypeCheckersAlone there, and not under "
        "`if TYPE_CHECKING:`"
    )


@pytest.mark.parametrize("target", ["builtins.dict", "builtins.range"])
def test_what_does_not_say_what_it_takes_cannot_be_checked(target: str) -> None:
    with pytest.raises(
        UserError, match=rf"epsilon\._target_={target} cannot be checked: it does not say what it takes"
    ):
        check_component({"_target_": target}, "epsilon")


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
    with pytest.raises(UserError, match=r"cat\.mood=cross is not valid: it must be one of calm, wild or null"):
        check_component({"_target_": target, "name": "tom", "mood": "cross"}, "cat")


def test_fields_are_all_needed_and_no_others() -> None:
    annotations = {"every": Annotated[int, Field(gt=0)] | None, "keep": int}
    assert check_fields({"every": 1e3, "keep": 2}, annotations, "checkpoint") == {"every": 1000, "keep": 2}
    with pytest.raises(UserError, match=r"checkpoint\.keep is missing: an integer"):
        check_fields({"every": 1}, annotations, "checkpoint")
    with pytest.raises(UserError, match=r"unknown key checkpoint\.kep; nearest: checkpoint\.keep"):
        check_fields({"every": 1, "keep": 1, "kep": 1}, annotations, "checkpoint")
    with pytest.raises(UserError, match="checkpoint must be a mapping"):
        check_fields(3, annotations, "checkpoint")


def test_mappings_and_bounded_lists() -> None:
    assert check_value(dict[str, float], {"G": 1}, "rewards") == {"G": 1.0}
    bounded = Annotated[list[int], Field(min_length=2)]
    assert describe(bounded) == "a list (each an integer) of length >= 2"
    with pytest.raises(UserError, match="of length >= 2"):
        check_value(bounded, [1], "sizes")
