"""Where a run is stored, how far it has come, and the session in which a process works on it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

from rlrun.errors import UserError
from rlrun.files import make_directories, write_atomically
from rlrun.runs.interruption import Interrupted
from rlrun.runs.lock import locked
from rlrun.runs.manifest import (
    RESULT,
    Code,
    differing,
    digest,
    facts,
    flat,
    now,
    old_results,
    read_manifest,
    read_result,
    result_of_run,
    write_manifest,
)
from rlrun.runs.rows import METRICS, TIMINGS, newest_rows


def run_directory(runs_dir: Path, env: str, algo: str, name: str, seed: int) -> Path:
    """`<runs_dir>/<env>/<algo>/<name>/seed<seed>`, with plain characters only below `runs_dir`."""
    return runs_dir / _plain(env) / _plain(algo) / _plain(name) / f"seed{seed}"


def _plain(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.") or "_"


def attempt(first: Path, *, fresh: bool) -> Path:
    """The directory of the latest attempt: `seed0`, then `seed0-2`, `seed0-3` ...; with `fresh`, of the next one."""
    pattern = re.compile(re.escape(first.name) + r"-(\d+)")
    siblings = first.parent.iterdir() if first.parent.is_dir() else ()
    numbers = [int(match[1]) for path in siblings if (match := pattern.fullmatch(path.name)) and path.is_dir()]
    latest = max([*numbers, 1 if first.exists() else 0])
    number = latest + 1 if fresh else max(latest, 1)
    return first if number == 1 else first.with_name(f"{first.name}-{number}")


def check_same_experiment(directory: Path, experiment: Mapping[str, Any], seed: int) -> None:
    """Makes sure that the run in `directory`, if there is one, is of this experiment and seed.

    The directory alone does not prove it: `name=` replaces the hash, and directories can be copied and renamed.

    Raises:
        UserError: naming a key that differs.
    """
    manifest = read_manifest(directory)
    if manifest is None:
        return
    if manifest["seed"] != seed:
        raise UserError(
            f"{directory} holds a run with seed={manifest['seed']}, not {seed}: it was copied or renamed; "
            "restore its old name, or choose another name="
        )
    difference = differing_key(manifest["experiment"], experiment)
    if difference is not None:
        key, old, new = difference
        raise UserError(
            f"{directory} holds another experiment: its {key}={old}, not {new}; choose another name=, or leave it out "
            "(then every experiment has its own directory)"
        )


def differing_key(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first key, in alphabetical order, in which two experiments differ, and its values."""
    before, after = flat(old), flat(new)
    key = next((key for key in sorted(before | after) if before.get(key) != after.get(key)), None)
    return (key, before.get(key, "not set"), after.get(key, "not set")) if key is not None else None


def finished_result(directory: Path, total_steps: int) -> dict[str, Any] | None:
    """The result of a run that already reached `total_steps`; None if there is training left."""
    result = result_of_run(directory, read_manifest(directory))
    if result is not None and result["total_steps"] >= total_steps:
        return result
    reached = [step for step in old_results(directory) if step >= total_steps]  # before it was extended
    return read_result(directory / f"result-{min(reached)}.json") if reached else None


def check_resumable(directory: Path, total_steps: int) -> None:
    """Makes sure that training the run in `directory`, if there is one, to `total_steps` loses no finished work.

    Raises:
        UserError: if it is unfinished and longer, or finished and without a checkpoint to resume from.
    """
    manifest = read_manifest(directory)
    if manifest is not None and total_steps < manifest["total_steps"]:
        raise UserError(
            f"{directory} is unfinished and has total_steps={manifest['total_steps']}: it may be raised, not lowered "
            f"to {total_steps}; fresh=true starts a new run next to it"
        )
    is_finished = (directory / RESULT).exists() or bool(old_results(directory))
    if is_finished and not has_checkpoint(directory):
        raise UserError(
            f"{directory} is finished and has no checkpoint to resume from; fresh=true starts a new run next to it"
        )


def has_checkpoint(directory: Path) -> bool:
    """Whether there is a checkpoint, sound or not."""
    return newest_checkpoint(directory) is not None


def newest_checkpoint(directory: Path) -> int | None:
    """The step of the newest checkpoint, by its name; None if there is none."""
    names = [path.name for path in (directory / "checkpoints").glob("step-*.state")]
    return max((int(match[1]) for name in names if (match := re.fullmatch(r"step-(\d+)\.state", name))), default=None)


def last_step(directory: Path) -> int:
    """The agent step of a run's newest row; 0 if there are no rows.

    Raises:
        UserError: if a line is not a row.
    """
    newest = (next(newest_rows(directory / name), None) for name in (METRICS, TIMINGS))
    return max((int(row["step"]) for row in newest if row is not None), default=0)


def check_writable(directory: Path) -> None:
    """Makes sure that `directory` can be created and written, without creating it.

    Raises:
        UserError: if it cannot.
    """
    existing = directory.absolute()
    while not existing.exists() and not existing.is_symlink():
        existing = existing.parent
    if not existing.is_dir():
        raise _unusable(directory, f"{existing} is not a directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise _unusable(directory, f"{existing} is not writable")


def _unusable(directory: Path, why: str) -> UserError:
    return UserError(f"the run cannot be stored in {directory}: {why}; choose another runs_dir")


class Session:
    """One process's work on a run, recorded in its directory once training begins.

    Until then nothing is changed, so that a command that fails early leaves the run as it was.

    Args:
        directory: of the run, which this process has locked.
        config_yaml: the resolved config.
        made: the manifest that this process would write for a new run.
        code: the commit and the diff, of which the manifest has only digests.
        still_ours: raises UserError if the directory is no longer the one that was locked.
    """

    def __init__(
        self,
        directory: Path,
        config_yaml: str,
        made: Mapping[str, Any],
        code: Code,
        still_ours: Callable[[], None],
    ) -> None:
        self._still_ours = still_ours
        self._directory, self._config_yaml, self._made, self._code = directory, config_yaml, made, code
        self._manifest: dict[str, Any] | None = None
        self._started, self._clock = now(), perf_counter()

    def began(self, step: int) -> None:
        """Training starts or resumes at `step`: records the session.

        The order makes a kill at any point harmless. The manifest names both configs while one replaces the other, and
        a result is renamed before the manifest says that the run is longer. Everything else that may fail comes
        earlier, so that an error does not leave a finished run without its result.
        """
        before = read_manifest(self._directory)
        config = digest(self._config_yaml)
        if before is not None:
            self._write(before | {"config_digests": sorted({config, *before["config_digests"]})})
        manifest = (before or dict(self._made)) | {
            "total_steps": self._made["total_steps"],
            "config_digests": [config],
        }
        manifest["sessions"] = [*manifest.get("sessions", []), self._entry(manifest, step)]
        write_atomically(self._directory / "config.yaml", lambda file: file.write(self._config_yaml.encode()))
        _keep_diff(self._directory, self._code, len(manifest["sessions"]))
        _keep_old_result(self._directory)
        self._write(manifest)
        self._manifest = manifest

    def _entry(self, manifest: Mapping[str, Any], step: int) -> dict[str, Any]:
        return {
            "started": self._started,
            "ended": None,  # stays None when it is killed
            "status": None,  # finished, interrupted or failed
            "reason": None,
            "from_step": step,
            "to_step": None,
            "wall_seconds": None,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "cpu": self._made["machine"]["cpu"],
            "argv": self._made["argv"],
            "differs": differing(facts(manifest), facts(self._made)),
        }

    def ended(self, status: str, step: int, reason: str | None = None) -> None:
        """The session ends."""
        if self._manifest is None:
            return
        self._manifest["sessions"][-1] |= {
            "ended": now(),
            "status": status,
            "reason": reason,
            "to_step": step,
            "wall_seconds": round(perf_counter() - self._clock, 3),
        }
        self._write(self._manifest)

    def check_still_ours(self) -> None:
        """Raises UserError if the directory is no longer the one that was locked."""
        self._still_ours()

    def _write(self, manifest: Mapping[str, Any]) -> None:
        self.check_still_ours()
        try:
            write_manifest(self._directory, manifest)
        except OSError as error:
            raise UserError(f"the manifest in {self._directory} cannot be written: {error.strerror}") from error


@contextmanager
def opened(
    directory: Path, config_yaml: str, made: Mapping[str, Any], code: Code, *, new: bool = False
) -> Iterator[Session]:
    """Creates the directory of a run, and locks out every other process while this one works on it.

    The manifest keeps what first created the run; this process adds its session when training begins.

    Args:
        directory: of the run.
        config_yaml: the resolved config.
        made: the manifest for a new run.
        code: the commit and the diff, of which the manifest has only digests.
        new: the directory must not exist yet.

    Raises:
        UserError: if it cannot be written or resumed, or another process is running it or has just finished it.
    """
    with ExitStack() as stack:
        try:
            make_directories(directory, exist_ok=not new)
            still_ours = stack.enter_context(locked(directory))
        except OSError as error:
            is_taken = new and isinstance(error, FileExistsError)
            why = "another process has just created it" if is_taken else str(error.strerror)
            raise _unusable(directory, why) from error
        check_same_experiment(directory, made["experiment"], made["seed"])  # again: now nobody else can change it
        if finished_result(directory, made["total_steps"]) is not None:
            raise UserError(f"{directory} has just been finished by another process")
        check_resumable(directory, made["total_steps"])
        session = Session(directory, config_yaml, made, code, still_ours)
        try:
            yield session
        except BaseException as error:
            with suppress(UserError):  # it may have ended because the disk is full or the directory is gone
                session.ended(*_how_it_ended(error, directory))
            raise


def _how_it_ended(error: BaseException, directory: Path) -> tuple[str, int, str]:
    if isinstance(error, Interrupted):
        return "interrupted", error.step, error.signal_name
    step = last_step(directory)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", step, "SIGINT, at once"
    if isinstance(error, SystemExit):  # raised by a batch launcher's handler once it has requeued the job
        return "interrupted", step, "a launcher ended the process"
    return "failed", step, f"{type(error).__name__}: {error}"


def _keep_old_result(directory: Path) -> None:
    """A run that is extended is unfinished again; its earlier result is kept under another name."""
    result = read_result(directory / RESULT)
    if result is not None:
        (directory / RESULT).rename(directory / f"result-{result['step']}.json")


def _keep_diff(directory: Path, code: Code, session: int) -> None:
    """Stores the diff of the code, unless it is there already: `code.diff`, then `code-<session>.diff`."""
    if not code.diff:
        return
    diff = code.diff.encode()
    if not any(path.read_bytes() == diff for path in directory.glob("code*.diff") if path.is_file()):
        path = directory / ("code.diff" if session == 1 else f"code-{session}.diff")
        write_atomically(path, lambda file: file.write(diff))
