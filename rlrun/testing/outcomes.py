"""Runs a contract without pytest: one outcome for each of its tests, with advice where it failed."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rlrun.errors import FaultyEnvironmentError

_NOT_THEIRS = ("rlrun", "torch", "numpy", "gymnasium")  # packages that may raise an error without being its cause


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one test of a contract."""

    name: str  # a sentence
    trouble: str | None = None  # what is wrong; None: nothing
    advice: str = ""  # the first paragraph of the test's docstring


def outcomes(contract: object, leaves_out: Collection[str] = ()) -> Iterator[Outcome]:
    """Runs the methods `test_...` of `contract` that are not left out, in the order of the source.

    Raises:
        FaultyEnvironmentError: at the first test that meets an invalid observation or reward, since all others would
            fail for that reason too.
    """
    for name in _names(type(contract)):
        if name in leaves_out:
            continue
        test: Callable[[], None] = getattr(contract, name)
        sentence = name.removeprefix("test_").replace("_", " ")
        try:
            test()
        except FaultyEnvironmentError:
            raise
        except Exception as error:  # a failing check is a result, whatever it raises
            yield Outcome(sentence, describe_error(error), _advice(test))
        else:
            yield Outcome(sentence)


def describe_error(error: Exception) -> str:
    """An error on one line: the contract's message, or what the tested class raised, and where."""
    message = " ".join(str(error).split())
    if isinstance(error, AssertionError) and message and not _frames(error):
        return message
    where = _frames(error) or traceback.extract_tb(error.__traceback__)
    place = f" ({Path(where[-1].filename).name}, line {where[-1].lineno})" if where else ""
    return f"raises {type(error).__name__}: {message or 'without a message'}{place}"


def _names(contract: type) -> list[str]:
    names = [name for base in reversed(contract.__mro__) for name in vars(base) if name.startswith("test_")]
    return list(dict.fromkeys(names))


def _advice(test: Callable[[], None]) -> str:
    first, _, _ = (inspect.getdoc(test) or "").partition("\n\n")
    return " ".join(first.split())


def _frames(error: Exception) -> list[traceback.FrameSummary]:
    """The frames of the traceback in the tested class's own files."""
    directories = _packages()
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if not any(frame.filename.startswith(each) for each in directories)]


def _packages() -> list[str]:
    specs = [find_spec(name) for name in _NOT_THEIRS]
    return [place for spec in specs if spec is not None for place in spec.submodule_search_locations or ()]
