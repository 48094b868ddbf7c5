"""`rlrun resume DIR`: an unfinished run goes on, from its own config."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlrun.cli.verbs.words import Words
from rlrun.errors import UserError
from rlrun.runs.lock import refuse_if_running
from rlrun.runs.manifest import manifest_of_run


def resume(argv: Sequence[str]) -> int:
    """Goes on with a run.

    Args:
        argv: the whole command: `rlrun resume DIR [key=value ...]`.

    Raises:
        UserError: if `DIR` is no run, is finished or running, or the words would change the experiment.
    """
    parser = Words("rlrun resume", description="Goes on with an unfinished run, from its own config.")
    parser.add_argument("directory", help="of a run")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="total_steps may grow; not the experiment"
    )
    parser.add_argument("--config-dir", help="where options of your own are searched")
    chosen = parser.parse_intermixed_args(argv[2:])
    directory = Path(chosen.directory)
    manifest = manifest_of_run(directory)
    refuse_if_running(directory)

    from rlrun.config.files import config_directories
    from rlrun.config.saved import config_of_run

    config = config_of_run(directory, manifest, chosen.overrides, config_directories(chosen.config_dir))

    from rlrun.api.running import Command, carry_out, score
    from rlrun.runs.directory import finished_result

    result = finished_result(directory, config.total_steps)
    if result is not None:
        raise UserError(
            f"{directory} is finished: {score(result)}; a larger total_steps= goes on from there, and `rlrun rerun` "
            "repeats it"
        )
    carry_out(config, directory, Command(argv, chosen.overrides))
    return 0
