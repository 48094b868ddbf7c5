"""Files and run directories as candidates."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

_MANIFEST = "manifest.json"  # rlrun.runs.manifest.MANIFEST, whose module takes longer to import than all of this
_MOST_STEPS = 8  # directories with one entry that are gone through at once


def files(begun: str, suffixes: tuple[str, ...] = ()) -> Iterator[tuple[str, bool]]:
    """Files and directories that begin so, each with whether the word is complete with it.

    Args:
        begun: what has been typed; `~/` is the home directory.
        suffixes: of the files that are offered; empty: any.
    """
    for text, path in _entries(begun):
        if path.is_dir():
            yield f"{text}/", False
        elif not suffixes or path.suffix in suffixes:
            yield text, True


def directories(begun: str) -> Iterator[tuple[str, bool]]:
    """Only directories; a word may end with each, and may go on."""
    for text, path in _entries(begun):
        if path.is_dir():
            yield f"{text}/", False


def runs(begun: str) -> Iterator[tuple[str, bool]]:
    """Directories of runs, and those on the way to them: as far down as there is nothing to choose.

    Without a first letter, `runs/` is where they are looked for, if there is one.
    """
    if not begun and Path("runs").is_dir():
        begun = "runs/"
    yield from _towards(begun, _is_run)


def _is_run(path: Path) -> bool:
    return (path / _MANIFEST).is_file()


def _towards(begun: str, wanted: Callable[[Path], bool]) -> Iterator[tuple[str, bool]]:
    found = [(text, path) for text, path in _entries(begun) if path.is_dir()]
    for _ in range(_MOST_STEPS):
        if len(found) != 1 or wanted(found[0][1]):
            break
        text = f"{found[0][0]}/"
        below = [(inner, path) for inner, path in _entries(text) if path.is_dir()]
        if not below:
            break
        found = below
    for text, path in found:
        is_wanted = wanted(path)
        yield (text if is_wanted else f"{text}/"), is_wanted


def _entries(begun: str) -> list[tuple[str, Path]]:
    """What is in the directory that `begun` names, as one would type it. Hidden ones only when their dot is typed."""
    head, slash, tail = begun.rpartition("/")
    folder = os.path.expanduser(head + slash) if head or slash else "."
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    shown = [name for name in names if name.startswith(tail) and (tail.startswith(".") or not name.startswith("."))]
    return [(head + slash + name, Path(folder, name)) for name in shown if "\n" not in name and "\t" not in name]
