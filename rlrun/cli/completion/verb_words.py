"""What may follow `rlrun`, and each verb. A test compares it with what they read.

Kinds of words are `run` (its directory), `directory`, `file`, `config` (group=option and key=value),
`config of the run` (key=value), `any` (nothing to offer), or the words themselves with | between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Flag(NamedTuple):
    """A flag; without a meaning it is understood, but not offered."""

    meaning: str = ""
    value: str = ""  # the kind of what follows it; "": nothing does


class Verb(NamedTuple):
    """The words after a verb."""

    meaning: str
    positions: tuple[str, ...] = ()  # the kind of each word
    endless: bool = False  # the last kind may come again
    flags: Mapping[str, Flag] = MappingProxyType({})
    bare_keys: bool = False  # a key may stand without a value


_CONFIGS = "job|hydra|all"
_INFOS = "all|config|defaults|defaults-tree|plugins|searchpath"
_CONFIG_DIR = Flag("a directory with config files of your own", "directory")
_HELP = {"--help": Flag("what can be said here")}

RUN_FLAGS: Mapping[str, Flag] = {
    "-m": Flag("run every combination of values with commas, one after the other"),
    "--multirun": Flag("the same as -m"),
    "--cfg": Flag("print the whole configuration and stop", _CONFIGS),
    "-c": Flag(value=_CONFIGS),
    "--config-dir": _CONFIG_DIR,
    "-cd": Flag(value="directory"),
    "--help": Flag("the page of all words"),
    "--version": Flag("the version"),
    "--resolve": Flag("with --cfg: references replaced by what they stand for"),
    "--package": Flag("with --cfg: only this part", "any"),
    "-p": Flag(value="any"),
    "--info": Flag("what Hydra knows of the configuration", _INFOS),
    "-i": Flag(value=_INFOS),
    "--hydra-help": Flag("Hydra's own flags"),
}

VERBS: Mapping[str, Verb] = {
    "ls": Verb("all runs: state, progress, evaluation", ("directory",), flags=_HELP),
    "show": Verb(
        "what a run is, and what it came to",
        ("run",),
        flags={"--q": Flag("also the value of every action, where states are cells"), **_HELP},
    ),
    "diff": Verb("which key, version or first step differs between two runs", ("run", "run"), flags=_HELP),
    "resume": Verb(
        "go on with a run from its own config",
        ("run", "config of the run"),
        endless=True,
        flags={"--config-dir": _CONFIG_DIR, **_HELP},
    ),
    "video": Verb(
        "any training episode as a film",
        ("run",),
        flags={
            "--episode": Flag("its number, from 1; or last, best", "last|best"),
            "--out": Flag("where the film goes", "file"),
            "--every": Flag("show only every K-th step", "any"),
            **_HELP,
        },
    ),
    "rerun": Verb(
        "the same run again, and whether every bit is equal",
        ("run",),
        flags={"--into": Flag("where the new run is kept", "directory"), **_HELP},
    ),
    "explain": Verb(
        "what every key of a run is, and where its value comes from",
        ("config",),
        endless=True,
        flags={"--config-dir": _CONFIG_DIR, **_HELP},
        bare_keys=True,
    ),
    "check": Verb(
        "the contract tests of an environment and an agent, whosever they are",
        ("config",),
        endless=True,
        flags={
            "--config-dir": _CONFIG_DIR,
            "--turns": Flag("turns of learning to look at, before a state is saved and after it", "any"),
            "--steps": Flag("steps of the environment to look at", "any"),
            **_HELP,
        },
    ),
    "bench": Verb(
        "how fast this machine is, in about a minute",
        flags={
            "--seconds": Flag("of each training", "any"),
            "--device": Flag("where to train", "auto|cpu|cuda"),
            "--threads": Flag("CPU threads of the trainings", "any"),
            **_HELP,
        },
    ),
    "completion": Verb("the script that makes a shell complete rlrun's words", ("bash|zsh|fish",), flags=_HELP),
}
