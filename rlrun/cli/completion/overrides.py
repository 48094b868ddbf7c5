"""`group=option` and `key=value`: which there are for the words before, and what they may hold."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rlrun.cli.completion import paths
from rlrun.cli.completion.candidate import Candidate, of_paths
from rlrun.cli.completion.config_tree import Composed, ConfigFiles, compose
from rlrun.cli.completion.names import BY_ARGUMENT
from rlrun.cli.completion.parameters import Parameter, parameters

_NULL_TOO = ("preset", "experiment", "debug")  # groups that may be left out in words
_SECTIONS = {
    "evaluation": "rlrun.loop.evaluate.EvaluationSettings",
    "checkpoint": "rlrun.runs.checkpoint.CheckpointSettings",
}
_DIRECTORIES = ("runs_dir", "algo.replay.folder")  # their type, text, does not say it
# rlrun.config.config.RUN_VALUES and LOG_VALUES, whose module takes long to import: what rlrun itself hands in
_SUPPLIED = {
    "algo": {"spec", "device", "seed", "network", "directory", "execution"},
    "logger": {"directory"},
}
_TYPEABLE = re.compile(r"[\w ./+@%-]+", re.ASCII)  # what an override takes without quotes
_ONE_WORD = re.compile(r"[\w./+@%-]+", re.ASCII)
_STRUCTURE = re.compile(r"[\[\](){}'\"=]")  # lists, mappings, calls and quotes are the writer's own business
_MOST_RUNS = 12  # of a sweep that are looked into


def overrides(
    before: Sequence[str], word: str, files: ConfigFiles, *, run: Composed | None = None, bare_keys: bool = False
) -> Iterator[Candidate]:
    """What an override that begins with `word` could be.

    Args:
        before: the other words; those without `=` do not matter.
        word: what has been typed of this one.
        files: the configs there are.
        run: an existing run, whose keys alone are there to choose.
        bare_keys: whether a key may stand without a value.
    """
    sign = next((sign for sign in ("++", "+") if word.startswith(sign)), "")
    key, equals, value = word.removeprefix(sign).partition("=")
    ways = [run] if run is not None else [compose(files, way) for way in _ways(before)]
    groups = files.groups() if run is None else []
    if not equals:
        chosen = {each.lstrip("+").partition("=")[0] for each in before}
        if sign != "+":
            yield from _groups(sign, key, [group for group in groups if group not in chosen], ways[0], files)
        for name, meaning, nested in _keys(key, ways, files, beyond_files=sign == "+"):
            if nested:
                yield Candidate(f"{sign}{name}.", meaning, complete=False)
            elif name not in chosen and name not in groups:
                yield Candidate(f"{sign}{name}" + ("" if bare_keys else "="), meaning, complete=bare_keys)
        return
    is_group = key in groups or "@" in key
    offered = _options(key, files) if is_group else _values(key, ways[0], value.rpartition(",")[2])
    if not _STRUCTURE.search(value):
        yield from _in_a_list(f"{sign}{key}=", value, offered)


def _in_a_list(start: str, value: str, offered: Iterable[Candidate]) -> Iterator[Candidate]:
    """Values, also behind a comma: those that stand there already are not offered again."""
    listed, comma, _ = value.rpartition(",")
    there = listed.split(",") if comma else []
    for candidate in offered:
        if candidate.text not in there:
            yield candidate._replace(text=f"{start}{listed}{comma}{candidate.text}")


def _ways(words: Sequence[str]) -> list[list[str]]:
    """The overrides of the runs that words stand for: several, where a group or a class is swept over."""
    alternatives = []
    for word in words:
        key, equals, value = word.lstrip("+").partition("=")
        if equals and not _STRUCTURE.search(value):
            listed = [f"{key}={each}" for each in value.split(",")]
            changes_keys = "." not in key or "@" in key or key.endswith("_target_")
            alternatives.append(listed if changes_keys else listed[:1])
    return [list(way) for way in itertools.islice(itertools.product(*alternatives), _MOST_RUNS)]


def _groups(sign: str, begun: str, left: Sequence[str], way: Composed, files: ConfigFiles) -> Iterator[Candidate]:
    for group in left:
        names = files.options(group)
        yield Candidate(f"{sign}{group}=", ", ".join(names[:4]) + (" ..." if len(names) > 4 else ""), complete=False)
    if begun:  # rarely wanted, such as optimizer@algo.optimizer=, so not among all there is
        for group in way.choices:
            if "@" in group and not group.startswith(("hydra/", "debug_algo@")):
                yield Candidate(f"{sign}{group}=", "", complete=False)


def _keys(
    begun: str, ways: Sequence[Composed], files: ConfigFiles, *, beyond_files: bool
) -> Iterator[tuple[str, str, bool]]:
    """Full keys of one level, their meaning, and whether there are keys below; of a sweep, what all runs have."""
    parent, dot, name = begun.rpartition(".")
    trees = [tree for way in ways if isinstance(tree := way.at(parent), dict)]
    if len(trees) < len(ways):
        return
    known = _parameters_of(parent, ways[0])
    option = ways[0].choices.get(parent)
    comments = files.comments(f"{parent}/{option}" if dot else "config") if option is not None or not dot else {}
    meanings = comments | {key: parameter.meaning for key, parameter in known.items() if parameter.meaning}
    names = [key for key in trees[0] if all(key in tree for tree in trees)]
    if beyond_files:  # what the files leave out and the class takes
        names += [key for key in known if key not in names and key not in _SUPPLIED.get(parent, ())]
    for key in names:
        if not key.startswith("_") or name.startswith("_"):
            yield f"{parent}{dot}{key}", meanings.get(key, ""), isinstance(trees[0].get(key), dict)


def _options(key: str, files: ConfigFiles) -> Iterator[Candidate]:
    group = key.partition("@")[0]
    for name in files.options(group):
        yield Candidate(name, files.summary(group, name))
    if key in _NULL_TOO:
        yield Candidate("null", "without one")


def _values(key: str, way: Composed, begun: str) -> Iterator[Candidate]:
    """What a key may hold, its present value first."""
    parent, _, name = key.rpartition(".")
    present = way.text(key)
    parameter = _parameters_of(parent, way).get(name, Parameter())
    takes_names = BY_ARGUMENT.get((_target_of(parent, way), name))
    choices: Sequence[str] = takes_names() if takes_names is not None else parameter.choices
    if name == "_target_":
        choices = _targets_instead_of(parent, way)
    elif not choices and present in ("true", "false"):
        choices = ("true", "false")
    if present is not None and (_ONE_WORD.fullmatch(present) or present in choices):
        yield Candidate(present, "as it is")
    yield from map(Candidate, choices)
    if parameter.nullable:
        yield Candidate("null")
    if key in _DIRECTORIES:
        yield from _typeable(paths.directories(begun))
    elif parameter.file:
        yield from _typeable(paths.files(begun))


def _typeable(found: Iterable[tuple[str, bool]]) -> Iterator[Candidate]:
    """Paths that an override takes as they are; Hydra would misread the others."""
    return (each for each in of_paths(found) if _TYPEABLE.fullmatch(each.text))


def _parameters_of(parent: str, way: Composed) -> Mapping[str, Parameter]:
    target = _target_of(parent, way)
    return parameters(target) if target else {}


def _target_of(parent: str, way: Composed) -> str:
    return _SECTIONS.get(parent) or (way.text(f"{parent}._target_") if parent else None) or ""


def _targets_instead_of(parent: str, way: Composed) -> Sequence[str]:
    """Classes that fit where the one at `parent` stands."""
    above, _, name = parent.rpartition(".")
    return _parameters_of(above, way).get(name, Parameter()).targets
