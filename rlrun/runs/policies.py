"""Policies of a run, without what only learning needs: the best, the final one, and those of its checkpoints.

    policies/best.state     at the best evaluation so far
    policies/final.state    of the finished run

Both know their step and the mean of their evaluation. `rlrun export` makes a directory of `manifest.json`,
`config.yaml` and one policy, from which everything here reads as from a run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import torch

from rlrun.errors import UserError
from rlrun.protocols import HasPolicy, Stateful
from rlrun.replay.ring import Ring
from rlrun.runs.checkpoint import FORMAT, ROWS
from rlrun.runs.manifest import experiment_hash, manifest_of_run, write_manifest
from rlrun.runs.state_file import leaves, peek_state, read_state, write_state
from rlrun.types import State

FOLDER = "policies"
BEST, FINAL = "best", "final"  # names of files
LAST = "last"  # what may be asked for, besides the best and the step of a checkpoint
_FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class SavedPolicy:
    """A policy, read from a file."""

    path: Path
    step: int  # agent steps of training
    evaluation_mean: float | None  # its evaluation's mean raw return; None: it was not evaluated when it was saved
    state: State  # the entries of the agent's state that it has

    def load_into(self, agent: Stateful) -> None:
        """Makes `agent` act with this policy; only `act(explore=False)` and what it shows may be used then.

        Raises:
            UserError: if it does not fit the agent, or cannot be separated from a replay.
        """
        try:
            if isinstance(agent, HasPolicy):
                agent.load_policy(self.state)
                return
            if any(isinstance(leaf, Ring) or ROWS in path for path, leaf in leaves(self.state)):
                raise UserError(f"{type(agent).__name__} has a replay and no policy_entries, which say what acts")
            agent.load_state_dict(self.state)
        except (RuntimeError, ValueError, KeyError) as error:  # torch raises RuntimeError for other shapes
            if isinstance(error, torch.cuda.OutOfMemoryError):
                raise
            raise UserError(
                f"the policy in {self.path} does not fit the agent built now ({' '.join(str(error).split())}); rlrun "
                "or a class of your own has changed"
            ) from error


class Policies:
    """Keeps the best and the final policy of one run.

    Args:
        directory: of the run; its folder `policies` is created with the first one.
        belongs_to: identifies the run: the experiment's hash and the seed.
    """

    def __init__(self, directory: Path, belongs_to: Mapping[str, Any]) -> None:
        self._directory = directory
        self._belongs_to = dict(belongs_to)

    def keep(self, name: str, agent: Stateful, step: int, evaluation_mean: float) -> bool:
        """Writes `policies/<name>.state`, whole or not at all; False if the policy cannot be separated from a replay.

        Raises:
            OSError: if it cannot be written; the one before is unchanged.
        """
        state = _entries_of(agent)
        if state is None:
            return False
        _write(self._directory, name, self._belongs_to, SavedPolicy(self._directory, step, evaluation_mean, state))
        return True


def _entries_of(agent: Stateful) -> State | None:
    """What is kept of an agent; None if its policy cannot be separated from a replay."""
    state = agent.state_dict()
    if isinstance(agent, HasPolicy):
        return {key: state[key] for key in agent.policy_entries}
    return None if any(isinstance(leaf, Ring) for _, leaf in leaves(state)) else state


def _write(directory: Path, name: str, belongs_to: Mapping[str, Any], policy: SavedPolicy) -> None:
    """Writes `policies/<name>.state` in `directory`."""
    (directory / FOLDER).mkdir(exist_ok=True)
    content = {
        "format": _FORMAT,
        "belongs_to": dict(belongs_to),
        "step": policy.step,
        "evaluation_mean": policy.evaluation_mean,
        "agent": policy.state,
    }
    write_state(directory / FOLDER / f"{name}.state", content, compress=True)


def policy_of(directory: Path, which: str | None = None) -> SavedPolicy:
    """A policy of the run in `directory`, or of an exported one.

    Args:
        directory: of the run.
        which: `best`, `last` or the step of a checkpoint; None: the last, or the best where there is no other.

    Raises:
        UserError: if there is no such run or policy, or it is damaged or of another run.
    """
    manifest = manifest_of_run(directory)
    found = _found(directory)
    if not found:
        raise UserError(
            f"{directory} has no policy yet: one is kept at every checkpoint, at evaluations and at the end"
        )
    problem: UserError | None = None
    for step, name, path in _asked(found, which, directory):
        try:
            return _read(path, step, manifest, name)
        except UserError as error:  # the next older one, where the last is asked for
            problem = problem or error
    assert problem is not None
    raise problem


def newest_of(directory: Path, which: str | None) -> tuple[Path, int] | None:
    """Path and step of what `policy_of` would read, without reading it; None if there is none yet.

    Raises:
        UserError: if there are policies, but none that was asked for.
    """
    found = _found(directory)
    if not found:
        return None
    step, _, path = _asked(found, which, directory)[0]
    return path, step


def _found(directory: Path) -> list[tuple[int, str, Path]]:
    """(step, name, path) of every policy, by step; those of checkpoints have no name and come first."""
    checkpoints = [
        (path, re.fullmatch(r"step-(\d+)", path.stem)) for path in (directory / "checkpoints").glob("*.state")
    ]
    found = [(int(match[1]), "", path) for path, match in checkpoints if match]
    found += [(_step_of(path), path.stem, path) for path in (directory / FOLDER).glob("*.state")]
    return sorted(found)


def _step_of(path: Path) -> int:
    """0 where it cannot be read, which reading it will say."""
    try:
        return int(peek_state(path)["step"])
    except (UserError, ValueError, KeyError, TypeError, OSError):
        return 0


def _asked(found: list[tuple[int, str, Path]], which: str | None, directory: Path) -> list[tuple[int, str, Path]]:
    """Those of `found` that fit what is asked for, the preferred first."""
    newest_first = found[::-1]
    if which in (None, LAST):
        chosen = [entry for entry in newest_first if entry[1] != BEST]
        chosen = chosen or (newest_first if which is None else [])
    elif which == BEST:
        chosen = [entry for entry in found if entry[1] == BEST]
    else:
        chosen = [entry for entry in newest_first if str(entry[0]) == which]
    if not chosen:
        steps = sorted({step for step, name, _ in found if name != BEST})
        names = [*(BEST for _, name, _ in found if name == BEST), *([LAST] if steps else []), *map(str, steps)]
        raise UserError(f"{directory} has no policy {which}; available: {', '.join(names)}")
    return chosen


def _read(path: Path, step: int, manifest: Mapping[str, Any], name: str) -> SavedPolicy:
    content = read_state(path)
    if content.get("format") != (_FORMAT if name else FORMAT):
        raise UserError(f"{path} is of another version of rlrun")
    for key, mine in _identity(manifest).items():
        theirs = content["belongs_to"].get(key)
        if theirs != mine:
            raise UserError(f"{path} belongs to another run: its {key} is {theirs}, not {mine}")
    if not name:
        return SavedPolicy(path, step, None, content["state"]["agent"])
    return SavedPolicy(path, step, content["evaluation_mean"], content["agent"])


def export_policy(directory: Path, policy: SavedPolicy, agent: Stateful, into: Path) -> None:
    """Writes the policy of an agent, with manifest and config of its run, into a new directory, whole or not at all.

    The manifest loses what only concerns where it was made: host, working directory and sessions.

    Args:
        directory: of the run.
        policy: one of the run.
        agent: into which it was loaded.
        into: must not exist.

    Raises:
        UserError: if `into` exists or cannot be written.
    """
    manifest, state = manifest_of_run(directory), _entries_of(agent)
    assert state is not None  # it was loaded
    if into.exists():
        raise UserError(f"{into} exists already: choose a directory that does not")
    machine = {key: value for key, value in manifest["machine"].items() if key != "host"}
    manifest |= {"machine": machine, "working_directory": ".", "sessions": []}
    manifest["argv"] = ["rlrun", *manifest["argv"][1:]]
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=into.parent, prefix=f".{into.name}-") as making:
            made = Path(making) / into.name
            made.mkdir()
            write_manifest(made, manifest)
            copyfile(directory / "config.yaml", made / "config.yaml")
            _write(made, policy.path.stem, _identity(manifest), replace(policy, state=state))
            made.rename(into)
    except OSError as error:
        raise UserError(f"{into} cannot be written: {error.strerror}") from error


def _identity(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {"experiment": experiment_hash(manifest["experiment"]), "seed": manifest["seed"]}
