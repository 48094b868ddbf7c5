"""The command line: `rlrun key=value ...` and `rlrun VERB ...`. Bad input ends in one line and status 2."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rlrun import __version__
from rlrun.cli.patient_output import be_patient
from rlrun.cli.sweep_outcomes import Outcomes
from rlrun.cli.verb_table import VERBS, run_verb
from rlrun.errors import UserError, nearest
from rlrun.runs.interruption import Interrupted, StopRequest

_USER_ERROR, _INTERRUPTED = 2, 130
_FULL_ERRORS = "HYDRA_FULL_ERROR"
_SHOWS_TRACEBACKS = os.environ.get(_FULL_ERRORS) == "1"  # before it is set below, for Hydra's sake
STOPPED = 75  # EX_TEMPFAIL: saved and stopped because a signal asked for it, and can go on
_PASSED_ON = ("cfg", "info", "shell_completion", "hydra_help", "experimental_rerun")  # Hydra's own business


def main() -> None:
    """Runs the command line and exits.

    The status is 0 if all went well, 2 on bad input, 75 when a signal made it save and stop, 130 when stopped at once.
    """
    be_patient()
    sys.path.append(os.getcwd())  # where a user's own classes are looked for last, as with python -m rlrun
    sys.exit(run_command(sys.argv))


def run_command(argv: Sequence[str]) -> int:
    """Does what `argv` (program name first) asks, and returns the exit status."""
    try:
        return _dispatch(list(argv))
    except UserError as error:
        return _refuse(error)
    except Interrupted as interrupted:
        at = f"{interrupted.signal_name} at step {interrupted.step:,}"
        print(f"rlrun: stopped by {at}; {_what_next(interrupted)}", file=sys.stderr)
        return STOPPED
    except KeyboardInterrupt:
        print("rlrun: interrupted; what was saved stays, and `rlrun ls` says which runs can go on", file=sys.stderr)
        return _INTERRUPTED


def _what_next(interrupted: Interrupted) -> str:
    if not interrupted.saved:
        return "nothing is saved, since this environment cannot be resumed"
    if interrupted.begins_anew:
        again = f"`rlrun resume {shlex.quote(str(interrupted.directory))}`"
        return f"everything is saved, and {again} goes on from there; fresh=true would begin another run"
    return "everything is saved, and the same command goes on from there"


def _refuse(error: UserError) -> int:
    if _SHOWS_TRACEBACKS and error.__cause__ is not None:
        traceback.print_exception(error.__cause__)
    lines = [f"rlrun: error: {' '.join(str(error).split())}", *(f"  {line}" for line in error.details)]
    print("\n".join(lines), file=sys.stderr, flush=True)
    return _USER_ERROR


def _dispatch(argv: list[str]) -> int:
    if argv[1:2] == ["complete"]:  # first, since the words after it may be anything; people wait for it at every Tab
        from rlrun.cli.completion.answer import complete

        return complete(argv[2:])
    if "--version" in argv[1:]:
        print(f"rlrun {__version__}")
        return 0
    if argv[1:2] and argv[1] in VERBS and not VERBS[argv[1]].trains:
        return run_verb(argv)  # a signal may just end it
    with StopRequest() as stop:  # before the imports, which take seconds, and for all runs of a sweep
        status = _verb(argv)
        if status is None:
            status = _words(argv, stop)
        stop.pass_on()  # a signal that came when there was nothing more to save
        return status


def _words(argv: list[str], stop: StopRequest) -> int:
    """Does what settings ask, or shows the help."""
    from rlrun.config.files import config_directories

    args = _parse(argv[1:])
    directories = config_directories(args.config_dir)
    if args.help or len(argv) == 1:
        from rlrun.cli.help_page import help_page

        print(help_page(directories))
        return 0
    return _run_jobs(argv, args, directories, stop)


def _verb(argv: list[str]) -> int | None:
    """Does what a verb asks, and returns the exit status; None if there is no verb."""
    word = argv[1] if len(argv) > 1 else ""
    if word in VERBS:
        return run_verb(argv)
    if "=" in argv[2:3]:
        from rlrun.config.hydra_words import NO_SPACES

        raise UserError(f"cannot read '{word} =': {NO_SPACES}")
    if re.fullmatch(r"[a-z]+", word):
        raise UserError(
            f"unknown verb '{word}'; nearest: {nearest(word, VERBS)[0]}; available: {', '.join(VERBS)}; "
            "training needs none: rlrun algo=dqn env=cartpole"
        )
    return None


def _parse(words: list[str]) -> argparse.Namespace:
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()

    def error(message: str) -> None:
        flag = re.match(r"unrecognized arguments: (--?([A-Za-z][\w.-]*)(?:=(\S+))?)", message)
        meant = ""
        if flag is not None and flag[1] in words:
            following = words[words.index(flag[1]) + 1 :][:1]
            value = flag[3] or next((word for word in following if "=" not in word and not word.startswith("-")), "")
            message = f"unrecognized arguments: {flag[1]}" + (f" {value}" if value and not flag[3] else "")
            meant = f", here {flag[2].replace('-', '_')}={value}" if value else ""
        raise UserError(f"{message}; settings look like key=value{meant}, and `rlrun --help` shows the rest")

    parser.error = error  # type: ignore[assignment,method-assign] # argparse would print the usage as well
    args = parser.parse_intermixed_args(words)
    if args.config_name or args.config_path:
        flag = "--config-name" if args.config_name else "--config-path"
        raise UserError(f"{flag} cannot be: every run begins with rlrun's own config.yaml; experiment= chooses deltas")
    if not args.cfg and (args.resolve or args.package):
        raise UserError("--resolve and --package belong to --cfg job, which prints the configuration")
    return args


def _run_jobs(argv: list[str], args: argparse.Namespace, directories: list[Path], stop: StopRequest) -> int:
    from hydra import main as hydra_main
    from hydra.errors import HydraException
    from yaml import YAMLError

    from rlrun.config.compose import compose_run, explain, load_config
    from rlrun.config.files import resolve_env, search_path
    from rlrun.config.hydra_words import for_hydra
    from rlrun.config.launching import check_sweep, for_sweep, without_globs
    from rlrun.config.text_keys import as_written

    overrides = resolve_env(directories, args.overrides)
    if overrides != args.overrides:
        print(f"using {overrides[0]}, which has a file of its own")
    overrides = as_written(overrides, directories)
    passed_on = [name for name in _PASSED_ON if getattr(args, name)]
    keeps_files = False
    if args.multirun:
        if passed_on:
            raise UserError(f"-m cannot be combined with --{passed_on[0].replace('_', '-')}")
        overrides = without_globs(overrides, directories)
        keeps_files = check_sweep(overrides, directories)
    elif args.cfg:
        load_config(overrides, directories)  # what is printed is what a run would have
    elif not passed_on:  # Hydra makes a run's directory before it calls us
        compose_run(overrides, directories, in_sweep=False)
    outcomes = Outcomes()
    with ExitStack() as stack:
        flags = _flags(argv[1:], args.overrides)
        added: list[str] = []
        if args.multirun and not keeps_files:
            added = [f"hydra.sweep.dir={stack.enter_context(tempfile.TemporaryDirectory(prefix='rlrun-'))}"]
        stack.enter_context(_full_errors())
        added += search_path(directories[args.config_dir is not None :])  # Hydra adds that one itself
        try:
            sys.argv = [argv[0], *flags, *(for_sweep if args.multirun else for_hydra)(overrides), *added]
            hydra_main(version_base="1.3", config_path=str(directories[-1]), config_name="config")(
                _job(directories, argv, outcomes, stop)
            )()
        except (HydraException, YAMLError) as error:
            raise explain(error, overrides, directories) from error
        except _RaisedWhileRunningError as wrapper:
            raise wrapper.error from None
    if args.multirun and outcomes.refused:
        print("\n".join(f"rlrun: {line}" for line in outcomes.failures()), file=sys.stderr, flush=True)
    if outcomes.stopped:
        raise outcomes.stopped[0]
    if args.multirun and stop.came is not None:
        again = "the same command, without fresh=true, goes on with the rest of the sweep"
        print(f"rlrun: stopped by {stop.came}; {again}", file=sys.stderr, flush=True)
        return STOPPED
    return _USER_ERROR if outcomes.refused else 0


@contextmanager
def _full_errors() -> Iterator[None]:
    """Exceptions reach us instead of being printed by Hydra. What others find in the environment is theirs again."""
    before = os.environ.get(_FULL_ERRORS)
    os.environ[_FULL_ERRORS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FULL_ERRORS]
        else:
            os.environ[_FULL_ERRORS] = before


class _RaisedWhileRunningError(Exception):
    """Carries an error that somebody's agent or environment raised past those who would blame a config file for it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def _job(directories: list[Path], argv: list[str], outcomes: Outcomes, stop: StopRequest) -> Callable[[Any], None]:
    def job(composed: Any) -> None:
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import OmegaConf

        settings = HydraConfig.get()
        if stop.came is not None and settings.mode is not None and settings.mode.name == "MULTIRUN":
            return  # the rest of the sweep is not begun
        words = OmegaConf.to_container(settings.overrides.task, resolve=False)
        assert isinstance(words, list)  # as they were typed, `${...}` and all
        outcomes.begun.append(words)
        try:
            _run(composed, dict(settings.runtime.choices), words, directories, argv)
        except (UserError, Interrupted) as error:  # Hydra would print about them itself
            if "basic_launcher" not in str(settings.launcher.get("_target_")):
                raise  # a job on another machine reports by itself
            if isinstance(error, Interrupted):
                outcomes.stopped.append(error)
            else:
                outcomes.refused.append((words, error))
                _refuse(error)

    return job


def _run(
    composed: Any, choices: dict[str, Any], overrides: list[str], directories: list[Path], argv: list[str]
) -> None:
    from hydra.errors import HydraException
    from yaml import YAMLError

    from rlrun.config.checked import check

    config = check(composed, choices, overrides, directories)  # before the imports below, which take seconds

    from rlrun.api.running import Command, run_words

    try:
        run_words(config, Command(argv, overrides))
    except Interrupted as stopped:
        stopped.begins_anew = config.fresh
        raise
    except (HydraException, YAMLError) as error:  # the config has been read: this is about something else
        raise _RaisedWhileRunningError(error) from error


def _flags(words: list[str], overrides: list[str]) -> list[str]:
    left = list(overrides)
    flags = []
    for word in words:
        if word in left:
            left.remove(word)
        else:
            flags.append(word)
    if flags[-1:] in (["--info"], ["-i"]):  # or it would take the word after it for its value
        flags[-1] = "--info=all"
    return flags
