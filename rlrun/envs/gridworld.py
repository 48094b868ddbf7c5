"""Grid worlds in many slots at once, over state arrays: no Python per slot.

Randomness is a hash of (stream seed, step), drawn for all slots together. A stream is one episode, so the state of a
slot is its cell, its step and its episode number.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from gymnasium import spaces
from pydantic import Field

from rlrun.annotations import FILE, Named
from rlrun.envs.grid_map import ACTION_NAMES, GridMap, bundled_maps, load_map, outcomes, tabular_model
from rlrun.envs.render.grid import render_ansi, render_rgb
from rlrun.envs.tabular import with_mask
from rlrun.rng import hash_uniform, stream_seeds
from rlrun.types import Array, BoolArray, EnvSpec, Int64Array, ObsArray, State, TimeStep

Observation = Literal["one_hot", "index", "image"]


class GridWorld:
    """A map in B slots. Actions: 0 north, 1 east, 2 south, 3 west.

    Args:
        map: a bundled map's name, or the path of a map file.
        observation: `one_hot` float32 [S], `index` (an integer below S), or `image` uint8 [3, H, W] with the planes
            agent, walls and cells that end the episode, 0 or 255.
        slip: probability of going to one of the two sides instead; None: the map's.
        step_reward: paid for every move; None: the map's.
        goal: `map`: as in the map; `end`: leaving a cell that jumps ends the episode instead.
        max_episode_steps: time limit (discount 1, last True); None: no limit.
        num_envs: slots that step together.

    Raises:
        UserError: if the map does not exist or is malformed.
    """

    steps_per_second = 4.0  # slow enough to follow; our choice

    def __init__(
        self,
        *,
        map: Annotated[str, FILE, Named(tuple(bundled_maps()))],  # noqa: A002 - the key env.map
        observation: Observation,
        slip: Annotated[float, Field(ge=0, le=1)] | None,
        step_reward: float | None,
        goal: Literal["map", "end"],
        max_episode_steps: Annotated[int, Field(gt=0)] | None,
        num_envs: Annotated[int, Field(gt=0)],
    ) -> None:
        self.grid = load_map(map).changed(slip=slip, step_reward=step_reward)
        if goal == "end":
            self.grid = self.grid.ending_at_jumps()
        self._outcomes = outcomes(self.grid)
        self._some_are_illegal = self.grid.off_grid_is_illegal
        self._observation = observation
        model = tabular_model(self.grid)
        self._legal = model.legal if model.forbids_actions else None  # [S, A]
        self._max_episode_steps = max_episode_steps
        self._starts = np.flatnonzero(self.grid.start)
        self.spec = EnvSpec(
            name="gridworld",
            observation=with_mask(observation_space(self.grid, observation), model),
            action=spaces.Discrete(4),
            num_envs=num_envs,
            episodic=max_episode_steps is not None,  # for any policy; one that walks into a wall never ends
            model=model,
            rules={"max_episode_steps": max_episode_steps},
        )
        self._seed = self._first_slot = 0
        self._slots = np.arange(num_envs)
        self._episode = np.zeros(num_envs, np.int64)
        self._stream = np.zeros(num_envs, np.int64)  # the running episode's seed
        self._time = np.zeros(num_envs, np.int64)
        self._cell = np.zeros(num_envs, np.int64)
        self._end_cell = 0  # where slot 0 was when an episode ended

    def reset(self, seed: int, first_slot: int = 0) -> ObsArray:
        """Starts episode 0 of every slot."""
        self._seed, self._first_slot = seed, first_slot
        self._episode[:] = 0
        self._begin(self._slots)
        return self._observe()

    def restart(self, slots: BoolArray) -> ObsArray:
        """Begins the next episode in `slots` [B]."""
        (chosen,) = np.nonzero(slots)
        self._episode[chosen] += 1
        self._begin(chosen)
        return self._observe()

    def step(self, action: Int64Array) -> TimeStep:
        """Moves every slot one cell, unless something is in the way.

        Raises:
            ValueError: if an action is not legal in the cell of its slot; no slot has moved then.
        """
        if self._some_are_illegal:
            self._refuse_illegal(action)
        self._time += 1
        direction = slipped(action, hash_uniform(self._stream, self._time), self.grid.slip)
        reward = self._outcomes.reward[self._cell, direction].astype(np.float32)
        ends = self._outcomes.ends[self._cell, direction]
        self._cell = self._outcomes.next_state[self._cell, direction]
        discount = np.where(ends, 0.0, 1.0).astype(np.float32)
        limit = self._max_episode_steps
        last = ends if limit is None else ends | (self._time >= limit)
        next_obs = obs = self._observe()
        if last.any():
            self._end_cell = int(self._cell[0])
            obs = self.restart(last)
        return TimeStep(next_obs, reward, discount, last, obs, {})

    def _refuse_illegal(self, action: Int64Array) -> None:
        legal = self._outcomes.legal[self._cell, action]
        if not legal.all():
            slot = int(legal.argmin())
            row, column = divmod(int(self._cell[slot]), self.grid.shape[1])
            raise ValueError(
                f"{ACTION_NAMES[int(action[slot])]} is not legal in row {row}, column {column} (slot {slot}): "
                "it leads off the grid"
            )

    def close(self) -> None:
        """Nothing is open."""

    def stream_numbers(self) -> Int64Array:
        """[B] the number of each slot's running episode."""
        return self._episode.copy()

    def begin_streams(self, seeds: Int64Array) -> ObsArray:
        """Starts the episodes with these seeds [B]."""
        self._begin_from(self._slots, seeds)
        return self._observe()

    def _observe(self) -> ObsArray:
        shown = observe(self.grid, self._cell, self._observation)
        return shown if self._legal is None else {"obs": shown, "action_mask": self._legal[self._cell]}

    def _begin(self, chosen: Int64Array) -> None:
        self._begin_from(chosen, stream_seeds(self._seed, self._first_slot + chosen, self._episode[chosen]))

    def _begin_from(self, chosen: Int64Array, seeds: Int64Array) -> None:
        self._stream[chosen] = seeds
        self._time[chosen] = 0
        draw = hash_uniform(self._stream[chosen], 0)
        self._cell[chosen] = self._starts[(draw * len(self._starts)).astype(np.int64)]

    def render_ansi(self) -> str:
        """Slot 0 as text."""
        return render_ansi(self.grid, int(self._cell[0]))

    def render_rgb(self, *, ended: bool) -> Array:
        """Slot 0 as a picture, uint8 [H, W, 3]; where its last episode `ended`, or where it is now."""
        return render_rgb(self.grid, self._end_cell if ended else int(self._cell[0]))

    def state_dict(self) -> State:
        """The state arrays."""
        arrays = {"episode": self._episode, "stream": self._stream, "time": self._time, "cell": self._cell}
        return {
            "seed": self._seed,
            "first_slot": self._first_slot,
            **{name: array.copy() for name, array in arrays.items()},
        }

    def load_state_dict(self, state: State) -> ObsArray:
        """Continues in the middle of the episodes. Returns obs."""
        self._seed, self._first_slot = state["seed"], state["first_slot"]
        self._episode = state["episode"].copy()
        self._stream = state["stream"].copy()
        self._time = state["time"].copy()
        self._cell = state["cell"].copy()
        return self._observe()


def slipped(action: Int64Array, draw: Array, slip: float) -> Int64Array:
    """The direction actually taken: to either side with probability slip / 2. action, draw [B] -> [B]."""
    turn = np.where(draw < slip / 2, 1, np.where(draw < slip, 3, 0))
    direction: Int64Array = (action + turn) % 4
    return direction


def observation_space(grid: GridMap, observation: Observation) -> spaces.Box | spaces.Discrete:
    """What an agent sees of `grid`."""
    if observation == "index":
        return spaces.Discrete(grid.num_states)
    if observation == "image":
        return spaces.Box(0, 255, (3, *grid.shape), np.uint8)
    return spaces.Box(0.0, 1.0, (grid.num_states,), np.float32)


def observe(grid: GridMap, cell: Int64Array, observation: Observation) -> Array:
    """Cells [B] as observations [B, ...]."""
    if observation == "index":
        return cell.copy()
    one_hot = np.zeros((len(cell), grid.num_states), np.float32)
    one_hot[np.arange(len(cell)), cell] = 1.0
    if observation == "one_hot":
        return one_hot
    height, width = grid.shape
    image = np.zeros((len(cell), 3, height, width), np.uint8)
    image[:, 0] = 255 * one_hot.reshape(-1, height, width).astype(np.uint8)
    image[:, 1] = 255 * grid.wall.astype(np.uint8)
    image[:, 2] = 255 * (grid.terminal | grid.exits).astype(np.uint8)
    return image
