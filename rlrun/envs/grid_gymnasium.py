"""The grid worlds as a Gymnasium environment: `gymnasium.make("rlrun/GridWorld-v0", map="cliff")`.

Importing this module registers it.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from rlrun.envs.grid_map import load_map, outcomes
from rlrun.envs.gridworld import Observation, observation_space, observe, slipped
from rlrun.envs.render.grid import render_ansi, render_rgb
from rlrun.types import Array

ID = "rlrun/GridWorld-v0"


class GridWorldEnv(gymnasium.Env[Any, np.int64]):
    """One grid world. Actions: 0 north, 1 east, 2 south, 3 west.

    Args:
        map: a bundled map's name, or the path of a map file.
        observation: one_hot, index or image.
        render_mode: ansi, rgb_array or None.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium declares it so
        "render_modes": ["ansi", "rgb_array"],
        "render_fps": 4,
    }

    def __init__(
        self,
        map: str = "lecture",  # noqa: A002 - the same word as env.map
        observation: Observation = "one_hot",
        render_mode: str | None = None,
    ) -> None:
        self.grid = load_map(map)
        self._outcomes = outcomes(self.grid)
        self._observation = observation
        self.observation_space: spaces.Space[Any] = observation_space(self.grid, observation)
        self.action_space = spaces.Discrete(4)
        self.render_mode = render_mode
        self._cell = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Puts the agent on a start cell."""
        super().reset(seed=seed)
        del options
        self._cell = int(self.np_random.choice(np.flatnonzero(self.grid.start)))
        return self._obs(), {}

    def step(self, action: np.int64) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Moves one cell; never truncates by itself."""
        direction = slipped(np.array([action]), self.np_random.random(1), self.grid.slip)[0]
        reward = float(self._outcomes.reward[self._cell, direction])
        ends = bool(self._outcomes.ends[self._cell, direction])
        self._cell = int(self._outcomes.next_state[self._cell, direction])
        return self._obs(), reward, ends, False, {}

    def render(self) -> str | Array | None:
        """As `render_mode` says."""
        if self.render_mode == "ansi":
            return render_ansi(self.grid, self._cell)
        if self.render_mode == "rgb_array":
            return render_rgb(self.grid, self._cell)
        return None

    def _obs(self) -> Any:
        return observe(self.grid, np.array([self._cell]), self._observation)[0]


gymnasium.register(ID, entry_point="rlrun.envs.grid_gymnasium:GridWorldEnv")
