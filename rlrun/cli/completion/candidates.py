"""What could stand where the cursor is: verbs, groups, keys, values, flags, runs and files.

Imports nothing that takes long (no torch, Hydra, OmegaConf or pydantic): people wait for it at every Tab.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rlrun.cli.arguments import Arguments, Kind, Taken, run_arguments
from rlrun.cli.completion import paths
from rlrun.cli.completion.candidate import Candidate
from rlrun.cli.completion.overrides import overrides
from rlrun.cli.verb_table import VERBS, parser_of
from rlrun.config.files import as_mapping, text_of


def candidates(arguments: Sequence[str], directories: Sequence[Path]) -> list[Candidate]:
    """What the last of `arguments` could become, best first.

    Args:
        arguments: what stands after `rlrun`, up to the cursor; the last one is empty after a space.
        directories: with configs: those of installed packages, and rlrun's own, which is last.
    """
    *before, typed = arguments or [""]
    verb = before[0] if before and before[0] in VERBS else ""
    directories = [*_added(before), *directories]
    unique: dict[str, Candidate] = {}
    for candidate in _all(parser_of(verb) if verb else run_arguments(), before[bool(verb) :], typed, directories):
        if candidate.text.startswith(typed) and candidate.text not in before:
            unique.setdefault(candidate.text, candidate)
    return list(unique.values())


def _all(parser: Arguments, before: Sequence[str], typed: str, directories: Sequence[Path]) -> Iterator[Candidate]:
    flags = {name: taken for taken in parser.taken for name in taken.action.option_strings}
    positions = [taken for taken in parser.taken if not taken.action.option_strings]
    flag, equals, value = typed.partition("=")
    if before and before[-1] in flags and flags[before[-1]].has_value:
        yield from _values(flags[before[-1]], before, typed, directories)
    elif equals and flag in flags:
        for each in _values(flags[flag], before, value, directories):
            yield each._replace(text=f"{flag}={each.text}")
    elif typed.startswith("-"):
        yield from (Candidate(name, taken.action.help or "") for name, taken in flags.items() if name.startswith("--"))
    else:
        said = [
            each
            for each, previous in zip(before, ["", *before], strict=False)
            if not each.startswith("-") and not (previous in flags and flags[previous].has_value)
        ]
        endless = bool(positions) and positions[-1].action.nargs in ("*", "+")
        if len(said) < len(positions) or endless:
            yield from _values(positions[min(len(said), len(positions) - 1)], said, typed, directories)
        if parser.prog == "rlrun" and not before:
            yield from (Candidate(name, verb.summary) for name, verb in VERBS.items())


def _values(taken: Taken, said: Sequence[str], typed: str, directories: Sequence[Path]) -> Iterator[Candidate]:
    """What an argument may be."""
    kind: Kind = taken.kind
    if taken.action.choices:
        yield from (Candidate(str(choice)) for choice in taken.action.choices)
    elif kind == "run":
        yield from paths.runs(typed)
    elif kind == "directory":
        yield from paths.directories(typed)
    elif kind == "file":
        yield from paths.files(typed)
    elif kind == "run overrides":
        yield from overrides(
            said[1:], typed, directories, run=as_mapping(text_of([Path(said[0]).expanduser()], "config"))
        )
    elif kind:
        yield from overrides(said, typed, directories, bare_keys=kind == "keys")


def _added(arguments: Sequence[str]) -> list[Path]:
    """What `--config-dir` says, if there is such a directory."""
    found = ""
    for index, typed in enumerate(arguments):
        flag, equals, value = typed.partition("=")
        if flag in ("--config-dir", "-cd"):
            found = value if equals else arguments[index + 1] if index + 1 < len(arguments) else ""
    path = Path(found).expanduser()
    return [path.resolve()] if found and path.is_dir() else []
