"""The command line: `rlrun key=value ...` and `rlrun VERB ...`. Bad input ends in one line and status 2."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from rlrun import __version__
from rlrun.cli.arguments import run_arguments
from rlrun.cli.patient_output import be_patient
from rlrun.cli.seeds import run_seeds
from rlrun.cli.sweep_outcomes import Outcomes
from rlrun.cli.verb_table import VERBS, run_verb
from rlrun.errors import UserError, nearest
from rlrun.runs.interruption import STOPPED, Interrupted, StopRequest

_USER_ERROR, _INTERRUPTED = 2, 130
_FULL_ERRORS = "HYDRA_FULL_ERROR"
_SHOWS_TRACEBACKS = os.environ.get(_FULL_ERRORS) == "1"  # before it is set below, for Hydra's sake
_REPLACED = {  # flags of Hydra's, and what to use instead
    ("--info", "-i", "--package", "-p"): "`rlrun explain` says where every value comes from",
    ("--hydra-help",): "`rlrun --help` names the groups",
    ("--shell-completion", "-sc"): "`rlrun completion` sets it up",
    ("--experimental-rerun",): "`rlrun rerun DIR` repeats a run",
    ("--run", "-r"): "it is what a command does without -m",
    (
        "--config-name",
        "-cn",
        "--config-path",
        "-cp",
    ): "every run begins with rlrun's config.yaml; experiment= chooses deltas",
}


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
        print(
            "rlrun: interrupted; what was saved stays, and `rlrun ls` says which runs can be resumed", file=sys.stderr
        )
        return _INTERRUPTED


def _what_next(interrupted: Interrupted) -> str:
    if not interrupted.saved:
        return "nothing is saved, since this environment cannot be resumed"
    if interrupted.starts_new_run:
        again = f"`rlrun resume {shlex.quote(str(interrupted.directory))}`"
        return f"everything is saved, and {again} resumes it; fresh=true would start a new run"
    return "everything is saved, and the same command resumes it"


def _refuse(error: UserError) -> int:
    if _SHOWS_TRACEBACKS and error.__cause__ is not None:
        traceback.print_exception(error.__cause__)
    lines = [f"rlrun: error: {' '.join(str(error).split())}", *(f"  {line}" for line in error.details)]
    print("\n".join(lines), file=sys.stderr, flush=True)
    return _USER_ERROR


def _dispatch(argv: list[str]) -> int:
    if argv[1:2] == ["complete"]:  # first, since what follows may be anything; people wait for it at every Tab
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
            status = _runs(argv, stop)
        stop.pass_on()  # a signal that came when there was nothing more to save
        return status


def _verb(argv: list[str]) -> int | None:
    """Does what a verb asks, and returns the exit status; None if there is no verb."""
    name = argv[1] if len(argv) > 1 else ""
    if name in VERBS:
        return run_verb(argv)
    if "=" in argv[2:3]:
        raise UserError(f"cannot read '{name} =': overrides look like key=value, without spaces around the =")
    if re.fullmatch(r"[a-z]+", name):
        raise UserError(
            f"unknown verb '{name}'; nearest: {nearest(name, VERBS)[0]}; available: {', '.join(VERBS)}; "
            "training needs none: rlrun algo=dqn env=cartpole"
        )
    return None


def _flags(arguments: list[str]) -> argparse.Namespace:
    for each in arguments:
        for names, instead in _REPLACED.items():
            if each.split("=")[0] in names:
                raise UserError(f"{each} is a flag of Hydra's that rlrun does not have: {instead}")
    flags = run_arguments().parse_intermixed_args(arguments)
    if flags.multirun and flags.cfg:
        raise UserError("-m cannot be combined with --cfg: give the overrides of one run")
    if flags.resolve and not flags.cfg:
        raise UserError("--resolve belongs to --cfg job, which prints the configuration")
    return flags


def _runs(argv: list[str], stop: StopRequest) -> int:
    """Does what overrides ask: one run, or with -m a sweep; or shows the help, or the config."""
    from rlrun.config.files import config_directories
    from rlrun.config.seeds import has_seeds

    wants_help = len(argv) == 1 or not {"-h", "--help"}.isdisjoint(argv)
    flags = _flags([each for each in argv[1:] if each not in ("-h", "--help")])
    directories = config_directories(flags.config_dir)
    if wants_help:
        from rlrun.cli.help_page import help_page

        print(help_page(directories))
        return 0
    overrides = flags.overrides
    if has_seeds(overrides):
        if flags.cfg or flags.multirun:
            what, instead = ("--cfg", "seed=0") if flags.cfg else ("-m", "seed=range(10)")
            raise UserError(f"seeds= is not allowed with {what}: give {instead} instead")
        config_dir = ["--config-dir", flags.config_dir] if flags.config_dir else []
        return run_seeds(overrides, directories, config_dir, stop)
    if flags.cfg:
        from rlrun.config.compose import as_yaml

        print(as_yaml(overrides, directories, resolve=flags.resolve))
        return 0
    if not flags.multirun:
        _run(overrides, directories, argv)
        return 0
    return _sweep(overrides, directories, argv, stop)


def _run(overrides: Sequence[str], directories: Sequence[Path], argv: Sequence[str], *, in_sweep: bool = False) -> None:
    from rlrun.config.compose import load_config

    config = load_config(overrides, directories, in_sweep=in_sweep)  # before the import below, which takes seconds

    from rlrun.api.running import Command, run_config

    try:
        run_config(config, Command(argv, overrides))
    except Interrupted as stopped:
        stopped.starts_new_run = config.fresh
        raise


def _sweep(overrides: Sequence[str], directories: Sequence[Path], argv: Sequence[str], stop: StopRequest) -> int:
    """Checks all runs of a sweep, then carries them out: one after the other, or as a launcher of Hydra's has it."""
    from rlrun.config.sweep import check_sweep

    sweep = check_sweep(overrides, directories)
    outcomes = Outcomes()

    def job(chosen: Sequence[str]) -> None:
        if stop.came is not None:
            return  # the rest of the sweep is not begun
        outcomes.begun.append(chosen)
        try:
            _run(chosen, directories, argv, in_sweep=True)
        except Interrupted as error:
            outcomes.stopped.append(error)
        except UserError as error:
            outcomes.refused.append((chosen, error))
            _refuse(error)

    if sweep.for_hydra:
        _launch(argv[0], sweep.for_hydra, directories, argv, job)
    else:
        for each in sweep.jobs:
            job(each)
    if outcomes.refused:
        print("\n".join(f"rlrun: {line}" for line in outcomes.failures()), file=sys.stderr, flush=True)
    if outcomes.stopped:
        raise outcomes.stopped[0]
    if stop.came is not None:
        again = "the same command, without fresh=true, continues the sweep"
        print(f"rlrun: stopped by {stop.came}; {again}", file=sys.stderr, flush=True)
        return STOPPED
    return _USER_ERROR if outcomes.refused else 0


def _launch(
    program: str,
    overrides: Sequence[str],
    directories: Sequence[Path],
    argv: Sequence[str],
    job: Callable[[Sequence[str]], None],
) -> None:
    """Lets Hydra carry a sweep out, with its launchers and sweepers; each run is composed again where it runs."""
    from hydra import main as hydra_main
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    from rlrun.config.files import one_line

    running: list[Exception] = []

    def task(_: object) -> None:
        settings = HydraConfig.get()
        mine = OmegaConf.to_container(settings.overrides.task, resolve=False)
        assert isinstance(mine, list)  # as they were typed, `${...}` and all
        try:
            if str(settings.launcher.get("_target_")).endswith("BasicLauncher"):
                job(mine)
            else:  # on another machine, which reports by itself
                _run(mine, directories, argv, in_sweep=True)
        except HydraException as error:  # somebody's agent raised it
            running.append(error)
            raise

    before, sys.argv = os.environ.get(_FULL_ERRORS), [program, "-m", *overrides]
    os.environ[_FULL_ERRORS] = "1"  # exceptions reach us instead of being printed by Hydra
    try:
        hydra_main(version_base="1.3", config_path=str(directories[-1]), config_name="config")(task)()
    except HydraException as error:
        if error in running:
            raise
        raise UserError(one_line(error)) from error
    finally:
        os.environ.pop(_FULL_ERRORS)
        if before is not None:
            os.environ[_FULL_ERRORS] = before
