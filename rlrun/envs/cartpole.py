"""CartPole-v1 in many slots at once, with rlrun's own seeded resets.

Barto, Sutton and Anderson 1983, with the equations of Florian 2007 ("Correct equations for the dynamics of the
cart-pole system"). The numbers are those of Gymnasium's CartPole-v1, bit for bit, which a test asserts; its own vector
entry point checks every action against its space and resets a step late (compared in `benchmarks/cartpole_speed.py`).
Initial states are a hash of the stream's seed, drawn for all slots that need one at once. Here a stream is one episode.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from gymnasium import spaces
from pydantic import Field

from rlrun.annotations import Takes
from rlrun.envs.render.cartpole import render_cartpole
from rlrun.rng import hash_uniform, stream_seeds
from rlrun.types import Array, BoolArray, EnvSpec, Float64Array, Int64Array, State, TimeStep

_EPISODES_DRAWN = 32  # episodes of every slot whose initial states are drawn together

_GRAVITY = 9.8  # m/s^2
_POLE_MASS, _TOTAL_MASS = 0.1, 0.1 + 1.0  # kg; the cart's is 1
_HALF_LENGTH = 0.5  # m, of the pole
_POLE_MOMENT = _POLE_MASS * _HALF_LENGTH  # kg m
_FORCE = np.array([-10.0, 10.0])  # N, of each action
_TIME_STEP = 0.02  # s
_LIMITS = np.array([[2.4], [12 * 2 * math.pi / 360]])  # m and radians, beyond which the pole has fallen


class CartPole:
    """A pole on a cart, pushed left (0) or right (1); reward 1 a step until it falls.

    Args:
        num_envs: slots that step together.
        max_episode_steps: the time limit (discount 1, last True).
    """

    steps_per_second = 50.0  # real time: a step is 0.02 s (Gymnasium's `tau`)
    action_names = ("left", "right")

    def __init__(
        self, *, num_envs: Annotated[int, Field(gt=0), Takes(1_100)], max_episode_steps: Annotated[int, Field(gt=0)]
    ) -> None:
        bounds = np.array([2 * _LIMITS[0, 0], np.inf, 2 * _LIMITS[1, 0], np.inf], np.float32)
        self.spec = EnvSpec(
            "cartpole",
            spaces.Box(-bounds, bounds),
            spaces.Discrete(2),
            num_envs,
            rules={"max_episode_steps": max_episode_steps},
        )
        self._max_episode_steps = max_episode_steps
        self._state: Float64Array = np.zeros((4, num_envs))  # position, velocity, angle, angular velocity
        self._steps = np.zeros(num_envs, np.int32)  # [B] of the running episodes
        self._seed = self._first_slot = 0
        self._episode = np.zeros(num_envs, np.int64)  # [B] stream number of each slot
        self._drawn_from = np.zeros(num_envs, np.int64)  # [B] the episode that `_drawn[:, :, 0]` is for
        self._drawn = np.zeros((4, num_envs, _EPISODES_DRAWN))  # initial states of the next episodes
        self._end_obs = np.zeros(4, np.float32)  # what slot 0 showed when an episode ended

    def reset(self, seed: int, first_slot: int = 0) -> Array:
        """Starts episode 0 of every slot. Returns obs [B, 4]: position, velocity, angle, angular velocity."""
        self._seed, self._first_slot = seed, first_slot
        self._episode[:] = 0
        self._draw()
        self._begin(np.arange(self.spec.num_envs))
        return self._obs()

    def restart(self, slots: BoolArray) -> Array:
        """Begins the next episode in `slots` [B]. Returns obs [B, 4]."""
        return self._restart(slots.nonzero()[0])

    def step(self, action: Int64Array) -> TimeStep:
        """Plays action [B]; a fallen pole terminates the episode, also at the time limit."""
        self._advance(action)
        too_far = np.abs(self._state[0::2]) > _LIMITS
        fell = too_far[0] | too_far[1]
        self._steps += 1
        last = fell | (self._steps >= self._max_episode_steps)
        obs = next_obs = self._obs()
        ended = last.nonzero()[0]
        if ended.size:
            self._end_obs = next_obs[0].copy()
            obs = self._restart(ended)
        return TimeStep(next_obs, np.ones(len(last), np.float32), (~fell).astype(np.float32), last, obs, {})

    def _advance(self, action: Int64Array) -> None:
        """One Euler step of every slot, in Gymnasium's order of operations, since each of them rounds."""
        angle, angular_velocity = self._state[2], self._state[3]
        cos, sin = np.cos(angle), np.sin(angle)
        push = (_FORCE[action] + _POLE_MOMENT * np.square(angular_velocity) * sin) / _TOTAL_MASS
        inertia = _HALF_LENGTH * (4.0 / 3.0 - _POLE_MASS * np.square(cos) / _TOTAL_MASS)
        angular_acceleration = (_GRAVITY * sin - cos * push) / inertia
        acceleration = push - _POLE_MOMENT * angular_acceleration * cos / _TOTAL_MASS
        self._state[0::2] += _TIME_STEP * self._state[1::2]
        self._state[1] += _TIME_STEP * acceleration
        self._state[3] += _TIME_STEP * angular_acceleration

    def close(self) -> None:
        """Nothing to free."""

    def stream_numbers(self) -> Int64Array:
        """[B] the number of each slot's running episode."""
        return self._episode.copy()

    def begin_streams(self, seeds: Int64Array) -> Array:
        """Starts the episodes with these seeds [B]. Returns obs [B, 4]."""
        self._draw()
        self._state = initial_states(seeds)
        self._steps[:] = 0
        return self._obs()

    def render_rgb(self, *, ended: bool) -> Array:
        """Slot 0 as a picture, uint8 [H, W, 3]; where its last episode `ended`, or where it is now."""
        position, _, angle, _ = self._end_obs if ended else self._state[:, 0]
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
        self._state[:, chosen] = self._drawn[:, chosen, place]
        self._steps[chosen] = 0

    def _draw(self) -> None:
        """Initial states in advance: hashing those of many episodes costs little more than those of one."""
        self._drawn_from = self._episode.copy()
        slots, ahead = self._first_slot + np.arange(self.spec.num_envs)[:, None], np.arange(_EPISODES_DRAWN)
        seeds = stream_seeds(self._seed, slots, self._drawn_from[:, None] + ahead)
        self._drawn = initial_states(seeds.ravel()).reshape(4, *seeds.shape)

    def _obs(self) -> Array:
        return self._state.T.astype(np.float32, order="C")

    def state_dict(self) -> State:
        """The state arrays."""
        return {
            "seed": self._seed,
            "first_slot": self._first_slot,
            "episode": self._episode.copy(),
            "state": self._state.copy(),
            "steps": self._steps.copy(),
        }

    def load_state_dict(self, state: State) -> Array:
        """Continues in the middle of the episodes. Returns obs [B, 4]."""
        self._seed, self._first_slot = state["seed"], state["first_slot"]
        self._episode = state["episode"].copy()
        self._state = state["state"].copy()
        self._steps = state["steps"].copy()
        self._draw()
        return self._obs()


def initial_states(seeds: Int64Array) -> Float64Array:
    """Uniform in [-0.05, 0.05], a pure function of the stream seeds [N]. Returns [4, N]."""
    return -0.05 + 0.1 * hash_uniform(seeds[None, :], np.arange(4)[:, None])
