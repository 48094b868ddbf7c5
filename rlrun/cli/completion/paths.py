"""Files and run directories as candidates."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from rlrun.cli.completion.candidate import Candidate

_MANIFEST = "manifest.json"  # runs.manifest.MANIFEST, whose module takes longer to import than all of this
_MOST_STEPS = 8  # directories with one entry that are gone through at once


def files(begun: str) -> Iterator[Candidate]:
    """Files and directories that begin so; `~/` is the home directory."""
    for text, path in _entries(begun):
        yield Candidate(f"{text}/", complete=False) if path.is_dir() else Candidate(text)


def directories(begun: str) -> Iterator[Candidate]:
    """Only directories."""
    return (each for each in files(begun) if not each.complete)


def runs(begun: str) -> Iterator[Candidate]:
    """Directories of runs, and those on the way to them: as far down as there is nothing to choose.

    Without a first letter, `runs/` is where they are looked for, if there is one.
    """
    found = _folders("runs/" if not begun and Path("runs").is_dir() else begun)
    for _ in range(_MOST_STEPS):
        if len(found) != 1 or _is_run(found[0][1]) or not (below := _folders(f"{found[0][0]}/")):
            break
        found = below
    for text, path in found:
        yield Candidate(text) if _is_run(path) else Candidate(f"{text}/", complete=False)


def _is_run(path: Path) -> bool:
    return (path / _MANIFEST).is_file()


def _folders(begun: str) -> list[tuple[str, Path]]:
    return [(text, path) for text, path in _entries(begun) if path.is_dir()]


def _entries(begun: str) -> list[tuple[str, Path]]:
    """What is in the directory that `begun` names, as one would type it. Hidden ones only when their dot is typed."""
    head, slash, tail = begun.rpartition("/")
    folder = os.path.expanduser(head + slash) if slash else "."
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    shown = [name for name in names if name.startswith(tail) and (tail.startswith(".") or not name.startswith("."))]
    return [(head + slash + name, Path(folder, name)) for name in shown if "\n" not in name and "\t" not in name]
