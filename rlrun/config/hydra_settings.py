"""Hydra's own settings: those of sweeps have an effect under -m, and all others none."""

from __future__ import annotations

from collections.abc import Sequence

from rlrun.config.provenance import Setting
from rlrun.errors import UserError

_OF_SWEEPS = ("hydra.launcher", "hydra.sweeper", "hydra.sweep.dir")


def refuse_unheeded(words: Sequence[str], settings: Sequence[Setting] = (), *, in_sweep: bool) -> None:
    """Refuses what has no effect of that which is said about Hydra.

    Args:
        words: `hydra.key=value`, on the command line.
        settings: the same in files.
        in_sweep: whether a sweep is asked for.

    Raises:
        UserError: naming the first.
    """
    said: list[tuple[str, list[str]]] = [(word, []) for word in words]
    said += [(f"{each.key}={each.value}", [f"set in {each.place}"]) for each in settings]
    for word, where in said:
        key = word.lstrip("+~").partition("=")[0].replace("/", ".")
        is_params = key.startswith("hydra.sweeper.params") and not where
        if is_params or not any(key == each or key.startswith(f"{each}.") for each in _OF_SWEEPS):
            raise UserError(
                f"{word} is not allowed: -m makes a sweep, as -m algo.gamma=0.9,0.8, of which hydra/launcher, "
                "hydra/sweeper and hydra.sweep.dir may be set; runs_dir= and name= say where runs are "
                "kept, --config-dir adds files",
                where,
            )
        if not in_sweep:
            raise UserError(f"{word} has no effect without a sweep: add -m on the command line, or leave it out", where)
