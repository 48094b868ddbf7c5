"""Carries out one run: its messages, its directory, and the session recorded in its manifest."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from rlrun.build import Built, build, directory_of
from rlrun.config.config import Config
from rlrun.loop.evaluate import rules_as_text
from rlrun.loop.loop import train
from rlrun.protocols import Agent, Planner
from rlrun.runs.directory import (
    check_resumable,
    check_same_experiment,
    finished_result,
    has_checkpoint,
    opened,
)
from rlrun.runs.lock import refuse_if_running
from rlrun.runs.manifest import (
    Provenance,
    code_state,
    describe_machine,
    differing,
    facts,
    in_words,
    make_manifest,
    read_manifest,
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command as typed."""

    argv: Sequence[str]
    overrides: Sequence[str]


def run_config(config: Config, command: Command) -> None:
    """`rlrun key=value ...`: starts the run of `config`, resumes it, or says that it is finished.

    Raises:
        Interrupted: if a signal asked the run to stop; it has been saved.
        UserError: if it cannot be trained.
    """
    directory = directory_of(config)
    check_same_experiment(directory, config.experiment(), config.seed)
    result = finished_result(directory, config.total_steps)
    if result is not None:
        print(f"{directory} is finished: {score(result)}")
        return
    carry_out(config, directory, command, new=config.fresh)


def score(result: Mapping[str, Any]) -> str:
    """The result of a run, for messages."""
    return f"evaluation mean {result['eval/episode_return']:.2f} at step {result['step']:,}"


def carry_out(
    config: Config, directory: Path, command: Command, *, new: bool = False, rerun_of: Path | None = None
) -> None:
    """Trains the run of `config` in `directory`, from its newest checkpoint if there is one.

    Args:
        config: a checked one.
        directory: where the run is stored.
        command: for the manifest.
        new: the directory must not exist yet.
        rerun_of: the run that this one repeats, with the same number of threads.

    Raises:
        Interrupted: if a signal asked the run to stop; it has been saved.
        UserError: if it cannot be trained.
    """
    refuse_if_running(directory)
    check_resumable(directory, config.total_steps)
    before = facts_before(directory, rerun_of)
    threads = None
    if before is not None and (rerun_of is not None or config.device.arguments.get("num_threads") is None):
        threads = before["machine.num_threads"]
    with _log_shown(), closing(build(config, directory, threads)) as built:
        code = code_state()
        made = make_manifest(_made(config, command, built, rerun_of), code)
        if before is not None:
            _say_what_differs(before, facts(made), rerun_of)
        with opened(directory, OmegaConf.to_yaml(config.as_plain()), made, code, new=new) as session:
            print(_summary(config, built, directory), flush=True)
            _say_what_is_missing(directory)
            result = train(built.run, session)
            session.ended("finished", result.step)
            warn_if_not_converged(built.run.agent, result.step)
    kept = config.runs_dir if directory.is_relative_to(config.runs_dir) else directory
    print(f"finished; see it with: tensorboard --logdir {kept}")


def _say_what_is_missing(directory: Path) -> None:
    has_manifest, is_resumable = read_manifest(directory) is not None, has_checkpoint(directory)
    if has_manifest and not is_resumable:
        print("no checkpoint: starting over from step 0", flush=True)
    if is_resumable and not has_manifest:
        print(
            f"{directory} has lost its manifest.json: it is resumed from its checkpoints; its first command and its "
            "earlier sessions are unknown",
            flush=True,
        )


def warn_if_not_converged(agent: Agent, sweeps: int) -> None:
    """Warns if a planner ran out of sweeps before it converged."""
    if isinstance(agent, Planner) and not agent.finished:
        print(
            f"NOT CONVERGED after {sweeps:,} sweeps (residual {agent.residual:.2g}): values and policy are not final; "
            "resume the run with a larger total_steps",
            flush=True,
        )


def facts_before(directory: Path, rerun_of: Path | None) -> dict[str, Any] | None:
    """Facts of the last session of the run in `directory`, or of the run to repeat; None for a new run."""
    manifest = read_manifest(rerun_of or directory)
    if manifest is None:
        return None
    return facts(manifest, None if rerun_of is not None else -1)


def _made(config: Config, command: Command, built: Built, rerun_of: Path | None) -> Provenance:
    gpu = torch.cuda.get_device_name() if built.device.startswith("cuda") else None
    instructions = torch.backends.cpu.get_cpu_capability()
    compiled = config.device.arguments.get("compile")
    return Provenance(
        argv=command.argv,
        overrides=command.overrides,
        labels=config.labels,
        experiment=config.experiment(),
        settings=config.settings(),
        seed=config.seed,
        total_steps=config.total_steps,
        machine=describe_machine(
            built.device, gpu, built.num_threads, instructions, compiled if compiled != "none" else None
        ),
        evaluation=built.rules,
        rerun_of=str(rerun_of.resolve()) if rerun_of is not None else None,
    )


def _say_what_differs(before: Mapping[str, Any], after: Mapping[str, Any], rerun_of: Path | None) -> None:
    """Warns of another version, machine or number of threads, which may change results."""
    relevant = {
        name: values
        for name, values in differing(before, after).items()
        if name.startswith(("versions.", "machine.", "git_commit", "code_diff", "code_digest"))
    }
    if relevant:
        what = "the repeated run" if rerun_of is not None else "before"
        print(f"different from {what}: {in_words(relevant)}; results may not be equal bit for bit", flush=True)


class _Printed(logging.Handler):
    """Prints log lines, so that they appear above a live display; a stream would write into it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one line."""
        print(self.format(record), flush=True)


@contextmanager
def _log_shown() -> Iterator[None]:
    """Log messages of a run go to standard output, as plain lines."""
    log, handler = logging.getLogger("rlrun"), _Printed()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _summary(config: Config, built: Built, directory: Path) -> str:
    labels = config.labels
    preset = f"preset {labels['preset']}" if "preset" in labels else "no tuned preset"
    threads = f"{built.num_threads} thread{'s' if built.num_threads > 1 else ''}"
    what = f"{labels['algo']} on {labels['env']} ({preset})"
    line = f"{what}, seed {config.seed}, {built.device} with {threads}"
    return f"{line}\nevaluation: {rules_as_text(built.rules)}\n{directory}"
