"""CartPole-v1 in many slots at once: Gymnasium's vector entry point under our own seeded resets.

Barto, Sutton and Anderson 1983. The dynamics are Gymnasium's, bit for bit; initial states are a hash of the stream's
seed, drawn for all slots that need one together. Here a stream is one episode.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from pydantic import Field

from rlrun.envs.cartpole_render import render_cartpole
from rlrun.rng import hash_uniform, stream_seeds
from rlrun.types import Array, BoolArray, EnvSpec, Float64Array, Int64Array, State, TimeStep

_EPISODES_DRAWN = 32  # initial states of so many episodes of every slot are drawn together


class CartPole:
    """A pole on a cart, pushed left (0) or right (1); reward 1 a step until it falls.

    Args:
        num_envs: slots that step together.
        max_episode_steps: the time limit (discount 1, last True).
    """

    steps_per_second = 50.0  # real time: a step is 0.02 s (Gymnasium's `tau`)

    def __init__(
        self, *, num_envs: Annotated[int, Field(gt=0)], max_episode_steps: Annotated[int, Field(gt=0)]
    ) -> None:
        self._env = CartPoleVectorEnv(num_envs=num_envs, max_episode_steps=max_episode_steps)
        self._env.reset(seed=0)
        observation = self._env.single_observation_space
        assert isinstance(observation, spaces.Box)
        self.spec = EnvSpec("cartpole", observation, spaces.Discrete(2), num_envs)
        self._seed = 0
        self._episode = np.zeros(num_envs, np.int64)  # [B] stream number of each slot
        self._drawn_from = np.zeros(num_envs, np.int64)  # [B] the episode that `_drawn[:, :, 0]` is for
        self._drawn = np.zeros((4, num_envs, _EPISODES_DRAWN))  # initial states of the next episodes
        self._nobody: BoolArray = np.zeros(num_envs, bool)
        self._end_obs = np.zeros(4, np.float32)  # what slot 0 showed when an episode ended

    def reset(self, seed: int) -> Array:
        """Starts episode 0 of every slot. Returns obs [B, 4]: position, velocity, angle, angular velocity."""
        self._seed = seed
        self._episode[:] = 0
        self._draw()
        self._begin(np.arange(self.spec.num_envs))
        return self._obs()

    def restart(self, slots: BoolArray) -> Array:
        """Begins the next episode in `slots` [B]. Returns obs [B, 4]."""
        return self._restart(slots.nonzero()[0])

    def step(self, action: Int64Array) -> TimeStep:
        """Plays action [B]; a pole that fell terminates, also at the time limit."""
        next_obs, reward, terminated, _, _ = self._env.step(action)
        last = self._env.prev_done
        self._env.prev_done = self._nobody  # it would reset them itself, a step late and with its own numbers
        obs = next_obs
        ended = last.nonzero()[0]
        if ended.size:
            self._end_obs = next_obs[0].copy()
            obs = self._restart(ended)
        return TimeStep(next_obs, reward, (~terminated).astype(np.float32), last, obs, {})

    def close(self) -> None:
        """Frees the environment."""
        self._env.close()

    def stream_numbers(self) -> Int64Array:
        """[B] the number of each slot's running episode."""
        return self._episode.copy()

    def begin_streams(self, seeds: Int64Array) -> Array:
        """Starts the episodes with these seeds [B]. Returns obs [B, 4]."""
        self._draw()
        self._state()[:] = initial_states(seeds)
        self._env.steps[:] = 0
        self._env.prev_done = self._nobody
        return self._obs()

    def render_rgb(self, *, ended: bool) -> Array:
        """Slot 0 as a picture, uint8 [H, W, 3]; where its last episode `ended`, or where it is now."""
        position, _, angle, _ = self._end_obs if ended else self._state()[:, 0]
        return render_cartpole(float(position), float(angle))

    def _restart(self, chosen: Int64Array) -> Array:
        self._episode[chosen] += 1
        self._begin(chosen)
        return self._obs()

    def _begin(self, chosen: Int64Array) -> None:
        """The slots with the indices `chosen` [N] begin their current episodes."""
        place = self._episode[chosen] - self._drawn_from[chosen]
        if place.size and place.max() == _EPISODES_DRAWN:
            self._draw()
            place = self._episode[chosen] - self._drawn_from[chosen]
        self._state()[:, chosen] = self._drawn[:, chosen, place]
        self._env.steps[chosen] = 0

    def _draw(self) -> None:
        """Initial states in advance: hashing those of many episodes costs little more than those of one."""
        self._drawn_from = self._episode.copy()
        slots, ahead = np.arange(self.spec.num_envs)[:, None], np.arange(_EPISODES_DRAWN)
        seeds = stream_seeds(self._seed, slots, self._drawn_from[:, None] + ahead)
        self._drawn = initial_states(seeds.ravel()).reshape(4, *seeds.shape)

    def _state(self) -> Float64Array:
        state: Float64Array | None = self._env.state
        assert state is not None
        return state

    def _obs(self) -> Array:
        return self._state().T.astype(np.float32)

    def state_dict(self) -> State:
        """The state arrays."""
        return {
            "seed": self._seed,
            "episode": self._episode.copy(),
            "state": self._state().copy(),
            "steps": self._env.steps.copy(),
        }

    def load_state_dict(self, state: State) -> Array:
        """Continues in the middle of the episodes. Returns obs [B, 4]."""
        self._seed = state["seed"]
        self._episode = state["episode"].copy()
        self._env.state = state["state"].copy()
        self._env.steps = state["steps"].copy()
        self._env.prev_done = self._nobody
        self._draw()
        return self._obs()


def initial_states(seeds: Int64Array) -> Float64Array:
    """Uniform in [-0.05, 0.05], a pure function of the stream seeds [N]. Returns [4, N]."""
    return -0.05 + 0.1 * hash_uniform(seeds[None, :], np.arange(4)[:, None])
