"""The command line: `rlrun key=value ...`. Bad input ends in one line and status 2."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from rlrun import __version__
from rlrun.errors import UserError

_USER_ERROR, _INTERRUPTED = 2, 130
_PASSED_ON = ("cfg", "info", "shell_completion", "hydra_help", "experimental_rerun")  # Hydra's own business


def main() -> None:
    """Runs the command line and exits: 0 if all went well, 2 on bad input, 130 when interrupted."""
    sys.path.append(os.getcwd())  # where a user's own classes are looked for last, as with python -m rlrun
    sys.exit(run_command(sys.argv))


def run_command(argv: Sequence[str]) -> int:
    """Does what `argv` (program name first) asks, and returns the exit status."""
    try:
        return _dispatch(list(argv))
    except UserError as error:
        return _refuse(error)
    except KeyboardInterrupt:
        print("rlrun: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return _INTERRUPTED


def _refuse(error: UserError) -> int:
    print(f"rlrun: error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
    return _USER_ERROR


def _dispatch(argv: list[str]) -> int:
    if "--version" in argv[1:]:
        print(f"rlrun {__version__}")
        return 0
    if argv[1:2] == ["show"]:
        return _show(argv[2:])
    args = _parse(argv[1:])
    directories = _directories(args)
    if args.help or len(argv) == 1:
        from rlrun.help_page import help_page

        print(help_page(directories))
        return 0
    return _run_hydra(argv, args, directories)


def _show(words: list[str]) -> int:
    """`rlrun show DIR`: what a run came to, as text."""
    if len(words) != 1:
        raise UserError("rlrun show needs one run's directory: rlrun show runs/gridworld/value_iteration/<hash>/seed0")
    from rlrun.table_pictures import as_text, load_tables

    directory = Path(words[0])
    if not directory.is_dir():
        raise UserError(f"{directory} is not a directory")
    print(as_text(load_tables(directory)))
    kept = [name for name in ("values.png", "values.gif") if (directory / name).is_file()]
    if kept:
        print("pictures: " + ", ".join(str(directory / name) for name in kept))
    return 0


def _parse(words: list[str]) -> argparse.Namespace:
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()

    def error(message: str) -> None:
        raise UserError(f"{message}; overrides look like key=value, and `rlrun --help` shows the rest")

    parser.error = error  # type: ignore[assignment,method-assign] # argparse would print the usage as well
    return parser.parse_args(words)


def _directories(args: argparse.Namespace) -> list[Path]:
    """Where config files are searched: what `--config-dir` adds, then rlrun's own."""
    from rlrun.config_files import config_directory

    if args.config_dir is not None and not Path(args.config_dir).is_dir():
        raise UserError(f"--config-dir {args.config_dir} is not a directory")
    added = [Path(args.config_dir).resolve()] if args.config_dir is not None else []
    return [*added, config_directory()]


def _run_hydra(argv: list[str], args: argparse.Namespace, directories: list[Path]) -> int:
    from hydra import main as hydra_main
    from hydra.errors import HydraException

    from rlrun.composition import explain, for_hydra
    from rlrun.config_files import resolve_env

    overrides = resolve_env(directories, args.overrides)
    if overrides != args.overrides:
        print(f"using {overrides[0]}, which has a file of its own")
    if args.multirun:
        if clash := [name for name in _PASSED_ON if getattr(args, name)]:
            raise UserError(f"-m cannot be combined with --{clash[0].replace('_', '-')}")
        _check_sweep(overrides, directories)
    failures: list[UserError] = []
    with ExitStack() as stack:
        flags = _flags(argv[1:], args.overrides)
        added: list[str] = []
        if args.multirun and not any(item.startswith(("hydra/launcher", "hydra.sweep.dir")) for item in overrides):
            # Hydra's own launcher keeps a file that nobody reads
            added = [f"hydra.sweep.dir={stack.enter_context(tempfile.TemporaryDirectory(prefix='rlrun-'))}"]
        os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us instead of being printed
        sys.argv = [argv[0], *flags, *for_hydra(overrides), *added]
        try:
            hydra_main(version_base="1.3", config_path=str(directories[-1]), config_name="config")(
                _job(directories, argv, failures)
            )()
        except HydraException as error:
            raise explain(error, overrides, directories) from error
    return _USER_ERROR if failures else 0


def _job(directories: list[Path], argv: list[str], failures: list[UserError]) -> Callable[[Any], None]:
    def job(composed: Any) -> None:
        from hydra.core.hydra_config import HydraConfig

        settings = HydraConfig.get()
        try:
            _run(composed, dict(settings.runtime.choices), list(settings.overrides.task), directories, argv)
        except UserError as error:
            if "basic_launcher" not in str(settings.launcher.get("_target_")):
                raise  # a job on another machine reports by itself
            _refuse(error)
            failures.append(error)

    return job


def _run(
    composed: Any, choices: dict[str, Any], overrides: list[str], directories: list[Path], argv: list[str]
) -> None:
    from rlrun.config import check

    config = check(composed, choices, overrides, directories)  # before the imports below, which take seconds

    from omegaconf import OmegaConf

    from rlrun.build import build, directory_of
    from rlrun.run_directory import check_same_experiment, finished_result, make_receipt, opened
    from rlrun.train import train

    directory = directory_of(config)
    experiment = config.experiment()
    check_same_experiment(directory, experiment)
    result = finished_result(directory, config.total_steps)
    if result is not None:
        mean, step = result["eval/episode_return"], result["step"]
        print(f"{directory} is finished: evaluation mean {mean:.2f} at step {step:,}")
        return
    with _log_shown(), closing(build(config)) as built:
        receipt = make_receipt(argv, experiment, config.total_steps, config.seed, built.device, built.num_threads)
        with opened(directory, OmegaConf.to_yaml(config.as_plain()), receipt):
            print(_summary(config.labels, config.seed, built.device, built.num_threads, directory), flush=True)
            train(built.run)
    print(f"finished; see it with: tensorboard --logdir {config.runs_dir}")


class _Printed(logging.Handler):
    """Prints, so that the line appears above a live display; a stream would write into it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one line."""
        print(self.format(record), flush=True)


@contextmanager
def _log_shown() -> Iterator[None]:
    """What the parts of a run have to say goes to standard output, as plain lines."""
    log, handler = logging.getLogger("rlrun"), _Printed()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _summary(labels: Any, seed: int, device: str, num_threads: int, directory: Path) -> str:
    preset = f"preset {labels['preset']}" if "preset" in labels else "no preset of tuned numbers"
    threads = f"{num_threads} thread{'s' if num_threads > 1 else ''}"
    return f"{labels['algo']} on {labels['env']} ({preset}), seed {seed}, {device} with {threads}\n{directory}"


def _flags(words: list[str], overrides: list[str]) -> list[str]:
    left = list(overrides)
    flags = []
    for word in words:
        if word in left:
            left.remove(word)
        else:
            flags.append(word)
    return flags


def _check_sweep(overrides: list[str], directories: list[Path]) -> None:
    """Checks every run of a sweep before the first one starts; other sweepers choose their runs as they go."""
    from rlrun.composition import load_config, sweep_jobs

    if not any(item.startswith("hydra/sweeper") for item in overrides):
        for job in sweep_jobs(overrides, directories):
            load_config(job, directories)
