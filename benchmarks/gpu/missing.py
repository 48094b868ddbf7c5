"""Prints which of rlrun's dependencies are not here, or not in the right version; status 1 if there are any."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9_-]+)(\[[^]]*\])?>=(?P<least>[0-9.]+)(,<(?P<below>[0-9.]+))?")


def numbers(text: str) -> list[int]:
    """`2.13.0+cpu` as [2, 13, 0]."""
    return [int(part) for part in re.findall(r"\d+", text.partition("+")[0])]


def problem(requirement: str) -> str | None:
    """What is wrong with one line of `dependencies`; None if nothing is."""
    found = _REQUIREMENT.fullmatch(requirement)
    if found is None:
        return f"{requirement} cannot be read"
    try:
        here = version(found["name"])
    except PackageNotFoundError:
        return f"{requirement} is not installed"
    too_old = numbers(here) < numbers(found["least"])
    too_new = found["below"] is not None and numbers(here) >= numbers(found["below"])
    return f"{requirement} is asked for, and {here} is here" if too_old or too_new else None


def main() -> int:
    if not (3, 11) <= sys.version_info < (3, 14):
        print(f"Python 3.11 to 3.13 is asked for, and this is {sys.version.split()[0]}")
        return 1
    required = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    problems = [each for each in map(problem, required) if each is not None]
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
