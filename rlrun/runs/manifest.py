"""The manifest of a run: its command, config, versions and machine, and every session in which a process worked on it.

What created a run is never rewritten. A session that found something else (another version, another machine) lists it
in `differs`.
"""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

from rlrun.errors import UserError
from rlrun.files import write_atomically

MANIFEST = "manifest.json"
RESULT = "result.json"
FORMAT = 1
_OLD_RESULT = re.compile(r"result-(\d+)\.json")
_PACKAGES = (
    "rlrun",
    "torch",
    "numpy",
    "gymnasium",
    "ale-py",
    "hydra-core",
    "omegaconf",
    "pydantic",
    "tensorboard",
    "pillow",
)
_GIT_SECONDS = 10  # git on a slow disk must not delay a run
Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Code:
    """The state of rlrun's own code; commit and diff are None for an installed package."""

    commit: str | None  # `+` at its end where tracked files are changed
    diff: str | None  # of tracked files, against the commit
    digest: str | None = None  # of every module of the package, whatever git knows


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What creates a run.

    Args:
        argv: the command.
        overrides: its Hydra overrides.
        labels: names of algorithm, environment and preset.
        experiment: what defines the experiment.
        settings: what else decides which rows are written, and when.
        machine: as `describe_machine` returns it.
        evaluation: what its scores depend on, as `rules_of` returns it.
        rerun_of: the directory of the run that this one repeats.
    """

    argv: Sequence[str]
    overrides: Sequence[str]
    labels: Mapping[str, str]
    experiment: Mapping[str, Any]
    settings: Mapping[str, Any]
    seed: int
    total_steps: int
    machine: Mapping[str, Any]
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    rerun_of: str | None = None


def make_manifest(made: Provenance, code: Code) -> dict[str, Any]:
    """A new manifest, without sessions."""
    return {
        "format": FORMAT,
        "argv": list(made.argv),
        "overrides": list(made.overrides),
        "working_directory": os.getcwd(),
        "labels": dict(made.labels),
        "evaluation": dict(made.evaluation),
        "seed": made.seed,
        "total_steps": made.total_steps,
        "experiment_hash": experiment_hash(made.experiment),
        "experiment": made.experiment,
        "settings": flat(made.settings),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES},
        "git_commit": code.commit,
        "code_diff": digest(code.diff) if code.diff else None,
        "code_digest": code.digest,
        "config_digests": [],  # of config.yaml: two while one replaces the other
        "machine": dict(made.machine),
        "rerun_of": made.rerun_of,
        "sessions": [],
    }


def experiment_hash(experiment: Mapping[str, Any]) -> str:
    """10 hexadecimal digits for what defines an experiment; the order of keys does not matter."""
    text = json.dumps(experiment, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return blake2b(text.encode(), digest_size=5).hexdigest()


def digest(text: str) -> str:
    """A digest of a string."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def describe_machine(
    device: str, gpu: str | None, num_threads: int, instructions: str, compiled: str | None = None
) -> dict[str, Any]:
    """The machine, and how much of it a run uses.

    Args:
        device: as torch calls it.
        gpu: its name.
        num_threads: CPU threads.
        instructions: the instruction set that torch uses on the CPU; results depend on it bit for bit.
        compiled: how functions are compiled; None if they are not.
    """
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "cpu": cpu_model(),
        "instructions": instructions,
        "cores": os.cpu_count(),
        "device": device,
        "gpu": gpu,
        "num_threads": num_threads,
        "compile": compiled,
    }


def facts(manifest: Mapping[str, Any], session: int | None = None) -> Facts:
    """What may change results bit for bit, or which rows there are, besides the experiment, the seed and the length.

    Args:
        manifest: of a run.
        session: index of the session whose facts are wanted; None for those of the creation.
    """
    machine = manifest["machine"]
    found = {f"versions.{name}": number for name, number in manifest["versions"].items()}
    found |= {name: manifest.get(name) for name in ("git_commit", "code_diff", "code_digest")}
    names = ("cpu", "instructions", "device", "gpu", "num_threads", "compile")
    found |= {f"machine.{name}": machine.get(name) for name in names}
    found |= manifest.get("settings", {})
    sessions = manifest.get("sessions", [])
    if session is not None and sessions:
        found |= {name: values[1] for name, values in sessions[session]["differs"].items()}
    return found


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, list[Any]]:
    """`{name: [old, new]}` of what differs."""
    return {name: [old.get(name), new.get(name)] for name in {**old, **new} if old.get(name) != new.get(name)}


def in_words(differences: Mapping[str, Sequence[Any]]) -> str:
    """What `differing` found, in one line."""
    from rlrun.annotations.type_words import shown

    return ", ".join(f"{name} {shown(new)} (was {shown(old)})" for name, (old, new) in differences.items())


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted names."""
    if not isinstance(tree, Mapping):
        return {prefix.removesuffix("."): tree}
    return {key: value for name, branch in tree.items() for key, value in flat(branch, f"{prefix}{name}.").items()}


def read_manifest(directory: Path) -> dict[str, Any] | None:
    """The manifest in `directory`, if there is one, as rlrun wrote it.

    Raises:
        UserError: if it cannot be read, or has been edited.
    """
    path = directory / MANIFEST
    manifest = read_json(path)
    if manifest is None:
        return None
    if not {"experiment", "total_steps", "seed", "machine", "versions"} <= manifest.keys():
        raise UserError(f"{path} is not the manifest of a run")
    stored = manifest.pop("digest", None)
    if stored != _digest_of(manifest):
        raise UserError(f"{path} was edited after rlrun wrote it; fresh=true starts a new run next to it")
    return manifest


def read_result(path: Path) -> dict[str, Any] | None:
    """The result of a run, if there is one: `result.json`, or `result-<step>.json` from before it was extended.

    Raises:
        UserError: if it cannot be read, or has been edited.
    """
    result = read_json(path)
    if result is None:
        return None
    counts_valid = all(_is_integer(result.get(key)) for key in ("step", "total_steps", "eval/episodes"))
    numbers = (result.get(key) for key in ("eval/episode_return", "eval/standard_error"))
    if not counts_valid or not all(_is_integer(number) or isinstance(number, float) for number in numbers):
        raise UserError(f"{path} is not the result of a run of this version of rlrun")
    if result.pop("digest", None) != _digest_of(result):
        raise UserError(f"{path} was edited after rlrun wrote it; fresh=true starts a new run next to it")
    named = _OLD_RESULT.fullmatch(path.name)
    if named is not None and int(named[1]) != result["step"]:
        raise UserError(f"{path} is the result of step {result['step']}: it was renamed")
    return result


def result_of_run(directory: Path, manifest: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """`result.json` of the run with this manifest, if there is one.

    Raises:
        UserError: if it cannot be read, has been edited, or is of another run.
    """
    result = read_result(directory / RESULT)
    if result is not None and manifest is not None and result["total_steps"] != manifest["total_steps"]:
        raise UserError(
            f"{directory / RESULT} has total_steps={result['total_steps']}, and {MANIFEST} has "
            f"{manifest['total_steps']}: it belongs to another run; fresh=true starts a new run next to it"
        )
    return result


def old_results(directory: Path) -> list[int]:
    """The steps of `result-<step>.json`, results from before the run was extended, in order."""
    names = [path.name for path in directory.glob("result-*.json")]
    return sorted(int(match[1]) for name in names if (match := _OLD_RESULT.fullmatch(name)))


def write_result(directory: Path, result: Mapping[str, Any]) -> None:
    """Writes `result.json`, whole or not at all, with a digest of its content."""
    _write_with_digest(directory / RESULT, result)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def manifest_of_run(directory: Path) -> dict[str, Any]:
    """The manifest of the run in `directory`.

    Raises:
        UserError: if there is none.
    """
    manifest = read_manifest(directory)
    if manifest is None:
        why = "no such directory"
        if directory.exists():
            why = "it has no manifest.json" if directory.is_dir() else "it is a file; give the directory"
        raise UserError(f"{directory} is not a run: {why}; `rlrun ls` lists all runs")
    return manifest


def write_manifest(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Writes it, whole or not at all, with a digest of its content."""
    _write_with_digest(directory / MANIFEST, manifest)


def _write_with_digest(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps({**content, "digest": _digest_of(content)}, indent=2)
    write_atomically(path, lambda file: file.write(text.encode()))


def _digest_of(content: Mapping[str, Any]) -> str:
    return digest(json.dumps(content, sort_keys=True))


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a small JSON file; None if there is no file.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}); fresh=true starts a new run next to it") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} cannot be read (it is not a JSON object); fresh=true starts a new run next to it")
    return content


def now() -> str:
    """The current time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def code_state() -> Code:
    """The commit and the uncommitted changes of rlrun's own repository, and the digest of its modules."""
    root = Path(__file__).resolve().parents[2]
    modules = digest_of_modules(Path(__file__).resolve().parents[1])
    if not (root / ".git").exists():
        return Code(None, None, modules)
    commit = _git(root, "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*")
    changed = commit is not None and commit.strip().endswith("+")
    diff = _git(root, "diff", "HEAD", "--no-color", "--no-ext-diff") if changed else None
    return Code(commit.strip() if commit is not None else None, diff, modules)


def digest_of_modules(package: Path) -> str:
    """A digest of the names and contents of all `*.py` below `package`."""
    hasher = blake2b(digest_size=16)
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        hasher.update(f"{path.relative_to(package).as_posix()} {len(content)}\n".encode() + content)
    return hasher.hexdigest()


def _git(root: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout


def cpu_model() -> str:
    """The model name of the CPU."""
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    match = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    return match[1] if match else platform.processor()


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version  # slow to import; completion does not need it

    try:
        return version(package)
    except PackageNotFoundError:
        return None
