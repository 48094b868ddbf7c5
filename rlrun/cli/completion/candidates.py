"""What could stand where the cursor is: verbs, groups, keys, values, flags, runs and files.

Imports nothing that takes long (no torch, Hydra, OmegaConf or pydantic): people wait for it at every Tab.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rlrun.cli.completion import paths
from rlrun.cli.completion.candidate import Candidate, of_paths
from rlrun.cli.completion.config_tree import ConfigFiles, run_config
from rlrun.cli.completion.overrides import overrides
from rlrun.cli.completion.verb_words import RUN_FLAGS, VERBS, Verb


def candidates(words: Sequence[str], directories: Sequence[Path]) -> list[Candidate]:
    """What the last of `words` could become, best first.

    Args:
        words: what stands after `rlrun`, up to the cursor; the last one is empty after a space.
        directories: with configs: those of installed packages, and rlrun's own, which is last.
    """
    *before, word = words or [""]
    files = ConfigFiles([*_added(before), *directories])
    unique: dict[str, Candidate] = {}
    for candidate in _all(before, word, files):
        if candidate.text.startswith(word) and candidate.text not in before:
            unique.setdefault(candidate.text, candidate)
    return list(unique.values())


def _all(before: Sequence[str], word: str, files: ConfigFiles) -> Iterator[Candidate]:
    verb = VERBS.get(before[0]) if before else None
    flags = verb.flags if verb is not None else RUN_FLAGS
    rest = before[1:] if verb is not None else before
    flag, equals, value = word.partition("=")
    if rest and rest[-1] in flags and flags[rest[-1]].value:
        yield from _of_kind(flags[rest[-1]].value, word)
    elif equals and flag in flags and flag.startswith("--"):
        for each in _of_kind(flags[flag].value, value):
            yield each._replace(text=f"{flag}={each.text}")
    elif word.startswith("-"):
        yield from (Candidate(name, each.meaning) for name, each in flags.items() if each.meaning)
    elif verb is not None:
        yield from _after_verb(verb, rest, word, files)
    else:
        yield from overrides(before, word, files)
        if not before:
            yield from (Candidate(name, each.meaning) for name, each in VERBS.items())


def _after_verb(verb: Verb, rest: Sequence[str], word: str, files: ConfigFiles) -> Iterator[Candidate]:
    said = [
        item
        for index, item in enumerate(rest)
        if not item.startswith("-")
        and not (index and rest[index - 1] in verb.flags and verb.flags[rest[index - 1]].value)
    ]
    if len(said) >= len(verb.positions) and not verb.endless:
        return
    kind = verb.positions[min(len(said), len(verb.positions) - 1)]
    if kind == "config":
        yield from overrides(said, word, files, bare_keys=verb.bare_keys)
    elif kind == "config of the run":
        yield from overrides(said[1:], word, files, run=run_config(Path(said[0]).expanduser()))
    else:
        yield from _of_kind(kind, word)


def _of_kind(kind: str, begun: str) -> Iterator[Candidate]:
    match kind:
        case "run":
            yield from of_paths(paths.runs(begun))
        case "directory":
            yield from of_paths(paths.directories(begun))
        case "file":
            yield from of_paths(paths.files(begun))
        case _ if "|" in kind:
            yield from map(Candidate, kind.split("|"))


def _added(words: Sequence[str]) -> list[Path]:
    """What `--config-dir` says, if there is such a directory."""
    found = ""
    for index, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in ("--config-dir", "-cd"):
            found = value if equals else words[index + 1] if index + 1 < len(words) else ""
    path = Path(found).expanduser()
    return [path.resolve()] if found and path.is_dir() else []
