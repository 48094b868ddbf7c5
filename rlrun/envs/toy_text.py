"""The finite model of an environment that carries its own: Gymnasium's toy-text family keeps it in `P`.

P[state][action] is a list of (probability, next state, reward, terminated), and `initial_state_distrib` has the
probabilities of first states.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium import spaces

from rlrun.errors import UserError
from rlrun.types import BoolArray, Float64Array, GridLayout, Int64Array, TabularModel

_LOG = logging.getLogger(__name__)
_ROUNDING = 1e-6  # how far sums of probabilities may differ from 1, as in the other models

Transitions: TypeAlias = Mapping[int, Mapping[int, list[tuple[float, int, float, bool]]]]

_LEFT, _DOWN, _RIGHT, _UP = (0, -1), (1, 0), (0, 1), (-1, 0)
_LAKE_ACTIONS = ("left", "down", "right", "up")
_CLIFF_ACTIONS = ("up", "right", "down", "left")
_TAXI_ACTIONS = ("south", "north", "east", "west", "pick up", "drop off")


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """The outcomes of P, a row for each with probability above 0."""

    state: Int64Array
    action: Int64Array
    probability: Float64Array
    successor: Int64Array
    reward: Float64Array
    ends: BoolArray


def model_of(env: gymnasium.Env[Any, Any]) -> TabularModel | None:
    """The model in `env.unwrapped.P` and `.initial_state_distrib`, or None where there is none.

    A state is terminal if outcomes that terminate enter it, no episode begins in it, and every other outcome that
    enters it leaves a terminal state; what P says of leaving it is ignored.

    There is no model without `initial_state_distrib`: which states are terminal depends on where episodes begin. Nor
    has Taxi with `fickle_passenger` one: neither P nor any state shows when the passenger chooses again.

    Raises:
        UserError: if P is not a model of the environment's states and actions.
    """
    inside = env.unwrapped
    name = env.spec.id if env.spec is not None else type(inside).__name__
    transitions: Any = getattr(inside, "P", None)
    observation, action = env.observation_space, env.action_space
    if not isinstance(observation, spaces.Discrete) or not isinstance(action, spaces.Discrete):
        return None
    if getattr(inside, "fickle_passenger", False) or not _is_table(transitions):
        return None
    given = getattr(inside, "initial_state_distrib", None)
    if given is None:
        _LOG.warning(
            f"{name} carries its transitions P but no initial_state_distrib, so it is used without a model: where its "
            "episodes begin is not known"
        )
        return None
    num_states, num_actions = int(observation.n), int(action.n)
    initial = _initial(given, num_states, name)
    rows = _rows(transitions, (int(observation.start), num_states), (int(action.start), num_actions), name)
    terminal = _terminal(rows, initial)
    kept = ~terminal[rows.state]
    legal = np.zeros((num_states, num_actions), bool)
    legal[rows.state[kept], rows.action[kept]] = True
    _check_every_state(legal, terminal, rows, initial, name)
    layout, names = _layout(inside, terminal)
    return TabularModel(
        num_states=num_states,
        num_actions=num_actions,
        state=rows.state[kept],
        action=rows.action[kept],
        next_state=rows.successor[kept],
        probability=rows.probability[kept],
        reward=rows.reward[kept],
        discount=np.where(rows.ends[kept], 0.0, 1.0),
        initial=initial,
        legal=legal,
        action_names=names if len(names) == num_actions else (),
        layout=layout,
    )


def _is_table(transitions: object) -> bool:
    """Whether it maps integers to mappings, unlike other attributes that happen to be called P."""
    return (
        isinstance(transitions, Mapping)
        and bool(transitions)
        and all(isinstance(state, int | np.integer) for state in transitions)
        and all(isinstance(moves, Mapping) for moves in transitions.values())
    )


def _rows(transitions: Transitions, states: tuple[int, int], actions: tuple[int, int], name: str) -> _Rows:
    """P as arrays, numbered from 0, after it has been checked; `states` and `actions` are (first number, how many)."""
    found = []
    for state, moves in transitions.items():
        for action, outcomes in moves.items():
            place = f"P[{state}][{action}] of {name}"
            _check_number(state, states, place, "state")
            _check_number(action, actions, place, "action")
            total = 0.0
            for outcome in outcomes:
                probability, successor, reward, ends = _outcome(outcome, place)
                _check_number(successor, states, place, "next state")
                total += probability
                if probability != 0.0:
                    found.append((state, action, probability, successor, reward, ends))
            if not abs(total - 1.0) <= _ROUNDING:
                raise UserError(f"the probabilities of {place} must sum to 1, not {total:g}")
    if not found:
        raise UserError(f"P of {name} has no outcomes")
    columns = list(zip(*found, strict=True))
    return _Rows(
        np.array(columns[0], np.int64) - states[0],
        np.array(columns[1], np.int64) - actions[0],
        np.array(columns[2], np.float64),
        np.array(columns[3], np.int64) - states[0],
        np.array(columns[4], np.float64),
        np.array(columns[5], bool),
    )


def _outcome(outcome: object, place: str) -> tuple[float, int, float, bool]:
    wanted = "(probability, next state, reward, terminated)"
    if not isinstance(outcome, tuple | list) or len(outcome) != 4:
        raise UserError(f"{place} must list {wanted}, not {outcome!r}")
    probability, successor, reward, ends = outcome
    for number in (probability, reward):
        if not isinstance(number, int | float | np.number) or not np.isfinite(number):
            raise UserError(f"{place} must list {wanted} as finite numbers, not {outcome!r}")
    return probability, successor, reward, ends


def _check_number(number: int, known: tuple[int, int], place: str, what: str) -> None:
    first, count = known
    if not isinstance(number, int | np.integer) or not first <= number < first + count:
        raise UserError(
            f"{place} has the {what} {number}: {what}s are the integers from {first} to {first + count - 1}"
        )


def _initial(given: Any, num_states: int, name: str) -> Float64Array:
    initial = np.asarray(given, np.float64)
    if initial.shape != (num_states,) or not (initial >= 0).all() or not abs(initial.sum() - 1.0) <= _ROUNDING:
        raise UserError(
            f"initial_state_distrib of {name} must be {num_states} probabilities that sum to 1, one for each state"
        )
    return initial


def _terminal(rows: _Rows, initial: Float64Array) -> BoolArray:
    """The largest set of states that only ends lead into, other than from within it: [S] bool."""
    terminal = np.zeros(len(initial), bool)
    terminal[rows.successor[rows.ends]] = True
    terminal &= initial == 0
    while True:
        goes_on = ~rows.ends & ~terminal[rows.state]
        entered = np.unique(rows.successor[goes_on])
        if not terminal[entered].any():
            return terminal
        terminal[entered] = False


def _check_every_state(legal: BoolArray, terminal: BoolArray, rows: _Rows, initial: Float64Array, name: str) -> None:
    """Refuses a P without transitions for a state where an episode begins or continues."""
    played = initial > 0
    played[rows.successor[~rows.ends & ~terminal[rows.state]]] = True
    unknown = np.flatnonzero(played & ~terminal & ~legal.any(axis=1))
    if len(unknown):
        raise UserError(f"P of {name} has no transitions for state {unknown[0]}, which does not end the episode")


def _layout(inside: Any, terminal: BoolArray) -> tuple[GridLayout | None, tuple[str, ...]]:
    """The layout of the states and the names of the actions, for the known members of the family."""
    name = type(inside).__name__
    if name == "FrozenLakeEnv":
        marks = tuple("".join(cell.decode() for cell in row) for row in inside.desc)
        shape = (len(marks), len(marks[0]))
        wall = np.zeros(shape, bool)
        return GridLayout(wall, terminal.reshape(shape), marks, (_LEFT, _DOWN, _RIGHT, _UP)), _LAKE_ACTIONS
    if name == "CliffWalkingEnv":
        shape = tuple(inside.shape)
        rows = [["." for _ in range(shape[1])] for _ in range(shape[0])]
        for row, column in np.argwhere(inside._cliff):
            rows[row][column] = "C"
        marks = tuple("".join(row) for row in rows)
        wall = np.zeros(shape, bool)
        return GridLayout(wall, terminal.reshape(shape), marks, (_UP, _RIGHT, _DOWN, _LEFT)), _CLIFF_ACTIONS
    return None, _TAXI_ACTIONS if name == "TaxiEnv" else ()
