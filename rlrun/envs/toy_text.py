"""The finite model of an environment that carries its own: Gymnasium's toy-text family keeps it in `P`.

P[state][action] is a list of (probability, next state, reward, terminated).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium import spaces

from rlrun.types import BoolArray, GridLayout, TabularModel

Transitions: TypeAlias = Mapping[int, Mapping[int, list[tuple[float, int, float, bool]]]]

_LEFT, _DOWN, _RIGHT, _UP = (0, -1), (1, 0), (0, 1), (-1, 0)
_LAKE_ACTIONS = ("left", "down", "right", "up")
_CLIFF_ACTIONS = ("up", "right", "down", "left")
_TAXI_ACTIONS = ("south", "north", "east", "west", "pick up", "drop off")


def model_of(env: gymnasium.Env[Any, Any]) -> TabularModel | None:
    """The model in `env.unwrapped.P`, or None where there is none.

    A state is terminal if it is only ever entered by outcomes that terminate; what P says of leaving it is ignored.
    Taxi with `fickle_passenger` has no model: P does not say, and no state shows, when the passenger chooses again.
    """
    inside = env.unwrapped
    if getattr(inside, "fickle_passenger", False):
        return None
    transitions: Transitions | None = getattr(inside, "P", None)
    observation, action = env.observation_space, env.action_space
    if not isinstance(transitions, Mapping) or not isinstance(observation, spaces.Discrete):
        return None
    if not isinstance(action, spaces.Discrete):
        return None
    rows = [
        (state, move, successor, probability, reward, terminated)
        for state, moves in transitions.items()
        for move, outcomes in moves.items()
        for probability, successor, reward, terminated in outcomes
    ]
    state, move, successor = (np.array([row[column] for row in rows], np.int64) for column in range(3))
    probability, reward = (np.array([row[column] for row in rows], np.float64) for column in (3, 4))
    ends = np.array([row[5] for row in rows], bool)
    num_states, num_actions = int(observation.n), int(action.n)
    terminal = np.zeros(num_states, bool)
    terminal[successor[ends]] = True
    elsewhere = state != successor  # a terminal state of P may lead to itself
    terminal[successor[~ends & elsewhere & ~terminal[state]]] = False
    kept = ~terminal[state]
    legal = np.zeros((num_states, num_actions), bool)
    legal[state[kept], move[kept]] = True
    initial = getattr(inside, "initial_state_distrib", None)
    layout, names = _layout(inside, terminal)
    return TabularModel(
        num_states=num_states,
        num_actions=num_actions,
        state=state[kept],
        action=move[kept],
        next_state=successor[kept],
        probability=probability[kept],
        reward=reward[kept],
        discount=np.where(ends[kept], 0.0, 1.0),
        initial=np.full(num_states, 1.0 / num_states) if initial is None else np.asarray(initial, np.float64),
        legal=legal,
        action_names=names if len(names) == num_actions else (),
        layout=layout,
    )


def _layout(inside: Any, terminal: BoolArray) -> tuple[GridLayout | None, tuple[str, ...]]:
    """How the states of the members of the family that we know lie, and what their actions are called."""
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
