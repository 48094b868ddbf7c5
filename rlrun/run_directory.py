"""Where a run lives on disk, how far it is there, and the session in which a process works on it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

from rlrun.atomic_file import write_atomically
from rlrun.errors import UserError
from rlrun.interruption import Interrupted
from rlrun.receipt import (
    Code,
    differing,
    digest,
    facts,
    flat,
    now,
    read_json,
    read_receipt,
    write_receipt,
)
from rlrun.row_tail import newest_rows
from rlrun.run_lock import locked

_METRICS, _TIMINGS = "metrics.jsonl", "timings.jsonl"


def run_directory(runs_dir: Path, env: str, algo: str, name: str, seed: int) -> Path:
    """`<runs_dir>/<env>/<algo>/<name>/seed<seed>`, with nothing but plain characters below `runs_dir`."""
    return runs_dir / _plain(env) / _plain(algo) / _plain(name) / f"seed{seed}"


def _plain(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.") or "_"


def attempt(first: Path, *, fresh: bool) -> Path:
    """The directory of the latest attempt: `seed0`, then `seed0-2`, `seed0-3` ...; with `fresh`, of the next one."""
    pattern = re.compile(re.escape(first.name) + r"-(\d+)")
    beside = first.parent.iterdir() if first.parent.is_dir() else ()
    numbers = [int(match[1]) for path in beside if (match := pattern.fullmatch(path.name)) and path.is_dir()]
    latest = max([*numbers, 1 if first.exists() else 0])
    number = latest + 1 if fresh else max(latest, 1)
    return first if number == 1 else first.with_name(f"{first.name}-{number}")


def check_same_experiment(directory: Path, experiment: Mapping[str, Any]) -> None:
    """Makes sure that what is in `directory`, if anything, was made by this experiment: `name=` keeps no hash.

    Raises:
        UserError: naming a key that differs.
    """
    receipt = read_receipt(directory)
    difference = differing_key(receipt["experiment"], experiment) if receipt is not None else None
    if difference is not None:
        key, old, new = difference
        raise UserError(
            f"{directory} holds another experiment: there {key}={old}, now {new}; choose another name= (or leave it "
            "out, then every experiment has a directory of its own)"
        )


def differing_key(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first key, in alphabetical order, in which two experiments differ, and its values."""
    before, after = flat(old), flat(new)
    key = next((key for key in sorted(before | after) if before.get(key) != after.get(key)), None)
    return (key, before.get(key, "not set"), after.get(key, "not set")) if key is not None else None


def finished_result(directory: Path, total_steps: int) -> dict[str, Any] | None:
    """The result of a run that already got as far as `total_steps`; None if there is training left."""
    receipt = read_receipt(directory)
    if receipt is None:
        return None
    result = read_json(directory / "result.json")
    if result is not None and receipt["total_steps"] >= total_steps:
        return result
    steps = [int(match[1]) for path in directory.iterdir() if (match := re.fullmatch(r"result-(\d+)\.json", path.name))]
    reached = [step for step in steps if step >= total_steps]  # before it went on
    return read_json(directory / f"result-{min(reached)}.json") if reached else None


def last_step(directory: Path) -> int:
    """How far the rows of a run are, agent steps; 0 where there are none."""
    newest = (next(newest_rows(directory / name), None) for name in (_METRICS, _TIMINGS))
    return max((int(row["step"]) for row in newest if row is not None), default=0)


def check_writable(directory: Path) -> None:
    """Makes sure that `directory` can be made and written, without making it.

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
    return UserError(f"the run cannot be kept in {directory}: {why}; choose another runs_dir")


class Session:
    """One process's work on a run, written into the receipt as it goes.

    Args:
        directory: of the run, which this process has locked.
        receipt: as it is to be from now on, without this session.
        made: what this process has found: the receipt that it would write for a new run.
    """

    def __init__(self, directory: Path, receipt: dict[str, Any], made: Mapping[str, Any]) -> None:
        self._directory, self._receipt, self._started = directory, receipt, perf_counter()
        self._entry: dict[str, Any] = {
            "started": now(),
            "ended": None,  # stays so when it is killed
            "status": None,  # finished, interrupted or failed
            "reason": None,
            "from_step": None,
            "to_step": None,
            "wall_seconds": None,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "cpu": made["machine"]["cpu"],
            "argv": made["argv"],
            "differs": differing(facts(receipt), facts(made)),
        }
        receipt["sessions"] = [*receipt.get("sessions", []), self._entry]
        self._write()

    @property
    def number(self) -> int:
        """Which session of the run it is, from 1."""
        return len(self._receipt["sessions"])

    def began(self, step: int) -> None:
        """Training goes on from `step`."""
        self._entry["from_step"] = step
        self._write()

    def ended(self, status: str, step: int, reason: str | None = None) -> None:
        """Nothing more will come."""
        self._entry |= {
            "ended": now(),
            "status": status,
            "reason": reason,
            "to_step": step,
            "wall_seconds": round(perf_counter() - self._started, 3),
        }
        self._write()

    def _write(self) -> None:
        try:
            write_receipt(self._directory, self._receipt)
        except OSError as error:
            raise UserError(f"the receipt in {self._directory} cannot be written: {error.strerror}") from error


@contextmanager
def opened(
    directory: Path, config_yaml: str, made: Mapping[str, Any], code: Code, *, new: bool = False
) -> Iterator[Session]:
    """Makes the directory of a run, writes down what it is, and keeps every other process out while it runs.

    What made the run first stays in its receipt; this process adds its session.

    Args:
        directory: of the run.
        config_yaml: the resolved config.
        made: a new receipt.
        code: what it was made from, of which the receipt has only digests.
        new: there must be nothing yet.

    Raises:
        UserError: if it cannot be written, another process is running it, or has just finished it.
    """
    with ExitStack() as stack:
        try:
            directory.mkdir(parents=True, exist_ok=not new)
            stack.enter_context(locked(directory))
        except OSError as error:
            is_taken = new and isinstance(error, FileExistsError)
            why = "another process has just made it" if is_taken else str(error.strerror)
            raise _unusable(directory, why) from error
        if finished_result(directory, made["total_steps"]) is not None:
            raise UserError(f"{directory} has just been finished by another process")
        _keep_old_result(directory)
        receipt = (read_receipt(directory) or dict(made)) | {"total_steps": made["total_steps"]}
        session = Session(directory, receipt, made)
        write_atomically(directory / "config.yaml", lambda file: file.write(config_yaml.encode()))
        _keep_diff(directory, code, session.number)
        try:
            yield session
        except BaseException as error:
            with suppress(UserError):  # a full disk may be why it ends
                session.ended(*_how_it_ended(error, directory))
            raise


def _how_it_ended(error: BaseException, directory: Path) -> tuple[str, int, str]:
    if isinstance(error, Interrupted):
        return "interrupted", error.step, error.signal_name
    step = last_step(directory)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", step, "SIGINT, at once"
    if isinstance(error, SystemExit):  # what a batch launcher's handler does once it has asked for another turn
        return "interrupted", step, "a launcher ended the process"
    return "failed", step, f"{type(error).__name__}: {error}"


def _keep_old_result(directory: Path) -> None:
    """A run that goes on beyond its old end is unfinished again; what it had reached stays, under another name."""
    result = read_json(directory / "result.json")
    if result is not None:
        (directory / "result.json").rename(directory / f"result-{result['step']}.json")


def _keep_diff(directory: Path, code: Code, session: int) -> None:
    """Keeps the changes of the code, unless they are there already: `code.diff`, then `code-<session>.diff`."""
    if not code.diff:
        return
    kept = [path.read_text(encoding="utf-8") for path in directory.glob("code*.diff")]
    if digest(code.diff) not in map(digest, kept):
        path = directory / ("code.diff" if session == 1 else f"code-{session}.diff")
        text = code.diff
        write_atomically(path, lambda file: file.write(text.encode()))
