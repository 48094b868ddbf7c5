"""What was chosen must be there: options that Hydra would leave out without a word, since their groups are optional."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rlrun.config_files import options, unknown_option
from rlrun.errors import UserError
from rlrun.suggestions import likeness

_ALIKE = 0.85  # a preset's file whose name is as like as that to the one that is looked for was meant to be it
_VARIANT = tuple("_-.0123456789")  # how a name goes on that is a variant on purpose: dqn_cartpole_fast, dqn_cartpole2


def automatic(choices: Mapping[str, str | None], first: str, second: str) -> set[str]:
    """The names that `config.yaml` makes of the options of two groups: `<algo>_<env>`, `none` for one not known."""
    return {f"{one}_{two}" for one in (choices.get(first), "none") for two in (choices.get(second), "none")}


def preset_is_automatic(choices: Mapping[str, str | None]) -> bool:
    """Whether the preset is the one that is found by itself for the algorithm and the environment."""
    return choices.get("preset") in automatic(choices, "algo", "env")


def refuse_missing(choices: Mapping[str, str | None], overrides: Sequence[str], directories: Sequence[Path]) -> None:
    """Refuses options of optional groups that are not there, wherever they were chosen; automatic ones need not be.

    Args:
        choices: the option of every group.
        overrides: what the command line asked for.
        directories: where config files are searched.

    Raises:
        UserError: naming the option, or a preset's file whose name nearly is the automatic one.
    """
    named = [item.removeprefix("preset=").strip("'\"") for item in overrides if item.startswith("preset=")]
    by_itself = {
        "preset": automatic(choices, "algo", "env") - set(named),
        "debug_algo@algo": automatic(choices, "debug", "algo"),
    }
    for place, option in choices.items():
        group = place.partition("@")[0]
        if group not in ("preset", "debug_algo") or option is None or str(option).lower() == "null":
            continue
        known = options(directories, group)
        if option not in known and option not in by_itself.get(place, set()):
            raise unknown_option(group, option, known, directories)
    if not named and preset_is_automatic(choices):
        _refuse_nearly(str(choices["preset"]), directories)


def _refuse_nearly(preset: str, directories: Sequence[Path]) -> None:
    """A preset's file with a slip in its name would be left out, and the run trained with other numbers."""
    algos, envs = options(directories, "algo"), options(directories, "env")
    for directory in directories[:-1]:
        for file in sorted((directory / "preset").glob("*.yaml")):
            name = file.stem
            slip = name != preset and likeness(name, preset) >= _ALIKE
            variant = name.startswith(preset) and name[len(preset) :].startswith(_VARIANT)
            if slip and not variant and not any(name == f"{algo}_{env}" for algo in algos for env in envs):
                raise UserError(
                    f"{file} would not be used, though it is nearly called {preset}, which is looked for here: rename "
                    f"it to {preset}.yaml, or choose: preset={name}, or preset=null for none"
                )
