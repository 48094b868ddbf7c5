"""Hydra's own settings: which of them rlrun heeds, and a refusal of all that would do nothing or something else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import OmegaConf

from rlrun.config.keys import leaves
from rlrun.config.suggestions import closest
from rlrun.errors import UnknownKeyError, UserError

PARTS = ("launcher", "sweeper")  # of Hydra, that others can stand in for
_OWN = ("BasicLauncher", "BasicSweeper")
_WHERE = "runs_dir= and name= say where a run is kept"
# What must stay as rlrun's config.yaml has it, and what to do instead.
_FIXED: Mapping[str, tuple[Any, str]] = {
    "hydra.run.dir": (".", _WHERE),
    "hydra.output_subdir": (None, _WHERE),
    "hydra.sweep.subdir": (".", _WHERE),
    "hydra.job.chdir": (False, _WHERE),
    "hydra.mode": (None, "-m makes a sweep, and nothing else does"),
}
_NO_WORD: Mapping[str, str] = {
    **{key: instead for key, (_, instead) in _FIXED.items()},
    "hydra.searchpath": "--config-dir adds a directory with config files",
    # Hydra itself fails on these
    "hydra.sweeper.params": "for files only; on the command line a sweep is written -m algo.gamma=0.9,0.8",
    "hydra.runtime": "Hydra writes down there what it has found",
    "hydra.overrides": "Hydra writes down there which words were given",
}
_OF_SWEEPS = ("hydra.launcher", "hydra.sweeper", "hydra.sweep", "hydra/launcher", "hydra/sweeper")
_SWEEP_DIRECTORY = "${runs_dir}/sweeps"  # as config.yaml has it
_OPEN = {"env"}  # a group of Hydra's own whose content is anybody's


def refuse_words(overrides: Sequence[str], *, in_sweep: bool) -> None:
    """Refuses words of Hydra's own that rlrun would not heed.

    Args:
        overrides: as on the command line.
        in_sweep: whether they are those of a sweep.

    Raises:
        HydraException: if one of them cannot be read.
        UserError: naming the word.
    """
    hydras = [item for item in overrides if item.lstrip("+~").startswith(("hydra=", "hydra.", "hydra/", "hydra@"))]
    hydras += [item for item in overrides if item.lstrip("+~") == "hydra"]
    for item in OverridesParser.create().parse_overrides(hydras):
        for key in set_by(item):
            if not in_sweep and any(_touches(key, item, part) for part in _OF_SWEEPS):
                raise UserError(
                    f"{item.input_line} would do nothing: launchers and sweepers are for sweeps, which -m makes on the "
                    "command line; add -m, or leave it out"
                )
            instead = next((text for fixed, text in _NO_WORD.items() if _touches(key, item, fixed)), None)
            if instead is not None:
                raise UserError(f"{item.input_line} cannot be: {instead}")


def set_by(item: Override) -> list[str]:
    """The dotted keys that an override sets: several for `key={name: value}`."""
    key = str(item.key_or_group) + (f"@{item.package}" if item.package is not None else "")
    value = None if item.is_delete() or item.is_sweep_override() else item.value()
    return list(_inside(key, value))


def _inside(key: str, value: Any) -> Iterator[str]:
    if not isinstance(value, dict) or not value:
        yield key
        return
    for name, inner in value.items():
        yield from _inside(f"{key}.{name}", inner)


def _touches(key: str, item: Override, part: str) -> bool:
    inside = key == part or key.startswith(f"{part}.")
    return inside or (item.is_delete() and part.startswith((f"{key}.", f"{key}/")))


def refuse_settings(hydra: Mapping[str, Any], directories: Sequence[Path], *, in_sweep: bool) -> None:
    """Refuses what config files, or words, make of Hydra's own node where rlrun would not heed it.

    Args:
        hydra: the node, unresolved, as composed before Hydra starts anything.
        directories: where config files are searched.
        in_sweep: whether it is a sweep's, or of one of its runs.

    Raises:
        UserError: naming what is set.
    """
    unknown = next(_unknown(hydra, HydraConf, "hydra"), None)
    if unknown is not None:
        raise unknown_hydra_key(unknown, directories)
    for key, (wanted, instead) in _FIXED.items():
        value = _at(hydra, key)
        if value != wanted:
            raise UserError(f"a config file sets {key}={_word(value)}, which cannot be: {instead}")
    if not in_sweep:
        if (directory := set_sweep_directory(hydra)) is not None:
            raise _ignored("sweep", {"dir": directory})
        for part in PARTS:
            if settings := given(hydra, part):
                raise _ignored(part, settings)
    size = hydra["sweeper"].get("max_batch_size")
    if isinstance(size, int) and size < 1 and str(hydra["sweeper"].get("_target_")).endswith(_OWN):
        raise UserError(
            f"hydra.sweeper.max_batch_size={size} is not valid: it must be a whole number >= 1, or null for all at once"
        )


def keeps_files(hydra: Mapping[str, Any]) -> bool:
    """Whether somebody wants what a sweep keeps in `hydra.sweep.dir`: who has set it, or a launcher not Hydra's own.

    Args:
        hydra: Hydra's own node of the sweep, unresolved.
    """
    return not runs_here(hydra) or set_sweep_directory(hydra) is not None


def runs_here(hydra: Mapping[str, Any]) -> bool:
    """Whether Hydra's own launcher carries a sweep out: one run after the other, in this process.

    Args:
        hydra: Hydra's own node of the sweep, unresolved.
    """
    return str(hydra["launcher"].get("_target_")).endswith(_OWN)


def set_sweep_directory(hydra: Mapping[str, Any]) -> str | None:
    """What somebody has set `hydra.sweep.dir` to; None where it is as rlrun has it."""
    directory = _at(hydra, "hydra.sweep.dir")
    return None if directory == _SWEEP_DIRECTORY else str(directory)


def _ignored(part: str, settings: Mapping[str, Any]) -> UserError:
    return UserError(
        f"a config file sets hydra.{part} ({in_words(settings)}), which would do nothing without a sweep: "
        "add -m on the command line, or leave that file out"
    )


def given(hydra: Mapping[str, Any], part: str) -> dict[str, Any]:
    """What of the launcher or sweeper is not as Hydra has it by itself."""
    return {
        key: value
        for key, value in hydra[part].items()
        if value is not None and not (key == "_target_" and str(value).endswith(_OWN))
    }


def in_words(settings: Mapping[str, Any]) -> str:
    """Settings as one would type them."""
    return ", ".join(f"{key}={value}" for key, value in settings.items())


def _word(value: Any) -> str:
    named = value.name if isinstance(value, RunMode) else value
    return "null" if named is None else str(named)


def _at(hydra: Mapping[str, Any], key: str) -> Any:
    node: Any = hydra
    for name in key.split(".")[1:]:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def _unknown(node: Mapping[str, Any], schema: type, place: str) -> Iterator[str]:
    """Keys that Hydra has no use for: a `+` puts them past its own check."""
    types = get_type_hints(schema)
    for name, value in node.items():
        if name not in types:
            if place != "hydra" or name not in _OPEN:
                yield f"{place}.{name}"
        elif isinstance(value, Mapping) and dataclasses.is_dataclass(types[name]):
            yield from _unknown(value, types[name], f"{place}.{name}")


def unknown_hydra_key(key: str, directories: Sequence[Path]) -> UserError:
    """The error for a key that Hydra's own node does not have; keys of open mappings are added with a +."""
    loader = ConfigLoaderImpl(create_config_search_path(str(directories[-1])))
    composed = loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)
    hydra = OmegaConf.to_container(composed.hydra, resolve=False)
    assert isinstance(hydra, dict)
    parent = key.rpartition(".")[0]
    if _at({str(name): value for name, value in hydra.items()}, parent) == {}:
        return UnknownKeyError(f"unknown key {key}, which would be Hydra's; to add it: +{key}=...", key)
    known = [name for name, _ in leaves({"hydra": hydra})]
    near = closest(key, known) or ["hydra.job.env_set", "hydra.job.env_copy", "hydra.verbose"]
    return UnknownKeyError(f"unknown key {key}, which would be Hydra's; nearest: {', '.join(near)}", key)


def refuse_references(raw: Mapping[str, Any]) -> None:
    """Refuses `${hydra:...}`: what it stands for is known only when Hydra has started a run, after all checks.

    Args:
        raw: the config without Hydra's node, unresolved.

    Raises:
        UserError: naming the key.
    """
    for key, value in leaves(raw):
        if not isinstance(value, Mapping) and "${hydra:" in str(value):
            raise UserError(
                f"{key}={value} cannot be: ${{hydra:...}} has no value yet when a run is checked, before it starts"
            )
