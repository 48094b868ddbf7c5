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
from rlrun.config.arguments import keys_set, parse, refuse_repeated
from rlrun.config.config import LOGGERS, Config, check_plain
from rlrun.config.files import one_line, options, text_of, unknown_option
from rlrun.config.keys import as_tree
from rlrun.config.unused_keys import refuse_unused
from rlrun.errors import UserError, WrongKeyError
from rlrun.runs.directory import differing_key
from rlrun.runs.manifest import digest, flat

_WHERE = ("runs_dir", "name", "fresh")
_WITHOUT_EFFECT = {  # of a policy's evaluation
    "evaluation.every_steps": "a policy is evaluated once",
    "env.num_envs": "an evaluation has evaluation.num_envs environments in parallel",
}
_CHOSEN_ANEW = ("device", "logger")  # groups whose options change no experiment


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
    items = parse(overrides)
    refuse_repeated(items)
    given = {key: _value(override, key, directories) for override in items for key in [_key(override)]}
    saved = read_config(directory, manifest)
    kept = {key: value for key, value in saved.items() if key not in _CHOSEN_ANEW or key not in given}
    raw = as_tree([*kept.items(), *given.items()])
    config = check_plain(raw | {"fresh": False}, manifest["labels"])
    refuse_unused(config, items)
    _check_same(directory, manifest, config)
    return config


def config_to_evaluate(
    directory: Path,
    manifest: Mapping[str, Any],
    protocol: str,
    overrides: Sequence[str] = (),
    directories: Sequence[Path] = (),
) -> Config:
    """The checked config of the run in `directory`, to evaluate its policy: `evaluation` and `env` may be others.

    Args:
        directory: of the run, or of an exported policy.
        manifest: of the run.
        protocol: a name from `conf/protocol`.
        overrides: `evaluation.key=value` and `env.key=value`, which go before the protocol's.
        directories: where options of groups are searched.

    Raises:
        UserError: naming the key, if it is neither or has no effect.
    """
    known = options(directories, "protocol")
    if protocol not in known:
        raise unknown_option("protocol", protocol, known)
    of_protocol = flat(OmegaConf.to_container(OmegaConf.create(text_of(directories, f"protocol/{protocol}"))))
    items = parse(overrides)
    refuse_repeated(items)
    given = {_key(override): override.value() for override in items}
    for override, key in zip(items, given, strict=True):
        if key.split(".")[0] not in ("evaluation", "env"):
            raise UserError(f"{override.input_line} is not allowed here: an evaluation changes evaluation.* and env.*")
        for key_set in keys_set(override):
            if why := _WITHOUT_EFFECT.get(key_set):
                raise UserError(f"{override.input_line} has no effect here: {why}; leave it out")
    raw = as_tree([*read_config(directory, manifest).items(), *of_protocol.items(), *given.items()])
    try:
        return check_plain(raw | {"fresh": False}, manifest["labels"])
    except WrongKeyError as error:
        if error.key in of_protocol:
            raise UserError(f"protocol={protocol} does not fit this run, whose env has no such key: {error}") from error
        raise


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


def _key(override: Override) -> str:
    key = str(override.key_or_group)
    if override.type is not OverrideType.CHANGE or override.package is not None or override.is_sweep_override():
        raise UserError(f"{override.input_line} is not allowed: an existing run has all its keys; write key=value")
    if key in _WHERE:
        raise UserError(f"{key}= is not allowed here: the run stays where it is")
    return key


def _value(override: Override, key: str, directories: Sequence[Path]) -> Any:
    """What `key` becomes; of a group, what its option sets."""
    name = override.value()
    if key not in _CHOSEN_ANEW:
        return name
    several = name if isinstance(name, list) and key == LOGGERS else [name]
    found = {}
    for option in several:
        files = [file for directory in directories if (file := directory / key / f"{option}.yaml").is_file()]
        if not files:
            raise unknown_option(key, str(option), options(directories, key))
        found[str(option)] = OmegaConf.to_container(OmegaConf.load(files[0])) or {}
    if key != LOGGERS:
        return found[str(name)]
    return {option: content for option, content in found.items() if TARGET in content}


def _check_same(directory: Path, manifest: Mapping[str, Any], config: Config) -> None:
    if config.seed != manifest["seed"]:
        raise UserError(f"seed={config.seed} would be another run: this one has seed={manifest['seed']}")
    difference = differing_key(manifest["experiment"], config.experiment())
    if difference is not None:
        key, old, new = difference
        raise UserError(
            f"{key}={new} would change the experiment, in which {key}={old}; leave it out, or start a new run (a "
            f"relative path counts from where the run was begun, {manifest['working_directory']})"
        )
    if config.total_steps < manifest["total_steps"]:
        raise UserError(
            f"total_steps={config.total_steps} is less than the {manifest['total_steps']} that {directory} is for: "
            "it may only grow"
        )
