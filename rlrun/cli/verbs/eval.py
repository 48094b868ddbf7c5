"""`rlrun eval DIR`: evaluates the policy of a run under a named protocol."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from rlrun.cli.arguments import Arguments, natural
from rlrun.runs.manifest import manifest_of_run


def declare(parser: Arguments) -> None:
    """Adds the arguments."""
    parser.add_argument("directory", help="of a run, or of an exported policy", kind="run")
    parser.add_argument(
        "overrides",
        metavar="key=value",
        nargs="*",
        default=[],
        help="protocol=NAME, evaluation.*, env.*",
        kind="run overrides",
    )
    parser.add_argument("--checkpoint", metavar="WHICH", help="best, last (default) or the step of a checkpoint")
    parser.add_argument("--seed", type=natural, default=0, help="of the episodes (default: 0)")
    parser.add_argument("--config-dir", metavar="DIR", help="where to look for protocols of your own", kind="directory")


def run(chosen: Namespace) -> int:
    """Prints the protocol and the result, and adds a line to `eval.jsonl` of the run.

    Raises:
        UserError: if there is no such run, policy or protocol, or they do not fit together.
    """
    directory = Path(chosen.directory)
    manifest = manifest_of_run(directory)
    protocols = [text for text in chosen.overrides if text.startswith("protocol=")]
    overrides = [text for text in chosen.overrides if not text.startswith("protocol=")]

    from rlrun.config.arguments import parse, refuse_repeated
    from rlrun.config.files import config_directories
    from rlrun.config.saved import config_to_evaluate

    refuse_repeated(parse(protocols))
    name = protocols[0].partition("=")[2] if protocols else "own"
    config = config_to_evaluate(directory, manifest, name, overrides, config_directories(chosen.config_dir))

    from rlrun.api.evaluating import evaluate_policy

    evaluate_policy(config, directory, name, overrides, which=chosen.checkpoint, seed=chosen.seed)
    return 0
