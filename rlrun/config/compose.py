"""One run's config: overrides read once, keys looked up, composed once by Hydra's public `compose`, values checked.

Nothing is built, and no directory is made, before all of it is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlrun.annotations import TARGET
from rlrun.annotations.plain_values import takes_only_text
from rlrun.config.arguments import given_text, is_choice, is_hydras, keys_set, parse, refuse_repeated, refuse_several
from rlrun.config.chosen import Chosen, choose, hydra, refuse_other_network
from rlrun.config.config import GROUPS_OF_OBJECTS, LOGGERS, Config, check_plain
from rlrun.config.files import contents, one_line, options, refuse_unread, search_path
from rlrun.config.hydra_settings import refuse_unused_settings
from rlrun.config.keys import Key, as_tree, is_wrong, valid_keys
from rlrun.config.messages import unknown_key, wrong_value
from rlrun.config.unused_keys import refuse_unused
from rlrun.errors import UserError, WrongKeyError


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for: overrides, the files that they choose, and the keys that there are. All keys are right."""

    items: tuple[Override, ...]
    chosen: Chosen
    keys: Mapping[str, Key]
    directories: Sequence[Path]

    @property
    def values(self) -> list[Override]:
        """The overrides that choose no option."""
        return [item for item in self.items if not is_choice(item)]


def load_config(overrides: Sequence[str], directories: Sequence[Path], *, in_sweep: bool = False) -> Config:
    """The checked config of one run.

    Args:
        overrides: as on the command line.
        directories: where config files are searched; the last one has `config.yaml`.
        in_sweep: whether it is one of a sweep's runs, whose files may say how the sweep is launched.

    Raises:
        UserError: if anything is wrong with it.
    """
    asked = request(overrides, directories, in_sweep=in_sweep)
    return checked(asked, composed(asked))


def as_yaml(overrides: Sequence[str], directories: Sequence[Path], *, resolve: bool) -> str:
    """The config of one run as YAML, once all of it is right.

    Args:
        overrides: as on the command line.
        directories: where config files are searched; the last one has `config.yaml`.
        resolve: whether references are followed.

    Raises:
        UserError: if anything is wrong with it.
    """
    asked = request(overrides, directories)
    config = composed(asked)
    checked(asked, config)
    return OmegaConf.to_yaml(config, resolve=resolve)


def request(overrides: Sequence[str], directories: Sequence[Path], *, in_sweep: bool = False) -> Request:
    """Reads the overrides of one run and the files that they choose, and looks at every key that is set.

    Args:
        overrides: as on the command line.
        directories: where config files are searched; the last one has `config.yaml`.
        in_sweep: whether it is one of a sweep's runs, whose files may say how the sweep is launched.

    Raises:
        UserError: if an option does not exist, nothing takes a key, or something has no effect.
    """
    refuse_unread(directories)
    given = parse(overrides)
    refuse_several(given)
    refuse_repeated(given)
    items = [item for item in given if not is_hydras(item)]
    chosen = choose(items, directories)
    refuse_unused_settings([item for item in given if is_hydras(item)], chosen.launching, in_sweep=in_sweep)
    objects = [
        (str(item.key_or_group), item.value())
        for item in items
        if not is_choice(item) and any(key.rpartition(".")[2] == TARGET for key in keys_set(item))
    ]
    written: list[tuple[str, Any]] = [(each.key, each.value or {}) for each in chosen.settings]
    tree = as_tree([*(each for each in written if each[0] not in (*GROUPS_OF_OBJECTS, LOGGERS)), *objects])
    for imports in (False, True):  # what needs no import, which may take seconds, is looked up first
        asked = Request(tuple(items), chosen, valid_keys(tree, imports=imports), directories)
        _refuse_wrong(asked)
    refuse_other_network(chosen)
    return asked


def _refuse_wrong(asked: Request) -> None:
    """Refuses keys that nothing takes, then a run without algorithm or environment: a misspelt key may be why."""
    choices = asked.chosen.choices
    open_groups = [group for group in ("algo", "env") if choices.get(group) is None]
    targets = {str(item.key_or_group) for item in asked.values if str(item.key_or_group).endswith(f".{TARGET}")}
    replaced = tuple(
        f"{item.key_or_group}." for item in asked.values if isinstance(value := item.value(), dict) and TARGET in value
    )
    said = [(each.key, each.place) for each in asked.chosen.settings if not each.key.startswith(replaced)]
    said += [
        (key, f"the command line: {item.input_line}")
        for item in asked.values
        for key in keys_set(item) or [str(item.key_or_group)]
    ]
    for key, place in said:
        if key.split(".")[0] not in open_groups and is_wrong(key, asked.keys):
            parent = key.rpartition(".")[0]
            if f"{parent}.{TARGET}" in targets:
                raise UserError(f"{parent}.{TARGET} has no {key}: replace all, as '{parent}={{{TARGET}: ...}}'")
            raise unknown_key(key, place, asked.keys, choices)
    for group in open_groups:
        raise UserError(f"no {group} is chosen: give {group}=, one of {', '.join(options(asked.directories, group))}")


def composed(asked: Request) -> DictConfig:
    """The config, composed by Hydra from the files that are chosen, with the overrides' values; unresolved.

    Raises:
        UserError: if it cannot be composed.
    """
    with hydra(asked.directories):
        config = hydra_compose("config", overrides=[*asked.chosen.overrides, *search_path(asked.directories)])
    OmegaConf.set_struct(config, False)
    for node in (config, config.get("env")):
        if isinstance(node, DictConfig):
            node.pop("network", None)  # only names a network; `choose` has taken it into account
    return with_values(config, asked)


def with_values(config: DictConfig, asked: Request) -> DictConfig:
    """A config with the values that the overrides of a run give; an object takes the place of what was there.

    Raises:
        UserError: if one cannot be given, or taken away.
    """
    for item in asked.values:
        key, value = str(item.key_or_group), item.value()
        try:
            if item.is_delete():
                parent, _, name = key.rpartition(".")
                node = OmegaConf.select(config, parent) if parent else config
                if item.value_type is not None or name not in node:
                    raise UserError(f"{item.input_line} is not allowed: ~{key} takes away a key that a file sets")
                del node[name]
            else:
                if (
                    key in asked.keys
                    and isinstance(value, bool | int | float)
                    and takes_only_text(asked.keys[key].annotation)
                ):
                    value = given_text(item)
                OmegaConf.update(config, key, value, merge=not (isinstance(value, dict) and TARGET in value))
        except OmegaConfBaseException as error:
            raise UserError(f"{item.input_line} is not valid: {one_line(error)}") from error
    return config


def checked(asked: Request, config: DictConfig) -> Config:
    """Checks everything about a composed config.

    Args:
        asked: what it was composed from.
        config: composed.

    Raises:
        UserError: at the first thing that is wrong.
    """
    raw = _resolved(config)
    labels = _labels(raw, asked)
    try:
        result = check_plain(raw, labels)
        refuse_unused(result, asked.items, asked.chosen)
    except WrongKeyError as problem:
        raise wrong_value(problem, asked.items, asked.chosen.settings) from problem
    return result


def _resolved(config: DictConfig) -> dict[str, Any]:
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise UserError(f"{missing[0]} has no value yet: give {missing[0]}=...")
        container = OmegaConf.to_container(config, resolve=True)
    except (OmegaConfBaseException, ValueError) as error:
        raise UserError(one_line(error)) from error
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _labels(raw: Mapping[str, Any], asked: Request) -> dict[str, str]:
    """Names for people and paths: `pong`, `gym-Acrobot-v1`, `atari-space_invaders`; and the preset that counts."""
    env = str(asked.chosen.choices["env"])
    inside: Mapping[str, Any] = raw["env"] if isinstance(raw.get("env"), Mapping) else {}
    own = contents(asked.directories, f"env/{env}")
    for value in (str(inside[key]) for key in ("game", "id") if inside.get(key) is not None):
        env = env if value in (own.get("game"), own.get("id")) else f"{env}-{value}"
    labels = {"algo": str(asked.chosen.choices["algo"]), "env": env}
    return labels | ({"preset": asked.chosen.preset} if asked.chosen.preset is not None else {})
