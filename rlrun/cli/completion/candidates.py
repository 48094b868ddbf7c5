"""What could stand where the cursor is: verbs, groups, keys, values, flags, runs and files.

Imports nothing that takes long (no torch, Hydra, OmegaConf or pydantic): people wait for it at every Tab.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rlrun.cli.arguments import Arguments, Kind, Taken, run_arguments
from rlrun.cli.completion import paths
from rlrun.cli.completion.candidate import Candidate
from rlrun.cli.completion.config_tree import Configs, run_config
from rlrun.cli.completion.overrides import overrides
from rlrun.cli.verb_table import VERBS, parser_of


def candidates(words: Sequence[str], directories: Sequence[Path]) -> list[Candidate]:
    """What the last of `words` could become, best first.

    Args:
        words: what stands after `rlrun`, up to the cursor; the last one is empty after a space.
        directories: with configs: those of installed packages, and rlrun's own, which is last.
    """
    *before, word = words or [""]
    verb = before[0] if before and before[0] in VERBS else ""
    configs = Configs([*_added(before), *directories])
    unique: dict[str, Candidate] = {}
    for candidate in _all(parser_of(verb) if verb else run_arguments(), before[bool(verb) :], word, configs):
        if candidate.text.startswith(word) and candidate.text not in before:
            unique.setdefault(candidate.text, candidate)
    return list(unique.values())


def _all(parser: Arguments, before: Sequence[str], word: str, configs: Configs) -> Iterator[Candidate]:
    flags = {name: taken for taken in parser.taken for name in taken.action.option_strings}
    positions = [taken for taken in parser.taken if not taken.action.option_strings]
    flag, equals, value = word.partition("=")
    if before and before[-1] in flags and flags[before[-1]].has_value:
        yield from _values(flags[before[-1]], before, word, configs)
    elif equals and flag in flags:
        for each in _values(flags[flag], before, value, configs):
            yield each._replace(text=f"{flag}={each.text}")
    elif word.startswith("-"):
        yield from (Candidate(name, taken.action.help or "") for name, taken in flags.items() if name.startswith("--"))
    else:
        said = [
            each
            for each, previous in zip(before, ["", *before], strict=False)
            if not each.startswith("-") and not (previous in flags and flags[previous].has_value)
        ]
        endless = bool(positions) and positions[-1].action.nargs in ("*", "+")
        if len(said) < len(positions) or endless:
            yield from _values(positions[min(len(said), len(positions) - 1)], said, word, configs)
        if parser.prog == "rlrun" and not any(each.startswith(("seed=", "seeds=")) for each in said):
            yield Candidate("seeds=", "how many, or which: runs side by side", complete=False)
        if parser.prog == "rlrun" and not before:
            yield from (Candidate(name, verb.summary) for name, verb in VERBS.items())


def _values(taken: Taken, said: Sequence[str], word: str, configs: Configs) -> Iterator[Candidate]:
    """What an argument may be."""
    kind: Kind = taken.kind
    if taken.action.choices:
        yield from (Candidate(str(choice)) for choice in taken.action.choices)
    elif kind == "run":
        yield from paths.runs(word)
    elif kind == "directory":
        yield from paths.directories(word)
    elif kind == "file":
        yield from paths.files(word)
    elif kind == "run overrides":
        yield from overrides(said[1:], word, configs, run=run_config(Path(said[0]).expanduser()))
    elif kind:
        yield from overrides(said, word, configs, bare_keys=kind == "keys")


def _added(words: Sequence[str]) -> list[Path]:
    """What `--config-dir` says, if there is such a directory."""
    found = ""
    for index, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in ("--config-dir", "-cd"):
            found = value if equals else words[index + 1] if index + 1 < len(words) else ""
    path = Path(found).expanduser()
    return [path.resolve()] if found and path.is_dir() else []
