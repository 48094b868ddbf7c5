"""Fixed policies to evaluate: uniform, another run's, or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from zipfile import BadZipFile

import numpy as np
import torch
import yaml
from torch import Tensor

from rlrun.agents.legality import require_mask
from rlrun.annotations import FILE, Named
from rlrun.errors import UserError, nearest
from rlrun.files import read_text
from rlrun.types import BoolArray, EnvSpec, Float64Array

TABLES = "tables.npz"  # the tables of a run, in its directory
PolicySource = Annotated[str, FILE, Named(("uniform",))]  # the annotation of what `load_policy` loads


def load_policy(source: str, key: str, spec: EnvSpec, num_states: int) -> Float64Array:
    """A policy as probabilities [S, A]; 0 in terminal states.

    States and actions of another run are matched by their names, and cells by their positions.

    Args:
        source: `uniform`; the directory of a run with tables (its greedy policy); or a YAML file that maps states to
            actions, or to probabilities of actions, by name or by number.
        key: the parameter that named it, for messages.
        spec: the environment's.
        num_states: rows.

    Raises:
        UserError: if the policy does not exist or does not fit the environment.
    """
    model = spec.seen_model
    if model is None:  # otherwise each row of the policy keeps to the legal actions of its state
        require_mask(spec)
    legal = model.legal if model is not None else np.ones((num_states, spec.num_actions), bool)
    path = Path(source).expanduser()
    if source == "uniform":
        policy = uniform_policy(legal)
    elif (path / TABLES).is_file():
        policy = _from_tables(path / TABLES, source, key, spec, legal)
    elif path.is_file():
        policy = _from_yaml(path, key, spec, num_states)
    else:
        raise UserError(f"{key}={source} is neither `uniform`, nor a run's directory with {TABLES}, nor a YAML file")
    if model is None and spec.model is not None:  # states look alike: where no action is chosen the episode is over
        legal = legal & policy.any(axis=1, keepdims=True)
    _check(policy, legal, source, key)
    return policy


def uniform_policy(legal: BoolArray) -> Float64Array:
    """All legal actions with equal probability; 0 where there is none. [S, A] -> [S, A]."""
    policy: Float64Array = legal / np.maximum(legal.sum(axis=1, keepdims=True), 1.0)
    return policy


def draw_actions(policy: Tensor, states: Tensor, rng: torch.Generator, mask: Tensor | None = None) -> Tensor:
    """An action for each of the states [B], drawn from policy [S, A] within the mask [B, A]; the lowest if none is."""
    rows = policy.index_select(0, states)
    cumulative = (rows if mask is None else rows * mask).cumsum(dim=1)  # [B, A]
    draw = torch.rand(len(states), 1, generator=rng, device=policy.device, dtype=policy.dtype)
    total = cumulative[:, -1:]
    return (cumulative <= draw * total).to(torch.int64).sum(dim=1).clamp_(max=policy.shape[1] - 1) * (
        total.squeeze(1) > 0
    )


def _from_tables(path: Path, source: str, key: str, spec: EnvSpec, legal: BoolArray) -> Float64Array:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as tables:
            policy = np.asarray(tables["policy"], np.float64)
            states, actions = (tuple(map(str, tables[name])) for name in ("state_names", "action_names"))
            wall, terminal = (tables.get(name) for name in ("wall", "terminal"))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UserError(f"{key}: {path} cannot be read as a run's tables ({error}); it may be damaged") from error
    if policy.shape != legal.shape:
        raise UserError(f"{key}={source} is for {_size(policy)}, but this environment has {_size(legal)}")
    if spec.model is None:  # nothing but numbers to match
        return policy
    if spec.seen_model is None:
        raise UserError(f"{key}={source} is for states, but {spec.name} shows only what they look like")
    layout = spec.model.layout
    _check_cells(wall, layout.wall if layout is not None else None, "walls", source, key)
    _check_cells(terminal, layout.terminal if layout is not None else None, "ends", source, key)
    rows = _places(states, spec.model.state_names, len(policy), "state", source, key)
    columns = _places(actions, spec.model.action_names, spec.num_actions, "action", source, key)
    return policy[np.ix_(rows, columns)]


def _check_cells(there: BoolArray | None, here: BoolArray | None, what: str, source: str, key: str) -> None:
    """Refuses a policy for another map, even one with the same number of cells."""
    if there is None and here is None:
        return
    if there is None or here is None:
        ours, theirs = ("", "not ") if there is None else ("not ", "")
        raise UserError(f"{key}={source}: states are {ours}cells of a grid here, but {theirs}in that run")
    if there.shape != here.shape:
        raise UserError(
            f"{key}={source} is for a grid of {there.shape[0]} x {there.shape[1]} cells, but this one has "
            f"{here.shape[0]} x {here.shape[1]}"
        )
    differing = np.argwhere(there != here)
    if len(differing):
        row, column = differing[0]
        raise UserError(f"{key}={source} is for a map with other {what}: see row {row}, column {column}")


def _places(there: tuple[str, ...], here: tuple[str, ...], count: int, what: str, source: str, key: str) -> list[int]:
    """The index of each state or action of this environment in the other run's tables."""
    if not there and not here:
        return list(range(count))
    place = {name: index for index, name in enumerate(there)}
    for name in here:
        if name not in place:
            known = f"nearest: {nearest(name, there, 1)[0]}" if there else f"its {what}s have no names"
            raise UserError(f"{key}={source}: that run has no {what} {name} ({known})")
    if not here:
        raise UserError(f"{key}={source}: {what}s have names in that run ({', '.join(there[:4])} ...), but not here")
    return [place[name] for name in here]


def _check(policy: Float64Array, legal: BoolArray, source: str, key: str) -> None:
    total = policy.sum(axis=1)
    wrong = np.flatnonzero((np.abs(total - 1.0) > 1e-9) & legal.any(axis=1))
    if len(wrong):
        raise UserError(f"{key}={source}: the probabilities in state {wrong[0]} must sum to 1, not {total[wrong[0]]:g}")
    forbidden = np.argwhere((policy > 0) & ~legal & legal.any(axis=1, keepdims=True))
    if len(forbidden):
        state, action = forbidden[0]
        raise UserError(f"{key}={source}: action {action} is illegal in state {state}")


def _size(table: Float64Array | BoolArray) -> str:
    return " x ".join(map(str, table.shape)) + " states and actions"


def _from_yaml(path: Path, key: str, spec: EnvSpec, num_states: int) -> Float64Array:
    seen = spec.seen_model
    states = _numbers(seen.state_names if seen is not None else (), num_states)
    actions = _numbers(spec.model.action_names if spec.model is not None else (), spec.num_actions)
    try:
        content = yaml.safe_load(read_text(path))
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
