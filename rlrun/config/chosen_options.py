"""What was chosen must be there, and once; presets of one's own that no run would find are told about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlrun.config.added_files import named_in_defaults
from rlrun.config.chosen_files import ChosenFiles
from rlrun.config.files import options, unknown_option
from rlrun.config.plugins import own_directories, owner
from rlrun.config.suggestions import likeness
from rlrun.errors import UserError

_ALIKE = 0.85  # a preset's file whose name is as like as that to the one that is looked for was meant to be it
_BETWEEN = tuple("_-.0123456789")  # what stands between a pair's name and the rest: dqn_cartpole_fast, dqn_cartpole2


def refuse_missing(chosen: ChosenFiles, directories: Sequence[Path]) -> None:
    """Refuses options that Hydra would leave out without a word, since their groups are optional.

    Raises:
        UserError: naming the option.
    """
    for entry in chosen.entries:
        if entry.is_asked and not entry.exists and entry.option.lower() != "null":
            known = options(directories, entry.group)
            if entry.option not in known:  # else a word has taken it away: ~network
                raise unknown_option(entry.group, entry.option, known, directories)


def refuse_clashes(chosen: ChosenFiles, directories: Sequence[Path]) -> None:
    """No file that a config is made of may have two meanings.

    Raises:
        UserError: naming the files, if an option that was chosen is in several directories.
    """
    for entry in chosen.entries:
        files = [file for directory in directories if (file := directory / f"{entry.path}.yaml").is_file()]
        if len(files) > 1:
            where = " and ".join(f"{file} ({owner(file)})" for file in files)
            raise UserError(
                f"{entry.group}={entry.option} is there {len(files)} times: {where}; rename all but one of them"
            )


def unused_presets(chosen: ChosenFiles, directories: Sequence[Path]) -> list[str]:
    """What to say of presets of one's own that no run finds by itself, where this one finds none or another.

    Presets are found by the name `<algo>_<env>`. Left alone are variants of such names, and what a file names.

    Raises:
        UserError: if one has nearly the name that is looked for here, since that is a slip.
    """
    wanted = chosen.automatic_preset
    if wanted is None:
        return []
    files = [
        file for directory in own_directories(directories) for file in sorted((directory / "preset").glob("*.yaml"))
    ]
    pairs = {f"{algo}_{env}" for algo in options(directories, "algo") for env in options(directories, "env")}
    named = {*pairs, *named_in_defaults(directories, "preset")} if files else pairs
    said = []
    for file in files:
        name = file.stem
        if name in named or any(_is_variant(name, pair) for pair in pairs):
            continue
        if likeness(name, wanted) >= _ALIKE and not name.endswith(wanted):
            raise UserError(
                f"{file} would not be used, though it is nearly called {wanted}, which is looked for here: rename "
                f"it to {wanted}.yaml, or choose: preset={name}, or preset=null for none"
            )
        said.append(
            f"{file} is not used: the preset that is found by itself is called <algo>_<env>, here {wanted}; "
            f"preset={name} chooses it"
        )
    return said


def _is_variant(name: str, pair: str) -> bool:
    before, found, after = name.partition(pair)
    return bool(found) and (not before or before.endswith(_BETWEEN)) and (not after or after.startswith(_BETWEEN))
