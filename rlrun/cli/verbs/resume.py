"""`rlrun resume DIR`: resumes an unfinished run from its own config."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from rlrun.cli.arguments import Arguments
from rlrun.errors import UserError
from rlrun.runs.lock import refuse_if_running
from rlrun.runs.manifest import manifest_of_run


def declare(parser: Arguments) -> None:
    """Adds the arguments."""
    parser.add_argument("directory", help="of a run", kind="run")
    parser.add_argument(
        "overrides",
        metavar="key=value",
        nargs="*",
        default=[],
        help="total_steps may grow; the experiment stays what it is",
        kind="run overrides",
    )
    parser.add_argument("--config-dir", metavar="DIR", help="where to look for options of your own", kind="directory")


def run(chosen: Namespace) -> int:
    """Resumes a run.

    Raises:
        UserError: if it is no run, is finished or running, or an override would change the experiment.
    """
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
            f"{directory} is finished: {score(result)}; a larger total_steps= resumes it from there, and `rlrun rerun` "
            "repeats it"
        )
    carry_out(config, directory, Command(chosen.argv, chosen.overrides))
    return 0
