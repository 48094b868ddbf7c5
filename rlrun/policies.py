"""Fixed policies for those who only want to know what they are worth: uniform, another run's, or from a file."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import yaml

from rlrun.errors import UserError, nearest
from rlrun.types import BoolArray, EnvSpec, Float64Array

TABLES = "tables.npz"  # what a run with tables leaves in its directory


def load_policy(source: str, key: str, spec: EnvSpec, num_states: int) -> Float64Array:
    """A policy as probabilities [S, A]; rows of states in which nothing can be done are 0.

    Args:
        source: `uniform`; the directory of a run that kept tables (its greedy policy); or a YAML file that maps states
            to actions, or to probabilities of actions, by name or by number.
        key: the config key that named it, for messages.
        spec: the environment's.
        num_states: rows.

    Raises:
        UserError: if there is no such policy, or it does not fit the environment.
    """
    model = spec.seen_model
    legal = model.legal if model is not None else np.ones((num_states, spec.num_actions), bool)
    path = Path(source).expanduser()
    if source == "uniform":
        policy: Float64Array = legal / np.maximum(legal.sum(axis=1, keepdims=True), 1.0)
    elif (path / TABLES).is_file():
        policy = _from_tables(path / TABLES, key)
    elif path.is_file():
        policy = _from_yaml(path, key, spec, num_states)
    else:
        raise UserError(f"{key}={source} is neither `uniform`, nor a run's directory with {TABLES}, nor a YAML file")
    _check(policy, legal, source, key)
    return policy


def _from_tables(path: Path, key: str) -> Float64Array:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as tables:
            return np.asarray(tables["policy"], np.float64)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UserError(f"{key}: {path} cannot be read as a run's tables ({error}); it may be damaged") from error


def _check(policy: Float64Array, legal: BoolArray, source: str, key: str) -> None:
    if policy.shape != legal.shape:
        raise UserError(f"{key}={source} is for {_size(policy)}, and this environment has {_size(legal)}")
    total = policy.sum(axis=1)
    wrong = np.flatnonzero((np.abs(total - 1.0) > 1e-9) & legal.any(axis=1))
    if len(wrong):
        raise UserError(f"{key}={source}: the probabilities in state {wrong[0]} sum to {total[wrong[0]]:g}, not to 1")
    forbidden = np.argwhere((policy > 0) & ~legal & legal.any(axis=1, keepdims=True))
    if len(forbidden):
        state, action = forbidden[0]
        raise UserError(f"{key}={source}: action {action} is illegal in state {state}")


def _size(table: Float64Array | BoolArray) -> str:
    return " x ".join(map(str, table.shape)) + " states and actions"


def _from_yaml(path: Path, key: str, spec: EnvSpec, num_states: int) -> Float64Array:
    model = spec.seen_model
    states = _numbers(model.state_names if model is not None else (), num_states)
    actions = _numbers(model.action_names if model is not None else (), spec.num_actions)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{key}={path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{key}={path} must map states to actions")
    policy = np.zeros((num_states, spec.num_actions))
    for state, chosen in content.items():
        row = _number(state, states, "state", path, key)
        shares = chosen if isinstance(chosen, dict) else {chosen: 1.0}
        for action, share in shares.items():
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
                raise UserError(
                    f"{key}={path}: the probability of {action} in {state} must be from 0 to 1, not {share}"
                )
            policy[row, _number(action, actions, "action", path, key)] = share
    return policy


def _numbers(names: tuple[str, ...], count: int) -> dict[str, int]:
    return {str(index): index for index in range(count)} | {name: index for index, name in enumerate(names)}


def _number(name: object, known: dict[str, int], what: str, path: Path, key: str) -> int:
    if str(name) not in known:
        raise UserError(f"{key}={path}: there is no {what} {name}; nearest: {', '.join(nearest(str(name), known))}")
    return known[str(name)]
