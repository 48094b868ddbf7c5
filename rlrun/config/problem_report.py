"""What a person reads about a wrong key: what is wrong, where it was set, and what the nearest keys mean."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from yaml import YAMLError

from rlrun.annotations import TARGET
from rlrun.annotations.type_words import shown
from rlrun.config import catalogue
from rlrun.config.config import RUN_VALUES
from rlrun.config.files import GROUPS, merged_option, options
from rlrun.config.hydra_words import choosing, override_key
from rlrun.config.keys import Key, leaves, valid_keys, with_comments
from rlrun.config.provenance import Setting, origin, read, settings
from rlrun.config.schema import check_value, keys_of
from rlrun.config.suggestions import closest, foreign_letters, likeness
from rlrun.errors import UnknownKeyError, UserError, WrongKeyError

_WIDTH = 116
_ALIKE = 0.7  # where another option takes the key, only names that are nearly the same are worth mentioning


def reported(
    problem: WrongKeyError,
    raw: Mapping[str, Any],
    choices: Mapping[str, str | None],
    overrides: Sequence[str],
    directories: Sequence[Path],
) -> UserError:
    """`problem` with where it came from and what would be right.

    Args:
        problem: what a check found.
        raw: the composed config, wrong keys and all.
        choices: the option of every group.
        overrides: what the command line asked for.
        directories: where config files are searched.
    """
    keys = valid_keys(raw, problem.key)
    place = origin(problem.key, overrides, [])
    found: list[Setting] = []
    if place is None or not isinstance(problem, UnknownKeyError) or not all(key.meaning for key in keys.values()):
        with suppress(HydraException, YAMLError, OSError):  # after the rest, since it takes as long as composing
            found = settings(choosing(overrides), directories)
        keys = with_comments(keys, found)
        place = origin(problem.key, overrides, found)
    where = [f"set in {place}".replace("set in the command line", "set on the command line")] if place else []
    given = next((item for item in overrides if override_key(item) == problem.key), "")
    if (of_none := of_no_network(problem.key, given, raw, choices, directories)) is not None:
        return of_none
    if problem.key in GROUPS and not isinstance(raw.get(problem.key), Mapping) and found:
        return _chosen_as_a_key(problem.key, raw.get(problem.key), where)
    if not isinstance(problem, UnknownKeyError):
        details = [*where, *_about(problem.key, keys), *_otherwise(problem.key, overrides, found)]
        details += _of_an_object(problem.key, choices, found, directories)
        return WrongKeyError(str(problem), problem.key, details)
    if (right := _added(problem.key, keys, overrides)) is not None:
        return UnknownKeyError(right, problem.key, [*where, *_candidate(problem.key, keys)])
    targets = [f"{name}.{TARGET}" for name, key in keys.items() if TARGET in key.kind]
    names = [*keys, *targets, *(group for group in GROUPS if group not in keys)]
    close = closest(problem.key, names)
    parent = problem.key.rpartition(".")[0]
    replaced = any(override_key(item) == f"{parent}.{TARGET}" for item in overrides)  # its predecessor's keys are there
    owners = _owners(problem.key, choices, directories) if not replaced else []
    message = f"unknown key {problem.key}"
    if owners:
        name = problem.key.rpartition(".")[2]
        close = [key for key in close if likeness(name, key.rpartition(".")[2]) >= _ALIKE]
        group = problem.key.split(".")[0]
        others = ", ".join(owners[:6]) + (" ..." if len(owners) > 6 else "")
        message += f": it belongs to {group}={others}, not to {group}={choices.get(group)}"
    elif targets_with_it := _other_targets(problem.key, keys):
        message += f": it belongs to {', '.join(targets_with_it)}, not to {keys[problem.key.rpartition('.')[0]].value}"
    elif parent and not any(key.startswith(f"{parent}.") for key in keys):
        message += f": {parent} has no keys" if parent in keys else ""
    if close:
        message += f"; nearest: {', '.join(close)}"
    message += foreign_letters(problem.key)
    details = [*where, *(line for name in close for line in _candidate(name, keys))]
    if replaced:
        details += _replacement(parent, str(keys[parent].value) if parent in keys else "")
    return UnknownKeyError(message, problem.key, details)


def of_no_network(
    key: str,
    word: str,
    raw: Mapping[str, Any],
    choices: Mapping[str, str | None],
    directories: Sequence[Path],
) -> UserError | None:
    """What to say of a word that sets something of the network where there is none; None where there is one.

    Args:
        key: dotted, what is wrong.
        word: the override that sets it; empty where a file does.
        raw: the composed config, wrong keys and all; empty if it could not be composed.
        choices: the option of every group.
        directories: where config files are searched.
    """
    inside, algo = raw.get("network"), raw.get("algo")
    if key.split(".")[0] != "network" or not word or not isinstance(algo, Mapping):
        return None
    if isinstance(inside, Mapping) and TARGET in inside:
        return None
    known = catalogue.target(algo.get(TARGET))
    if known is not None and "network" not in known.runtime:
        return UserError(f"algo={choices.get('algo')} uses no network, so {word} would do nothing: leave it out")
    names = ", ".join(options(directories, "network"))
    return UserError(f"{word} is about a network, and none is chosen: give network=, one of {names}")


def refuse_chosen_as_a_key(group: str, overrides: Sequence[str], directories: Sequence[Path]) -> None:
    """Refuses `algo: dqn` in a file that the words name, which chooses nothing.

    Args:
        group: that is not chosen.
        overrides: what the command line asked for.
        directories: where config files are searched; the last one has `config.yaml`.

    Raises:
        UserError: naming the file.
    """
    for item in overrides:
        kind, _, names = item.partition("=")
        for name in names.strip("[]").split(",") if kind in ("experiment", "debug") else []:
            for directory in directories:
                path = directory / kind / f"{name.strip()}.yaml"
                for setting in read(path, "") if path.is_file() else []:
                    if setting.key == group and setting.value:
                        raise _chosen_as_a_key(group, setting.value, [f"set in {setting.place}"])


def _chosen_as_a_key(group: str, value: object, where: Sequence[str]) -> UserError:
    how = f"give {group}={shown(value)} on the command line"
    if group not in ("experiment", "debug"):  # those are read after the file, so that it cannot choose them
        how = f"write - override /{group}: {shown(value)} into the list defaults: of the file, or {how}"
    return UserError(f"{group}: {shown(value)} in a config file chooses nothing: {how}", where)


def _added(key: str, keys: Mapping[str, Key], overrides: Sequence[str]) -> str | None:
    """How to set a key that is right, and that Hydra does not take since no file sets it; None for a wrong one."""
    value = next((item.partition("=")[2] for item in reversed(overrides) if override_key(item) == key), "...")
    if key in keys:
        return f"no file sets {key}, so it has to be added: +{key}={value}"
    parent, _, name = key.rpartition(".")
    if parent in keys and keys[parent].kind.startswith("a mapping"):
        return f"{parent} is given as a whole: '{parent}={{{name}: {value}}}'"
    return None


def unknown_key(raw: Mapping[str, Any]) -> str | None:
    """The first key in a section or an object that nothing takes; None if there is none.

    Args:
        raw: a composed config; values may be missing.
    """
    keys = valid_keys(raw)
    parents = {name.rpartition(".")[0] for name in keys} - {""}
    for name, _ in leaves(raw):
        parent, _, last = name.rpartition(".")
        if parent in parents and last != TARGET and name not in keys:
            return name
    return None


def _otherwise(key: str, overrides: Sequence[str], found: Sequence[Setting]) -> list[str]:
    """What a wrong value would be if it were left out, where a file underneath says so."""
    before = [setting for setting in found if setting.key == key and setting.value and setting.counts]
    if not any(override_key(item) == key for item in overrides):
        before = before[:-1]
    return [f"without it: {before[-1].value} ({before[-1].place})"] if before else []


def _about(key: str, keys: Mapping[str, Key]) -> list[str]:
    known = keys.get(key)
    return _wrapped(f"{key}: {known.meaning.rstrip('.')}{_unit(known)}") if known is not None and known.meaning else []


def _of_an_object(
    key: str, choices: Mapping[str, str | None], found: Sequence[Setting], directories: Sequence[Path]
) -> list[str]:
    """Where an object stands for which one value was given: its keys, and how to put another one there."""
    inside = [setting for setting in found if setting.key.startswith(f"{key}.")]
    targets = [setting.value for setting in inside if setting.key == f"{key}.{TARGET}"]
    if not targets:
        return []
    names = dict.fromkeys(setting.key for setting in inside if TARGET not in setting.key)
    lines = _wrapped(f"it has keys of its own: {', '.join(names)}") if names else []
    for place in [key] if key in GROUPS else choices:
        group, _, where = place.partition("@")
        if place == key or where == key:
            return [*lines, *_wrapped(f"another one: {place}=, one of {', '.join(options(directories, group))}")]
    others = [name for name in catalogue.alternatives(targets[-1]) if "." in key]
    return lines + [line for other in others[:3] for line in _replacement(key, other)]


def _replacement(key: str, target: str) -> list[str]:
    """How to put another object at `key`: what is there must go first, since Hydra would mix the two."""
    known = catalogue.target(target)
    arguments = "".join(f", {name}: ..." for name in known.parameters) if known is not None else ", ..."
    return [f"another one: '~{key}' '+{key}={{{TARGET}: {target}{arguments}}}'"] if target else []


def _candidate(name: str, keys: Mapping[str, Key]) -> list[str]:
    known = keys.get(name)
    if known is None and name.endswith(f".{TARGET}"):
        return _wrapped(f"{name} = {shown(keys[name.removesuffix(f'.{TARGET}')].value)}: the constructor")
    if known is None:
        return [f"{name}=: a group of config files"] if name in GROUPS else []
    value = "" if known.value is None and known.kind == "a section" else f" = {shown(known.value)}"
    meaning = f": {known.meaning.rstrip('.')}" if known.meaning else ""
    return _wrapped(f"{name}{value} ({known.kind}{_unit(known)}){meaning}")


def _unit(known: Key) -> str:
    return f"; {known.unit}" if known.unit and known.unit not in known.meaning else ""


def _wrapped(text: str) -> list[str]:
    """At most two lines."""
    return textwrap.wrap(text, _WIDTH, subsequent_indent="    ", max_lines=2, placeholder=" ...")


def _other_targets(key: str, keys: Mapping[str, Key]) -> list[str]:
    """The other constructors that could stand where the key's section does, and take it."""
    parent, _, name = key.rpartition(".")
    if "." not in parent or parent not in keys:
        return []
    return [
        other
        for other in catalogue.alternatives(keys[parent].value)
        if (known := catalogue.target(other)) is not None and name in known.parameters
    ]


def check_of_some_network(raw: object, directories: Sequence[Path]) -> None:
    """Refuses what no network takes in `network`, even where another network, or none, is used in the end.

    A preset's numbers may be for another network than the one that was chosen, so each key and value must suit some.

    Raises:
        UserError: naming the key.
    """
    given = {key: value for key, value in raw.items() if key != TARGET} if isinstance(raw, Mapping) else {}
    if not given:
        return
    targets = _networks(raw, directories)
    ours = [known for target in targets if (known := catalogue.target(target)) is not None]
    for key, value in given.items():
        takers = [known.parameters[key].annotation for known in ours if key in known.parameters]
        refusals = _refusals(takers, value, f"network.{key}")
        if len(refusals) < len(takers):
            continue
        others = [annotations[key] for annotations in _others(targets) if key in annotations]  # imported only now
        refusals += _refusals(others, value, f"network.{key}")
        if not refusals and not others:
            raise UnknownKeyError(f"unknown key network.{key}", f"network.{key}")
        if len(refusals) == len(takers) + len(others):
            raise refusals[0]


def _networks(raw: object, directories: Sequence[Path]) -> list[str]:
    """The constructors of all networks there are: those of the files, and the one in `raw`."""
    found: dict[str, None] = {}
    for option in options(directories, "network"):
        with suppress(UserError, YAMLError, OSError):  # a file with an error in it is for its own runs to tell
            found |= dict.fromkeys([str(merged_option(directories, "network", option).get(TARGET))])
    if isinstance(raw, Mapping) and TARGET in raw:
        found |= dict.fromkeys([str(raw[TARGET])])
    return list(found)


def _refusals(annotations: Sequence[Any], value: object, key: str) -> list[UserError]:
    refusals = []
    for annotation in annotations:
        try:
            check_value(annotation, value, key)
        except UserError as refusal:
            refusals.append(refusal)
    return refusals


def _others(targets: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """What networks that are not ours take; those that cannot be imported are for their own runs to tell."""
    for target in targets:
        if catalogue.target(target) is None:
            with suppress(UserError):
                yield keys_of(target, "network", RUN_VALUES)


def _owners(key: str, choices: Mapping[str, str | None], directories: Sequence[Path]) -> list[str]:
    """The other options of the key's group that take it."""
    group, _, inside = key.partition(".")
    if not inside or group not in GROUPS or choices.get(group) is None:
        return []
    return [
        option
        for option in options(directories, group)
        if option != choices[group] and _takes(directories, group, option, inside.split("."))
    ]


def _takes(directories: Sequence[Path], group: str, option: str, parts: Sequence[str]) -> bool:
    """Whether an option's own file, or the constructor that it names, has the key."""
    with suppress(UserError, YAMLError, OSError, ValueError):
        content = merged_option(directories, group, option)
        known = catalogue.target(content.get(TARGET))
        if known is not None and parts[0] not in known.parameters:
            return False
        if len(parts) == 1:
            return known is not None or parts[0] in content
        inside: Any = content
        for part in parts:
            if not isinstance(inside, Mapping) or part not in inside:
                return False
            inside = inside[part]
        return True
    return False
