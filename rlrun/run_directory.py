"""Where a run lives on disk, and the receipt that says what made it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rlrun.errors import UserError
from rlrun.state_file import write_atomically

_PACKAGES = ("rlrun", "torch", "numpy", "gymnasium", "ale-py", "hydra-core")


def experiment_hash(experiment: Mapping[str, Any]) -> str:
    """10 hexadecimal digits of what defines an experiment; the order of its keys does not matter."""
    text = json.dumps(experiment, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def run_directory(runs_dir: Path, env: str, algo: str, name: str, seed: int) -> Path:
    """`<runs_dir>/<env>/<algo>/<name>/seed<seed>`, with nothing but plain characters below `runs_dir`."""
    return runs_dir / _plain(env) / _plain(algo) / _plain(name) / f"seed{seed}"


def _plain(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.") or "_"


def check_same_experiment(directory: Path, experiment: Mapping[str, Any]) -> None:
    """Makes sure that what is in `directory`, if anything, was made by this experiment: `name=` keeps no hash.

    Raises:
        UserError: naming a key that differs.
    """
    receipt = _read(directory / "receipt.json")
    there = receipt.get("experiment") if receipt is not None else None
    if there is None or there == experiment:
        return
    old, new = _flat(there), _flat(experiment)
    key = next(key for key in sorted(old | new) if old.get(key) != new.get(key))
    raise UserError(
        f"{directory} holds another experiment: there {key}={old.get(key, 'not set')}, now {new.get(key, 'not set')}; "
        "choose another name= (or leave it out, then every experiment has a directory of its own)"
    )


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        return {prefix.removesuffix("."): tree}
    return {key: value for name, branch in tree.items() for key, value in _flat(branch, f"{prefix}{name}.").items()}


def finished_result(directory: Path, total_steps: int) -> dict[str, Any] | None:
    """The result of a run that already got as far as `total_steps`; None if there is training left."""
    result, config = _read(directory / "result.json"), _read(directory / "receipt.json")
    if result is None or config is None or config["total_steps"] < total_steps:
        return None
    return result


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} cannot be read ({error}); remove it to go on with the run") from error
    return content


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


@contextmanager
def opened(directory: Path, config_yaml: str, receipt: Mapping[str, Any]) -> Iterator[None]:
    """Makes the directory of a run, writes down what it is, and keeps every other process out while it runs.

    Raises:
        UserError: if it cannot be written, or another process is running it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / ".lock").open("a+")
    except OSError as error:
        raise _unusable(directory, str(error.strerror)) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"{directory} is being run by another process; wait for it, or give another name="
            ) from error
        _keep_old_result(directory)
        write_atomically(directory / "config.yaml", lambda file: file.write(config_yaml.encode()))
        text = json.dumps(receipt, indent=2)
        write_atomically(directory / "receipt.json", lambda file: file.write(text.encode()))
        yield


def _keep_old_result(directory: Path) -> None:
    """A run that goes on beyond its old end is unfinished again; what it had reached stays, under another name."""
    result = _read(directory / "result.json")
    if result is not None:
        (directory / "result.json").rename(directory / f"result-{result['step']}.json")


def make_receipt(
    argv: Sequence[str], experiment: Mapping[str, Any], total_steps: int, seed: int, device: str, num_threads: int
) -> dict[str, Any]:
    """What made a run: the command, what defines the experiment, versions, code and machine."""
    return {
        "argv": list(argv),
        "experiment": experiment,
        "total_steps": total_steps,
        "seed": seed,
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES},
        "git_commit": _git_commit(),
        "machine": {
            "system": platform.platform(),
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "device": device,
            "num_threads": num_threads,
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    match = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    return match[1] if match else platform.processor()


def _git_commit() -> str | None:
    """The commit of rlrun's own repository, `+` if there are changes; None for an installed package."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip()
