"""The config of a run that exists, from its own `config.yaml`, whatever today's defaults are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from rlrun.annotations import TARGET
from rlrun.config.arguments import parse, refuse_repeated
from rlrun.config.config import LOGGERS, Config, check_plain
from rlrun.config.files import one_line, options, read_option, unknown_option
from rlrun.config.unused_keys import refuse_unused
from rlrun.errors import UserError
from rlrun.runs.directory import differing_key
from rlrun.runs.manifest import digest

_WHERE = ("runs_dir", "name", "fresh")
_CHOSEN_ANEW = ("device", "logger")  # groups whose options change no experiment
_EXPERIMENT = ("algo", "env", "network", "preset", "experiment", "debug")


def config_of_run(
    directory: Path, manifest: Mapping[str, Any], overrides: Sequence[str] = (), directories: Sequence[Path] = ()
) -> Config:
    """The checked config of the run in `directory`, with `overrides`.

    Args:
        directory: of the run.
        manifest: of the run.
        overrides: `key=value`; only such as leave the experiment what it is.
        directories: where options of groups are searched.

    Raises:
        UserError: naming the key, if the experiment would be another one.
    """
    raw = read_config(directory, manifest)
    items = parse(overrides)
    refuse_repeated(items)
    asked = []
    for override in items:
        key = _refused_or_key(override)
        _set(raw, key, _value(override, key, directories))
        asked.append(key)
    config = check_plain(raw | {"fresh": False}, manifest["labels"])
    refuse_unused(config, items)
    _check_same(directory, manifest, config, asked)
    return config


def read_config(directory: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What `config.yaml` of the run in `directory` says, as rlrun wrote it.

    Raises:
        UserError: if it cannot be read, or was changed since.
    """
    path = directory / "config.yaml"
    try:
        text = path.read_text(encoding="utf-8")
        if digest(text) not in manifest["config_digests"]:
            raise UserError(
                f"{path} was changed since rlrun wrote it: give the overrides that it was started with instead, which "
                f"write it again (`rlrun show {path.parent}` has them), or put its old content back"
            )
        content = OmegaConf.to_container(OmegaConf.create(text))
    except (OSError, ValueError, OmegaConfBaseException, YAMLError) as error:
        raise UserError(f"{path} cannot be read: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is not the config of a run")
    return {str(key): value for key, value in content.items()}


def _refused_or_key(override: Override) -> str:
    key = str(override.key_or_group)
    if override.type is not OverrideType.CHANGE or override.package is not None:
        raise UserError(f"{override.input_line} is not allowed: an existing run has all its keys; write key=value")
    if override.is_sweep_override():
        raise UserError(f"{key} gives several values, but only one run is resumed")
    if key in _WHERE:
        raise UserError(f"{key}= is not allowed here: the run stays where it is")
    if key in _EXPERIMENT:
        raise UserError(
            f"{key}= would change the experiment, and the run belongs to the one that it began with: "
            f"`rlrun {override.input_line} ...` starts a new run"
        )
    return key


def _value(override: Override, key: str, directories: Sequence[Path]) -> Any:
    value = override.value()
    if key not in _CHOSEN_ANEW:
        return value
    known = options(directories, key)
    several = value if isinstance(value, list) and key == LOGGERS else [value]
    for name in several:
        if name not in known:
            raise unknown_option(key, str(name), known, directories)
    contents = {str(name): read_option(directories, key, str(name)) for name in several}
    if key != LOGGERS:
        return contents[str(value)]
    return {name: content for name, content in contents.items() if TARGET in content}


def _set(raw: dict[str, Any], key: str, value: Any) -> None:
    """Sets a dotted key; whether there is such a key is for the check to say."""
    *parents, name = key.split(".")
    for parent in parents:
        inside = raw.setdefault(parent, {})
        if not isinstance(inside, dict):
            raise UserError(f"unknown key {key}: {parent} has no keys")
        raw = inside
    raw[name] = value


def _check_same(directory: Path, manifest: Mapping[str, Any], config: Config, asked: Sequence[str]) -> None:
    if config.seed != manifest["seed"]:
        raise UserError(f"seed={config.seed} would be another run: this one has seed={manifest['seed']}")
    difference = differing_key(manifest["experiment"], config.experiment())
    if difference is not None:
        key, old, new = difference
        if any(key == name or key.startswith(f"{name}.") for name in asked):
            raise UserError(
                f"{key}={new} would change the experiment, in which {key}={old}; leave it out, or start a new run"
            )
        raise UserError(
            f"{key} is not what {directory} was made with: {old} then, {new} now (a relative path counts from where "
            f"the run was begun, {manifest['working_directory']})"
        )
    if config.total_steps < manifest["total_steps"]:
        raise UserError(
            f"total_steps={config.total_steps} is less than the {manifest['total_steps']} that {directory} is for: "
            "it may only grow"
        )
