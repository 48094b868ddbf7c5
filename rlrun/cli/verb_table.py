"""The verbs, once: the command line, `rlrun --help` and completion read this. A verb is imported when it is used.

Each has a module of its name in `rlrun.cli.verbs` with two functions: `declare(parser)` adds its arguments, and
`run(chosen)` does what they ask and returns the exit status. `chosen.argv` is the whole command.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from rlrun.cli.arguments import Arguments


class Verb(NamedTuple):
    """One row of the table."""

    usage: str  # what follows it, as `rlrun --help` shows it
    summary: str
    trains: bool = False  # a signal waits until it has saved; the others may just end


VERBS: Mapping[str, Verb] = {
    "ls": Verb("[RUNS_DIR]", "all runs: state, progress, evaluation"),
    "show": Verb("DIR", "what a run is, and its result"),
    "resume": Verb("DIR [key=value]", "resume a run from its own config; total_steps may grow", trains=True),
    "rerun": Verb("DIR [--into NEW]", "the same run again, and whether every bit is equal", trains=True),
    "eval": Verb("DIR [protocol=NAME]", "evaluates the policy of a run under a named protocol (docs/evaluation.md)"),
    "diff": Verb("A B", "which key, version or first step differs between two runs"),
    "report": Verb("DIR ...", "curves, scores with intervals over seeds, comparisons: pictures and a page"),
    "video": Verb("DIR ...", "policies of runs as they play, or with --episode N an episode of training"),
    "watch": Verb("DIR", "the policy of a run as it plays, in the terminal; a run in training is followed"),
    "play": Verb("env=... [env.key=value]", "play an environment at the keyboard"),
    "export": Verb("DIR --into NEW", "a policy alone, which can be played and evaluated like its run"),
    "explain": Verb("key=value ... [key]", "every key of a run: range, value, origin, meaning"),
    "check": Verb("algo=... env=...", "whether an agent and an environment, yours or ours, keep the contracts"),
    "bench": Verb("", "how fast this machine is, in about a minute"),
    "completion": Verb("SHELL", "the script with which bash, zsh or fish complete arguments (docs/completion.md)"),
}


def parser_of(name: str) -> Arguments:
    """The arguments of a verb."""
    parser = Arguments(f"rlrun {name}", VERBS[name].summary)
    _module(name).declare(parser)
    return parser


def run_verb(argv: Sequence[str]) -> int:
    """Does what `rlrun VERB ...` asks; returns the exit status.

    Args:
        argv: the whole command, program name first.

    Raises:
        UserError: if it cannot be done.
    """
    chosen = parser_of(argv[1]).parse_intermixed_args(argv[2:], argparse.Namespace(argv=list(argv)))
    status: int = _module(argv[1]).run(chosen)
    return status


def _module(name: str) -> Any:
    return import_module(f"rlrun.cli.verbs.{name}")
