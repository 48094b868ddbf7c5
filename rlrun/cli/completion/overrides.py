"""`group=option` and `key=value`: which there are beside the others of a command, and what they may hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlrun.cli.completion import paths
from rlrun.cli.completion.candidate import Candidate
from rlrun.cli.completion.config_tree import at, composed
from rlrun.config.files import GROUPS, Tree, options, summary, text_of
from rlrun.config.index import SETTINGS, index
from rlrun.envs.atari_games import UNLOADABLE

_NULL_TOO = ("preset", "experiment", "debug")  # groups of which there may be none
_SEVERAL = ("logger",)  # groups of which a run may have several: `[a,b]`
_DIRECTORY = ("runs_dir", "folder")  # how keys of directories end, whose type, a string, does not say it
_TYPEABLE = re.compile(r"[\w ./+@%-]+", re.ASCII)  # what an override takes without quotes
_STRUCTURE = re.compile(r"[\[\](){}'\"=]")  # lists, mappings, calls and quotes are the writer's own business


def overrides(
    before: Sequence[str],
    typed: str,
    directories: Sequence[Path],
    *,
    run: Tree | None = None,
    bare_keys: bool = False,
) -> Iterator[Candidate]:
    """What an override that begins with `typed` could be.

    Args:
        before: the other arguments; those without `=` do not matter.
        typed: what there is of this one.
        directories: with configs.
        run: the config of an existing run, whose keys alone are there to choose.
        bare_keys: whether a key may stand without a value.
    """
    sign = next((sign for sign in ("++", "+") if typed.startswith(sign)), "")
    key, equals, value = typed.removeprefix(sign).partition("=")
    given = dict(_first_of_a_sweep(each) for each in before if "=" in each)
    tree = run if run is not None else composed(directories, given)
    groups = GROUPS if run is None else ()
    if equals:
        offered = _options(key, directories) if key in groups or "@" in key else _values(key, value, tree)
        opening = "[" if key in _SEVERAL and value.startswith("[") else ""
        if not _STRUCTURE.search(value := value.removeprefix(opening)):
            yield from _in_a_list(f"{sign}{key}={opening}", value, offered)
        return
    for group in groups if not sign else ():
        if group not in given:
            names = options(directories, group)
            yield Candidate(f"{group}=", ", ".join(names[:4]) + (" ..." if len(names) > 4 else ""), complete=False)
    for name, meaning, nested in _keys(key, tree, directories, given):
        if nested:
            yield Candidate(f"{sign}{name}.", meaning, complete=False)
        elif name not in given and name not in groups:
            yield Candidate(f"{sign}{name}" + ("" if bare_keys else "="), meaning, complete=bare_keys)


def _first_of_a_sweep(override: str) -> tuple[str, str]:
    """Key and value; of several values the first one: the runs of a sweep may have other keys."""
    key, _, value = override.lstrip("+").partition("=")
    return key, value if _STRUCTURE.search(value) else value.split(",")[0]


def _in_a_list(start: str, value: str, offered: Iterable[Candidate]) -> Iterator[Candidate]:
    """Values, also behind a comma: those that stand there already are not offered again."""
    listed, comma, _ = value.rpartition(",")
    for candidate in offered:
        if candidate.text not in listed.split(","):
            yield candidate._replace(text=f"{start}{listed}{comma}{candidate.text}")


def _keys(
    begun: str, tree: Tree, directories: Sequence[Path], given: Mapping[str, str]
) -> Iterator[tuple[str, str, bool]]:
    """The full keys of one level, with their meaning, and whether there are keys below."""
    parent, dot, _ = begun.rpartition(".")
    section = at(tree, parent)
    file = text_of(directories, f"{parent}/{given.get(parent)}" if dot else "config")
    meanings = dict(re.findall(r"^(\w+):[^#\n]*# (.*)$", file, re.MULTILINE))
    meanings |= {key: entry["meaning"] for key, entry in _parameters(parent, tree).items() if entry["meaning"]}
    for key, value in section.items() if isinstance(section, dict) else ():
        if not key.startswith("_"):
            yield f"{parent}{dot}{key}", meanings.get(key, ""), isinstance(value, dict)


def _options(key: str, directories: Sequence[Path]) -> Iterator[Candidate]:
    group = key.partition("@")[0]
    for name in options(directories, group):
        yield Candidate(name, summary(directories, group, name))
    if key in _NULL_TOO:
        yield Candidate("null", "without one")


def _values(key: str, typed: str, tree: Tree) -> Iterator[Candidate]:
    """What a key may hold, its present value first."""
    parent, _, name = key.rpartition(".")
    present = at(tree, key)
    entry = _parameters(parent, tree).get(name, {})
    choices = _games() if name == "game" else list(_choices(entry))
    if not choices and present in ("true", "false"):
        choices = ["true", "false"]
    if isinstance(present, str) and (present in choices or _TYPEABLE.fullmatch(present)):
        yield Candidate(present, "as it is")
    yield from map(Candidate, choices)
    if entry.get("nullable"):
        yield Candidate("null")
    begun = typed.rpartition(",")[2]
    if key.endswith(_DIRECTORY):
        yield from _typeable(paths.directories(begun))
    elif entry.get("file") or entry.get("type") == "path":
        yield from _typeable(paths.files(begun))


def _choices(entry: Mapping[str, Any]) -> Iterator[str]:
    for member in entry.get("members", [entry]) if entry else ():
        if member["type"] == "boolean":
            yield from ("true", "false")
        yield from (str(choice) for choice in member.get("choices") or ())
    yield from entry.get("names", ())


def _typeable(found: Iterable[Candidate]) -> Iterator[Candidate]:
    """Paths that an override takes as they are; Hydra would misread the others."""
    return (each for each in found if _TYPEABLE.fullmatch(each.text))


def _parameters(parent: str, tree: Tree) -> Mapping[str, Any]:
    """What the index has of the keys of a section, by name: nothing where the class is not ours."""
    target = SETTINGS.get(parent) or at(tree, f"{parent}._target_")
    parameters: Mapping[str, Any] = index()["targets"].get(target, {}).get("parameters", {})
    return parameters


def _games() -> list[str]:
    """As `atari_games.bundled_games`, which imports the emulator."""
    spec = find_spec("ale_py")  # of a name without dots: nothing is imported
    places = (spec.submodule_search_locations if spec is not None else None) or ()
    return sorted({path.stem for place in places for path in Path(place, "roms").glob("*.bin")} - UNLOADABLE)
