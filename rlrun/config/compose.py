"""Composing configs with Hydra outside of its jobs, and saying in one line why it would not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict
from yaml import YAMLError

from rlrun.annotations import TARGET
from rlrun.config.added_files import file_not_read, misplaced_in_packages, refuse_misplaced, refuse_unheaded
from rlrun.config.checked import check
from rlrun.config.config import CONFIG_KEYS, Config
from rlrun.config.files import GROUPS, not_yaml, one_line, options, resolve_env, search_path, unknown_option
from rlrun.config.hydra_settings import refuse_references, refuse_settings, refuse_words, unknown_hydra_key
from rlrun.config.hydra_words import NO_SPACES, OPTIONS_OF, for_hydra, override_key
from rlrun.config.keys import valid_keys
from rlrun.config.problem_report import of_no_network, refuse_chosen_as_a_key, reported
from rlrun.config.provenance import shown_path
from rlrun.config.repeated_words import refuse_repeated
from rlrun.config.suggestions import closest, foreign_letters
from rlrun.config.text_keys import as_written
from rlrun.errors import UnknownKeyError, UserError

_SPECIAL = "[](){},:=#'\"\\"


def load_config(overrides: Sequence[str], directories: Sequence[Path], *, in_sweep: bool = False) -> Config:
    """The checked config of one run.

    Args:
        overrides: as on the command line.
        directories: where config files are searched; the last one has `config.yaml`.
        in_sweep: whether it is one of a sweep's runs, whose files may say how the sweep is launched.

    Raises:
        UserError: if anything is wrong with it.
    """
    composed, choices = compose_run(overrides, directories, in_sweep=in_sweep)
    task = [item for item in resolve_env(directories, overrides) if not item.startswith(("hydra.", "hydra/", "hydra="))]
    return check(composed, choices, task, directories)


def compose_run(
    overrides: Sequence[str], directories: Sequence[Path], *, in_sweep: bool
) -> tuple[DictConfig, dict[str, str | None]]:
    """The config of one run without Hydra's node, which has been checked, and the option of every group.

    Args:
        overrides: as on the command line.
        directories: where config files are searched; the last one has `config.yaml`.
        in_sweep: whether it is one of a sweep's runs.

    Raises:
        UserError: if it cannot be composed, or asks of Hydra what rlrun would not heed.
    """
    refuse_misplaced(directories)
    resolved = as_written(resolve_env(directories, overrides), directories)
    try:
        words = for_hydra(resolved)
        refuse_repeated(overrides)
        refuse_words(resolved, in_sweep=in_sweep)
        return _compose(words, directories, in_sweep=in_sweep)
    except (HydraException, YAMLError) as error:
        raise explain(error, resolved, directories) from error
    except ValueError as error:  # Hydra's and Python's own, about a file's first line or its letters
        file = file_not_read(directories)
        what = (
            f"{file} must be UTF-8 text that begins with the line # @package _global_, or none such: " if file else ""
        )
        raise UserError(f"{what}{one_line(error)}") from error


def _compose(
    overrides: list[str], directories: Sequence[Path], *, in_sweep: bool
) -> tuple[DictConfig, dict[str, str | None]]:
    """The config without Hydra's node, which is checked, and the option of every group."""
    added = search_path(directories)
    with initialize_config_dir(str(directories[-1]), version_base="1.3"):
        composed = compose("config", overrides=[*overrides, *added], return_hydra_config=True)
    choices = dict(composed.hydra.runtime.choices)
    hydra = OmegaConf.to_container(composed.hydra, resolve=False)
    assert isinstance(hydra, dict)
    refuse_settings({str(key): value for key, value in hydra.items()}, directories, in_sweep=in_sweep)
    OmegaConf.set_readonly(composed, False)
    with open_dict(composed):
        del composed["hydra"]
    raw = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(raw, dict)
    refuse_references({str(key): value for key, value in raw.items()})
    return composed, choices


def explain(error: HydraException | YAMLError, overrides: Sequence[str], directories: Sequence[Path]) -> UserError:
    """An error of composing in one line of our own.

    Args:
        error: what composing raised; of YAML, it names file and line.
        overrides: what was composed.
        directories: where config files are searched.
    """
    text = str(error)
    if isinstance(error, YAMLError):
        return UserError(not_yaml(error))
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        problem = unknown_option(group.lstrip("/"), name, sorted(error.options or []), directories)
        return UserError(str(problem), [*problem.details, *misplaced_in_packages(directories)])
    if match := re.match(r"You must specify '([^']+)'", text):
        for item in overrides:  # a misspelt word may be why it is missing
            key = override_key(item)
            if key.split(".")[0] not in (*CONFIG_KEYS, *OPTIONS_OF, "hydra") and "/" not in key:
                return reported(UnknownKeyError(f"unknown key {key}", key), {}, {}, overrides, directories)
        refuse_unheaded(overrides, directories, CONFIG_KEYS)
        refuse_chosen_as_a_key(match[1], overrides, directories)
        known = ", ".join(options(directories, match[1]))
        return UserError(f"no {match[1]} is chosen: give {match[1]}=, one of {known}")
    if match := re.match(r"(?:Could not override|Could not delete from config\.) '([^']+)'", text):
        inside = re.search(r"full_key: (\S+)", str(error.__cause__))  # what is wrong in key={name: value}
        key = inside[1] if inside is not None and inside[1].startswith(f"{match[1]}.") else match[1]
        if key.startswith("hydra."):
            return unknown_hydra_key(key, directories)
        wrong = () if match[1] in GROUPS else (match[1],)
        right = [item for item in overrides if item.lstrip("+~").partition("=")[0] not in wrong]
        raw, choices = _without_values(right, directories)
        if text.startswith("Could not delete") and key in valid_keys(raw):
            return UserError(f"~{key} would do nothing: {key} is null")
        given = next((item for item in overrides if item.lstrip("+~").partition("=")[0] == match[1]), "")
        group, _, package = match[1].partition("@")
        if package and group in GROUPS:
            value = given.partition("=")[2]
            return UserError(f"{given} cannot be: {group} has one place, where {group}={value} puts it")
        if (of_none := of_no_network(key, given, raw, choices, directories)) is not None:
            return of_none
        if places := [place for place in choices if place.startswith(f"{match[1].partition('@')[0]}@")]:
            return _misplaced_group(match[1], places, choices, directories)
        if key != match[1] and f"{TARGET}:" in given:
            return UserError(
                f"{given} would be mixed with the keys that {match[1]} has; to replace them: '~{match[1]}' '+{given}'"
            )
        return reported(UnknownKeyError(f"unknown key {key}", key), raw, choices, overrides, directories)
    if match := re.match(r"Ambiguous value for argument '([^']+)'", text):
        key = match[1].partition("=")[0]  # the word itself may have been translated
        given = next((item for item in overrides if item.partition("=")[0] == key), match[1])
        return UserError(
            f"{given} gives several values: add -m on the command line to run each of them, in Python run them in a "
            "loop, or write a list as [a,b]"
        )
    if match := re.match(r"In '([^']+)': Could not override '([^']+)'", text):
        return _not_overridden(match[1], match[2], overrides, directories)
    if match := re.match(r"Could not append to config\. An item is already at '([^']+)'", text):
        given = next((item for item in overrides if item.startswith(f"+{match[1]}=")), f"+{match[1]}=...")
        return UserError(f"{given} cannot be: + adds a key, and {match[1]} is there already; write {given[1:]}")
    if match := re.match(r"Could not delete from config\. The value of '([^']+)' is (.*) and not (.*)\.", text):
        return UserError(f"~{match[1]}={match[3]} cannot be: {match[1]} is {match[2]}")
    if match := re.match(r"Multiple values for ([^.]+)\.|(\S+) appears more than once in the final defaults", text):
        group = match[1] or match[2]
        for given in (item for item in overrides if item.startswith(f"+{group}=")):
            return _chosen_with_plus(given)
    if match := re.match(r"force-add of config groups is not supported: '(.*)'", text):
        return _chosen_with_plus(match[1])
    if match := re.match(r"Error merging override (.*)", text):
        cause = one_line(error.__cause__) if isinstance(error.__cause__, Exception) else "Hydra cannot take it"
        return UserError(f"{match[1]} is not valid: {cause}")
    if match := re.match(r"In '([^']+)': .*Key '\w+' not in '.*full_key: (hydra\.\S+)", text, re.DOTALL):
        problem = unknown_hydra_key(match[2], directories)
        return UserError(f"{problem}; set in the config file {match[1]}")
    if match := re.match(r"Error in call to target '[^']*\b(\w+)':.*?\(['\"](.*)['\"],?\)", text, re.DOTALL):
        return UserError(f"{match[1]}, which Hydra runs a sweep with, cannot be made: {match[2]}")
    if isinstance(error, OverrideParseException):
        return unreadable(error)
    return UserError(one_line(error))


def unreadable(error: OverrideParseException) -> UserError:
    """An override that Hydra's grammar does not take, in words: the grammar's own are for those who know it."""
    override = str(error.override)
    key, equals, value = override.partition("=")
    if not equals:
        return UserError(f"cannot read '{override}': {NO_SPACES}")
    is_name = key.lstrip("+~").partition("@")[0] in OPTIONS_OF
    if foreign := foreign_letters(f"{key}{value}" if is_name else key):
        return UserError(f"cannot read '{override}': keys and options are in Latin letters{foreign}")
    if value.startswith("="):
        return UserError(f"cannot read '{override}': write one =, as {key}={value.lstrip('=')}")
    special = [character for character in _SPECIAL if character in value]
    if not special:
        return UserError(
            f"cannot read '{override}': {key} and {value} must be a key and a value as they are, or text in quotes "
            f"twice: \"{key}='...'\""
        )
    return UserError(
        f"cannot read '{override}': the value has {' '.join(special)} where it cannot be; a list is {key}=[a,b], "
        f"several runs are {key}=a,b with -m, and text with such characters is quoted twice: \"{key}='...'\""
    )


def _chosen_with_plus(word: str) -> UserError:
    return UserError(f"{word} cannot be: an option of a group is chosen without +, as {word.lstrip('+')}")


def _not_overridden(file: str, group: str, overrides: Sequence[str], directories: Sequence[Path]) -> UserError:
    """An entry `override /group: option` of a defaults list that Hydra does not take."""
    path = next((path for each in directories if (path := each / f"{file}.yaml").is_file()), Path(f"{file}.yaml"))
    if group in GROUPS:
        return UserError(
            f"{shown_path(path)} cannot override /{group}, which is chosen after it: give {group}= on the command line"
        )
    kind, _, package = group.partition("@")
    owner = package.split(".")[0]
    if owner in GROUPS and options(directories, kind):
        chosen = next((item for item in overrides if override_key(item) == owner), f"this {owner}")
        return UserError(f"{shown_path(path)} overrides /{group}, but {chosen} has none: the file is not for it")
    near = closest(group, [*GROUPS, "optimizer@algo.optimizer"])
    return UserError(f"{shown_path(path)} overrides /{group}, which no run has here; nearest: {', '.join(near)}")


def _misplaced_group(
    word: str, places: Sequence[str], choices: Mapping[str, str | None], directories: Sequence[Path]
) -> UserError:
    """`optimizer=rmsprop`: a group whose options are put elsewhere, which the word must say."""
    names = ", ".join(options(directories, places[0].partition("@")[0]))
    details = [f"{place} = {choices[place]}: a group of config files: {names}" for place in places]
    return UnknownKeyError(f"unknown key {word}; nearest: {', '.join(places)}", word, details)


def _without_values(
    overrides: Sequence[str], directories: Sequence[Path]
) -> tuple[Mapping[str, Any], Mapping[str, str | None]]:
    """The same config without the keys that were set, and its choices: it knows what keys there are."""
    chosen = [
        item for item in overrides if item.split("=")[0].partition("@")[0] in OPTIONS_OF and not set(item) & set(",{")
    ]
    with suppress(HydraException):  # then it is a group that is wrong, and top-level names are all that helps
        composed, choices = _compose(for_hydra(chosen), directories, in_sweep=True)
        content = OmegaConf.to_container(composed)
        assert isinstance(content, dict)
        return {str(key): value for key, value in content.items()}, choices
    return {}, {}
