"""Hydra's own settings: those of sweeps have an effect under -m, and all others none."""

from __future__ import annotations

from collections.abc import Sequence

from rlrun.config.provenance import Setting
from rlrun.errors import UserError

_OF_SWEEPS = ("hydra.launcher", "hydra.sweeper", "hydra.sweep.dir")


def refuse_in_a_run(words: Sequence[str], settings: Sequence[Setting] = ()) -> None:
    """Refuses everything about Hydra where one run is asked for.

    Args:
        words: `hydra.key=value`.
        settings: where each of them stands, if it is in a file.

    Raises:
        UserError: naming the first.
    """
    refuse_unheeded(words, settings)
    for number, word in enumerate(words):
        where = [f"set in {settings[number].place}"] if settings else []
        raise UserError(f"{word} has no effect without a sweep: add -m on the command line, or leave it out", where)


def refuse_unheeded(words: Sequence[str], settings: Sequence[Setting] = ()) -> None:
    """Refuses what has an effect neither on a run nor on a sweep.

    Args:
        words: `hydra.key=value`.
        settings: where each of them stands, if it is in a file.

    Raises:
        UserError: naming the first.
    """
    for number, word in enumerate(words):
        key = word.lstrip("+~").partition("=")[0].replace("/", ".")
        is_params = key.startswith("hydra.sweeper.params") and not settings
        if is_params or not any(key == each or key.startswith(f"{each}.") for each in _OF_SWEEPS):
            where = [f"set in {settings[number].place}"] if settings else []
            raise UserError(
                f"{word} is not allowed: -m makes a sweep, as -m algo.gamma=0.9,0.8, of which hydra/launcher, "
                "hydra/sweeper and hydra.sweep.dir may be set; runs_dir= and name= say where runs are "
                "kept, --config-dir adds files",
                where,
            )
