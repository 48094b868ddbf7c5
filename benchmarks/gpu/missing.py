"""Prints in a line which of rlrun's dependencies, and of theirs, are not here or too old or new; status 1 then.

It runs before anything else, on whatever Python there is, so it needs no package itself.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
_REQUIREMENT = re.compile(r"\s*(?P<name>[A-Za-z0-9._-]+)\s*(\[[^]]*\])?\s*\(?(?P<range>[^;)]*)\)?\s*(;(?P<marker>.*))?")
_CLAUSE = re.compile(r"\s*(?P<operator>[<>=!~]+)\s*(?P<version>\S+)\s*")
_COMPLETE = {"torch"}  # builds for a GPU bring what they need in their own way


def numbers(text: str) -> list[int]:
    """`2.13.0+cpu` as [2, 13, 0]."""
    return [int(part) for part in re.findall(r"\d+", text.partition("+")[0])]


def fits(here: str, clause: str) -> bool:
    """Whether a version is in a range such as `>=2.3`; what cannot be read is not held against it."""
    found = _CLAUSE.fullmatch(clause)
    if found is None:
        return True
    ours, asked = numbers(here), numbers(found["version"])
    size = max(len(ours), len(asked))
    ours_long, asked_long = (each + [0] * (size - len(each)) for each in (ours, asked))
    alike = ours_long[: len(asked)] == asked if found["version"].endswith("*") else ours_long == asked_long
    return {
        ">=": ours_long >= asked_long,
        "<=": ours_long <= asked_long,
        ">": ours_long > asked_long,
        "<": ours_long < asked_long,
        "==": alike,
        "!=": not alike,
        "~=": ours_long >= asked_long and ours_long[: len(asked) - 1] == asked[:-1],
    }.get(found["operator"], True)


def asked_here(marker: str | None) -> bool:
    """Whether a requirement counts here. Extras do not: ours are for drawing, which nothing here does."""
    if marker is None:
        return True
    try:
        from packaging.markers import Marker
    except ImportError:  # it is then one of those that are missing
        return False
    return bool(Marker(marker).evaluate({"extra": ""}))


def problem(requirement: str) -> str | None:
    """What is wrong with one requirement; None if nothing is."""
    found = _REQUIREMENT.fullmatch(requirement)
    if found is None:
        return f"{requirement} cannot be read"
    if not asked_here(found["marker"]):
        return None
    asked = f"{found['name']}{found['range'].strip()}"
    try:
        here = version(found["name"])
    except PackageNotFoundError:
        return f"{asked} is not installed"
    fine = all(fits(here, clause) for clause in found["range"].split(","))
    return None if fine else f"{asked} is asked for, and {here} is here"


def problems(required: Sequence[str]) -> Iterator[str]:
    """What is wrong with these requirements and with those of what they name, each once."""
    waiting, seen = list(required), set(required)
    while waiting:
        requirement = waiting.pop(0)
        wrong = problem(requirement)
        if wrong is not None:
            yield wrong
            continue
        found = _REQUIREMENT.fullmatch(requirement)
        if found is None or found["name"] in _COMPLETE or not asked_here(found["marker"]):
            continue
        new = [each for each in requires(found["name"]) or [] if each not in seen]
        waiting += new
        seen |= set(new)


def main() -> int:
    if not (3, 11) <= sys.version_info < (3, 14):
        print(f"Python 3.11 to 3.13 is asked for, and this is {sys.version.split()[0]}")
        return 1
    required = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    found = list(dict.fromkeys(problems(required)))
    print("; ".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
