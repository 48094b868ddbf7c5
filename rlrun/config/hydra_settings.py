"""Hydra's own settings: those of sweeps have an effect under -m, and all others none."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.override_parser.types import Override

from rlrun.config.provenance import Setting
from rlrun.errors import UserError

_OF_SWEEPS = ("hydra.launcher", "hydra.sweeper", "hydra.sweep.dir")


def refuse_unused_settings(items: Sequence[Override], settings: Sequence[Setting], *, in_sweep: bool) -> None:
    """Refuses what has no effect of that which is said about Hydra.

    Args:
        items: on the command line.
        settings: the same in files.
        in_sweep: whether a sweep is asked for.

    Raises:
        UserError: naming the first.
    """
    said: list[tuple[str, list[str]]] = [(str(item.input_line), []) for item in items]
    said += [(f"{each.key}={each.value}", [f"set in {each.place}"]) for each in settings]
    for text, where in said:
        key = text.lstrip("+~").partition("=")[0].replace("/", ".")
        is_params = key.startswith("hydra.sweeper.params") and not where
        if is_params or not any(key == each or key.startswith(f"{each}.") for each in _OF_SWEEPS):
            raise UserError(
                f"{text} is not allowed: of Hydra's settings only {', '.join(_OF_SWEEPS)} may be set, with -m; "
                "values are swept as -m algo.gamma=0.9,0.8, and runs_dir= and name= say where runs are kept",
                where,
            )
        if not in_sweep:
            raise UserError(f"{text} has no effect without a sweep: add -m on the command line, or leave it out", where)
