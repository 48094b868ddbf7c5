"""Atari 2600 games on ALE's C++ vector environment, reset by rlrun itself (Bellemare et al. 2013).

Observations are the last four grey 84x84 screens, one of every four frames, each the maximum of two. A stream is many
episodes here: a seeded reset reloads the ROM (0.14 to 0.3 s, while every slot waits), so a slot is reseeded only at the
first end of an episode after `reseed_every_steps`; resets in between continue the stream's own randomness.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium import spaces
from pydantic import Field

from rlrun.annotations import EXECUTION, Takes
from rlrun.envs.atari_games import action_names, require_game
from rlrun.envs.atari_protocols import PROTOCOLS
from rlrun.envs.stream_digest import StreamDigest
from rlrun.envs.stream_log import RESTARTED, StreamLog
from rlrun.rng import stream_seeds
from rlrun.types import Array, BoolArray, EnvSpec, Int64Array, State, TimeStep

FRAME_SKIP = 4  # frames per agent step; Mnih et al. 2015, Extended Data Table 1
FRAME_STACK = 4  # screens in an observation; the same table (agent history length)
SCREEN = 84  # pixels a side; the same paper, Methods
_ZOOM = 4  # of pictures for people
UNSEEDED = -1  # to ALE: continue the slot's own random stream


class Atari:
    """One game in B slots.

    Args:
        game: a bundled game's name, in snake_case.
        protocol: `nature2015` (no sticky actions, a lost life is worth discount 0) or `machado2018` (sticky actions).
        num_envs: slots that step together.
        num_threads: emulator threads; 0 takes every core. Results do not depend on it.
        max_episode_frames: emulator frames (4 a step) after which an episode is truncated (discount 1).
        reseed_every_steps: a slot's stream ends with the first episode that ends after this many of its steps.

    Raises:
        UserError: if the game does not exist.
    """

    steps_per_second = 60.0 / FRAME_SKIP  # real time: the console draws 60 frames a second

    def __init__(
        self,
        *,
        game: str,
        protocol: Literal["nature2015", "machado2018"],
        num_envs: Annotated[int, Field(gt=0), Takes(850_000)],
        num_threads: Annotated[int, Field(ge=0), EXECUTION],
        max_episode_frames: Annotated[int, Field(ge=FRAME_SKIP)],
        reseed_every_steps: Annotated[int, Field(gt=0)],
    ) -> None:
        require_game(game)
        self._protocol = PROTOCOLS[protocol]
        self._env = AtariVectorEnv(
            game,
            num_envs,
            batch_size=num_envs,
            num_threads=num_threads,
            # The limit is counted here: on ALE's own last frame the screen is not read, so the true successor is lost.
            max_num_frames_per_episode=0x7FFFFFFF,
            repeat_action_probability=self._protocol.repeat_action_probability,
            full_action_space=self._protocol.full_action_space,
            continuous=False,
            autoreset_mode="NextStep",
            img_height=SCREEN,
            img_width=SCREEN,
            grayscale=True,
            stack_num=FRAME_STACK,
            frameskip=FRAME_SKIP,
            maxpool=True,
            noop_max=self._protocol.noop_max,
            episodic_life=False,
            life_loss_info=False,
            reward_clipping=False,
            use_fire_reset=self._protocol.use_fire_reset,
        )
        self.spec = EnvSpec(
            name=game,
            observation=spaces.Box(0, 255, (FRAME_STACK, SCREEN, SCREEN), np.uint8),
            action=self._action_space(),
            num_envs=num_envs,
            frame_stack=FRAME_STACK,
            extras={"lives": spaces.Box(0, 255, (), np.int64)},
            rules={"protocol": protocol, **self._protocol.rules, "max_episode_frames": max_episode_frames},
        )
        self._max_episode_steps = max_episode_frames // FRAME_SKIP
        self._reseed_every_steps = reseed_every_steps
        self._seed = self._first_slot = 0
        self._log = StreamLog(num_envs)
        self._shown = StreamDigest(num_envs)  # without screens: a resumed run compares the last one
        self._everybody = np.ones(num_envs, bool)
        self._episode_steps = np.zeros(num_envs, np.int64)
        self._lives = np.zeros(num_envs, np.int64)
        self._screens: Array = np.zeros((num_envs, FRAME_STACK, SCREEN, SCREEN), np.uint8)  # what is shown now
        self._end_screens = self._screens  # what was shown when an episode ended

    def _action_space(self) -> spaces.Discrete:
        space = self._env.single_action_space
        assert isinstance(space, spaces.Discrete)
        return space

    @property
    def action_names(self) -> tuple[str, ...]:
        """What ALE calls the actions, in lower case; it loads the ROM again to ask."""
        return action_names(self.spec.name, every=self._protocol.full_action_space)

    def reset(self, seed: int, first_slot: int = 0) -> Array:
        """Starts stream 0 of every slot. Returns obs uint8 [B, 4, 84, 84], oldest screen first."""
        self._seed, self._first_slot = seed, first_slot
        slots = first_slot + np.arange(self.spec.num_envs)
        return self.begin_streams(stream_seeds(seed, slots, np.zeros(1, np.int64)))

    def begin_streams(self, seeds: Int64Array) -> Array:
        """Starts the streams with these seeds [B]. Returns obs."""
        self._log.begin(self._everybody, seeds, np.zeros(self.spec.num_envs, np.int64))
        self._shown.begin(self._everybody)
        obs, info = self._env.reset(seed=seeds.copy())
        self._begin_episodes(self._everybody, info)
        self._screens = obs
        return self._screens

    def stream_numbers(self) -> Int64Array:
        """[B] which of its slot's streams is running."""
        return self._log.numbers.copy()

    def restart(self, slots: BoolArray) -> Array:
        """Begins another episode in `slots` [B], within their streams."""
        obs: Array
        obs, info = self._env.reset(options={"reset_mask": slots.copy()})
        self._log.record_restart(slots)
        self._begin_episodes(slots, info)
        self._screens = obs
        return obs

    def step(self, action: Int64Array) -> TimeStep:
        """Plays action [B] for four frames."""
        next_obs, reward, terminated, lives = self._play(action)
        self._log.record(action)
        self._episode_steps += 1
        truncated = ~terminated & (self._episode_steps >= self._max_episode_steps)
        discount = np.where(terminated, 0.0, 1.0).astype(np.float32)
        if self._protocol.life_loss_ends_value:
            discount[lives < self._lives] = 0.0
        self._lives = lives
        last = terminated | truncated
        obs = self._next_episodes(last) if last.any() else next_obs
        self._screens, self._end_screens = obs, next_obs
        return TimeStep(next_obs, reward, discount, last, obs, {"lives": lives.copy()})

    def close(self) -> None:
        """Frees the emulators."""
        self._env.close()

    def render_rgb(self, *, ended: bool) -> Array:
        """Slot 0's newest screen, uint8 [336, 336, 3] grey; as its last episode `ended`, or as it is now."""
        screen = (self._end_screens if ended else self._screens)[0, -1]
        return np.repeat(screen.repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1)[..., None], 3, axis=2)

    def _play(self, action: Int64Array) -> tuple[Array, Array, BoolArray, Int64Array]:
        obs, reward, terminated, _, info = self._env.step(action)
        lives = info["lives"].astype(np.int64)
        for slot, (earned, left, over) in enumerate(
            zip(reward.tolist(), lives.tolist(), terminated.tolist(), strict=True)
        ):
            self._shown.add(slot, earned, 2 * left + over)
        return obs, reward.astype(np.float32), terminated, lives

    def _next_episodes(self, slots: BoolArray) -> Array:
        """Begins the next episode in `slots`, with a new stream where the running one is long enough."""
        reseeded = slots & (self._log.steps_since() >= self._reseed_every_steps)
        (chosen,) = np.nonzero(reseeded)
        numbers = self._log.numbers[chosen] + 1
        self._log.begin(reseeded, stream_seeds(self._seed, self._first_slot + chosen, numbers), numbers)
        self._shown.begin(reseeded)
        seeds = np.where(reseeded, self._log.seeds, UNSEEDED)[slots]
        obs: Array
        obs, info = self._env.reset(seed=seeds, options={"reset_mask": slots.copy()})
        self._begin_episodes(slots, info)
        return obs

    def _begin_episodes(self, slots: BoolArray, info: dict[str, Array]) -> None:
        self._episode_steps[slots] = 0
        self._lives = np.where(slots, info["lives"], self._lives).astype(np.int64)

    def state_dict(self) -> State:
        """Seeds of the running streams and the actions since: playing them again leads here."""
        streams = {"log": self._log.state_dict(), "shown": self._shown.values()}
        return {"seed": self._seed, "first_slot": self._first_slot, **streams}

    def load_state_dict(self, state: State) -> Array:
        """Seeds and replays the running streams of all slots, side by side. Returns obs, as `reset` does.

        Raises:
            UserError: if rewards, lives or ends differ from what they were.
        """
        self._seed, self._first_slot = state["seed"], state["first_slot"]
        self._log.load_state_dict(state["log"])
        rows, starts, seeds = state["log"]["rows"], state["log"]["starts"], self._log.seeds
        self._screens, _ = self._env.reset(seed=seeds.copy())
        ended = np.zeros(self.spec.num_envs, bool)
        for row in range(len(rows) + 1):  # all slots side by side; a stream that began later is seeded at that point
            starting = starts == row
            self._shown.begin(starting)
            self._reset_again(starting, seeds[starting])
            ended &= ~starting
            self._reset_again(ended, np.full(ended.sum(), UNSEEDED))
            ended[:] = False
            if row == len(rows):
                break
            restarting = rows[row] == RESTARTED
            if restarting.any():
                self._reset_again(restarting, np.full(restarting.sum(), UNSEEDED))
            else:
                self._screens, _, terminated, self._lives = self._play(rows[row].astype(np.int64))
                self._episode_steps += 1
                ended = terminated | (self._episode_steps >= self._max_episode_steps)
        self._shown.check(self.spec.name, state["shown"])
        return self._screens

    def _reset_again(self, slots: BoolArray, seeds: Int64Array) -> None:
        if slots.any():
            self._screens, info = self._env.reset(seed=seeds, options={"reset_mask": slots.copy()})
            self._begin_episodes(slots, info)
