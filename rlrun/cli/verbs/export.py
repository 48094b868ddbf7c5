"""`rlrun export DIR --into NEW`: a policy alone, which can be played and evaluated like its run."""

from __future__ import annotations

from argparse import Namespace
from contextlib import closing
from pathlib import Path

from rlrun.cli.arguments import Arguments
from rlrun.runs.manifest import manifest_of_run


def declare(parser: Arguments) -> None:
    """Adds the arguments."""
    parser.add_argument("directory", metavar="DIR", help="of a run", kind="run")
    parser.add_argument("--checkpoint", metavar="WHICH", help="best, last, or the step of a checkpoint (default: last)")
    parser.add_argument("--into", metavar="NEW", required=True, help="a directory that is made", kind="directory")


def run(chosen: Namespace) -> int:
    """Makes the directory.

    Raises:
        UserError: if there is no such run or policy, or the directory exists or cannot be written.
    """
    directory, into = Path(chosen.directory), Path(chosen.into)
    manifest = manifest_of_run(directory)

    from rlrun.build import build_player
    from rlrun.config.saved import config_of_run
    from rlrun.runs.policies import export_policy, policy_of

    policy = policy_of(directory, chosen.checkpoint)
    with closing(build_player(config_of_run(directory, manifest))) as player:
        policy.load_into(player.agent)
        export_policy(directory, policy, player.agent, into)
    size = sum(path.stat().st_size for path in into.rglob("*") if path.is_file())
    scored = "" if policy.evaluation_mean is None else f", evaluation mean {policy.evaluation_mean:.2f}"
    print(f"{into}: the policy of step {policy.step:,}{scored} ({size / 1e6:.2f} MB)")
    return 0
