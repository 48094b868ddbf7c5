"""Any Gymnasium environment with discrete actions, by its id; `terminated` and `truncated` become discount and last.

One stream is one episode. The slots are plain single environments that are reset and seeded one by one, which steps
as fast as Gymnasium's `SyncVectorEnv` and lets a slot be replayed, or replaced by a fresh instance, on its own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import gymnasium
import numpy as np
from pydantic import Field, JsonValue

from rlrun.annotations import EXECUTION, PARTIAL, Takes
from rlrun.envs.gymnasium_border import Border
from rlrun.envs.gymnasium_faults import advice, describe_error, files_of
from rlrun.envs.gymnasium_making import PICTURES, Env, Maker, Wrap, is_bare, layers
from rlrun.envs.gymnasium_replay import Verdict, known_verdict, try_replay
from rlrun.envs.gymnasium_spaces import Channels
from rlrun.envs.stream_digest import StreamDigest
from rlrun.envs.stream_log import StreamLog
from rlrun.envs.toy_text import model_of
from rlrun.errors import FaultyEnvironmentError, UserError, changed_environment
from rlrun.rng import stream_seeds
from rlrun.types import (
    Array,
    BoolArray,
    EnvSpec,
    Int64Array,
    ObsArray,
    State,
    TabularModel,
    TimeStep,
    map_obs,
    mask_space,
)

_STEPS_PER_SECOND = 30.0  # of videos, where the environment does not say; our choice


class GymnasiumEnv:
    """B instances of one Gymnasium environment.

    `spec.episodic` is whether there is a time limit: without one, episodes may never end.

    Args:
        id: a registered id, such as `Acrobot-v1`; `ALE/...` registers Atari games.
        num_envs: slots that step together.
        max_episode_steps: the time limit in agent steps (discount 1, last True); None: the registered one.
        imports: packages to import first, because they register environments.
        options: keyword arguments of the environment's own constructor.
        fresh_instances: makes a new instance for every episode, which then cannot depend on earlier ones. Otherwise
            instances are kept; if they carry something across episodes, the run cannot be resumed.
        replay_probe_seconds: time to try whether the environment replays, before anything is trained.
        wrappers: wrappers of each instance, the first one innermost; names of classes, or mappings with their
            arguments. The time limit counts inside them.
        channels: the channel axis of pictures; auto: whichever end has length 1, 3 or 4, if only one has.

    Raises:
        UserError: if the id is unknown or outdated, a package is missing, an option does not exist or is of another
            type, a wrapper does not fit, or the spaces are not supported: actions must be Discrete, observations one of
            those in `gymnasium_spaces`.
    """

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 Gymnasium's own word
        num_envs: Annotated[int, Field(gt=0), Takes(1_700)],
        max_episode_steps: Annotated[int, Field(gt=0)] | None,
        imports: list[str],
        options: dict[str, JsonValue] | None,
        wrappers: list[Annotated[Wrap, PARTIAL]],
        channels: Channels,
        fresh_instances: bool,
        replay_probe_seconds: Annotated[float, Field(gt=0), EXECUTION],
    ) -> None:
        self._maker = Maker(id, max_episode_steps, imports, options, wrappers)
        first = self._maker.make()
        self._border = Border(first, self._maker.name, num_envs, channels)
        seen, action = self._border.encoding, self._border.action
        limit = max_episode_steps or (first.spec.max_episode_steps if first.spec else None)
        shown = {"obs": seen.space, "action_mask": mask_space(int(action.n))} if seen.shows_mask else seen.space
        self.spec = EnvSpec(
            id,
            shown,
            action,
            num_envs,
            episodic=limit is not None,
            model=_model(first, id),
            rules={"max_episode_steps": limit},
        )
        self.spec = replace(self.spec, parts=seen.parts, channels_known=seen.channels_known, remarks=seen.remarks)
        self._fresh_instances, self._draws = fresh_instances, False
        key = (self._maker.identity, first.spec and (first.spec.entry_point, repr(first.spec.kwargs)))
        verdict = known_verdict(key)
        if verdict is None:
            verdict = try_replay(key, self._border, self._maker, first, replay_probe_seconds)
            first = self._maker.make()  # training starts with an instance that has not played
        self._why_not = _why_not_resumable(verdict, fresh_instances=fresh_instances)
        if self._why_not is not None:
            remark = f"runs of {self._maker.name} make no checkpoints and cannot be resumed: {self._why_not}"
            if verdict.new_is_new:  # instances are kept, with what they carry across episodes
                remark += "; evaluation uses its own instances, which lack what the training instances have kept"
            self.spec = replace(self.spec, resumable=False, remarks=(*self.spec.remarks, remark))
        self._envs = [first, *(self._maker.make() for _ in range(num_envs - 1))]
        self._maybe = "" if fresh_instances else "it carries something across episodes (env.fresh_instances=true)"
        self._log = StreamLog(num_envs)
        self._shown = StreamDigest(num_envs)
        self._seed = self._first_slot = 0
        everything = self.spec.parts_of_observation.items()
        parts = {name: np.zeros((num_envs, *(space.shape or ())), space.dtype) for name, space in everything}
        self._obs: ObsArray = parts if seen.shows_mask else parts["obs"]
        self._end_picture: Array | None = None  # of slot 0 when an episode ended; only where pictures are drawn

    def reset(self, seed: int, first_slot: int = 0) -> ObsArray:
        """Starts episode 0 of every slot. Returns obs [B, ...]."""
        self._seed, self._first_slot = seed, first_slot
        everywhere = np.ones(self.spec.num_envs, bool)
        self._begin(everywhere, np.zeros(self.spec.num_envs, np.int64))
        return map_obs(np.copy, self._obs)

    def restart(self, slots: BoolArray) -> ObsArray:
        """Begins the next episode in the slots of the mask [B]. Returns obs [B, ...]."""
        self._begin(slots, self._log.numbers[slots] + 1)
        return map_obs(np.copy, self._obs)

    def step(self, action: Int64Array) -> TimeStep:
        """Plays action [B]; an episode that terminates at its time limit has terminated."""
        num_envs = self.spec.num_envs
        reward, discount = np.zeros(num_envs, np.float32), np.ones(num_envs, np.float32)
        last = np.zeros(num_envs, bool)
        for slot in range(num_envs):
            earned, terminated, truncated = self._play(slot, int(action[slot]))
            reward[slot], last[slot] = earned, terminated or truncated
            if terminated:
                discount[slot] = 0.0
        self._log.record(action)
        next_obs = obs_now = map_obs(np.copy, self._obs)
        if last.any():
            self._end_picture = self._picture() if self._envs[0].render_mode == PICTURES else None
            obs_now = self.restart(last)
        return TimeStep(next_obs, reward, discount, last, obs_now, {})

    def _play(self, slot: int, action: int) -> tuple[float, bool, bool]:
        """Stores the slot's next observation. Returns reward, terminated and truncated."""
        obs, reward, terminated, truncated = self._border.step(slot, self._envs[slot], action)
        self._show(slot, obs)
        map_obs(partial(self._digest, slot, reward, 2 * terminated + truncated), self._obs)
        return reward, terminated, truncated

    def _digest(self, slot: int, reward: float, code: int, part: Array) -> None:
        self._shown.add(slot, reward, code, part[slot])

    @property
    def steps_per_second(self) -> float:
        """What the environment's metadata says; 30 without."""
        return float(self._says("render_fps") or _STEPS_PER_SECOND)

    def _says(self, name: str) -> Any:
        return (self._envs[0].metadata or {}).get(name)

    def stream_numbers(self) -> Int64Array:
        """[B] the number of each slot's running episode."""
        return self._log.numbers.copy()

    def begin_streams(self, seeds: Int64Array) -> ObsArray:
        """Starts the episodes with these seeds [B], in fresh instances that draw pictures. Returns obs [B, ...].

        Raises:
            UserError: if the environment cannot draw.
        """
        if PICTURES not in (self._says("render_modes") or ()):
            raise UserError(f"{self._border.name} cannot draw pictures: it has no render mode {PICTURES}")
        self.close()
        self._draws = True
        self._envs = [self._maker.make(pictures=True) for _ in self._envs]
        self._log.begin(np.ones(self.spec.num_envs, bool), seeds, np.zeros(self.spec.num_envs, np.int64))
        for slot, seed in enumerate(seeds.tolist()):
            self._start_episode(slot, seed)
        return map_obs(np.copy, self._obs)

    def render_rgb(self, *, ended: bool) -> Array:
        """Slot 0 as a picture, uint8 [H, W, 3], once `begin_streams` was called; as its last episode `ended`, or now.

        Raises:
            UserError: if drawing needs a package that is not installed.
        """
        if not ended:
            return self._picture()
        assert self._end_picture is not None
        return self._end_picture

    def _picture(self) -> Array:
        try:
            picture = self._envs[0].render()
        except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
            raise UserError(
                f"pictures of {self._border.name} need a package that is not installed: {advice(error)}"
            ) from error
        except Exception as error:  # third-party code may raise anything
            fault = f"render() raised {describe_error(error, files_of(map(type, layers(self._envs[0]))))}"
            raise FaultyEnvironmentError(self._border.name, fault) from error
        if not isinstance(picture, np.ndarray) or picture.ndim != 3 or picture.shape[2] != 3:
            raise UserError(f"{self._border.name} cannot draw pictures: render() returns a {type(picture).__name__}")
        return picture.astype(np.uint8)

    def close(self) -> None:
        """Closes every instance."""
        for env in self._envs:
            self._maker.close(env)

    def _begin(self, slots: BoolArray, numbers: Int64Array) -> None:
        """Stream `numbers[i]` begins in the i-th slot of the mask."""
        (chosen,) = np.nonzero(slots)
        seeds = stream_seeds(self._seed, self._first_slot + chosen, numbers)
        self._log.begin(slots, seeds, numbers)
        self._shown.begin(slots)
        for slot, seed in zip(chosen.tolist(), seeds.tolist(), strict=True):
            self._start_episode(slot, seed)

    def _start_episode(self, slot: int, seed: int) -> None:
        if self._fresh_instances:
            self._maker.close(self._envs[slot])
            self._envs[slot] = self._maker.make(pictures=self._draws)
        self._show(slot, self._border.reset(slot, self._envs[slot], seed))

    def _show(self, slot: int, obs: ObsArray) -> None:
        if isinstance(obs, dict):
            for name, part in obs.items():
                self._obs[name][slot] = part
        else:
            self._obs[slot] = obs

    def state_dict(self) -> State:
        """The seeds and actions of the running episodes.

        Raises:
            UserError: if its episodes do not replay.
        """
        self._check_resumable()
        state = {"streams": self._log.state_dict(), "shown": self._shown.values()}
        return {"seed": self._seed, "first_slot": self._first_slot, **state}

    def _check_resumable(self) -> None:
        if self._why_not is not None:
            raise UserError(f"{self._border.name} cannot be resumed exactly: {self._why_not}")

    def load_state_dict(self, state: State) -> ObsArray:
        """Replays the running episodes up to where they were. Returns obs [B, ...].

        Raises:
            UserError: if they differ from what they were (other code, or randomness that does not come from the seed),
                or if episodes do not replay.
        """
        self._check_resumable()
        self._seed, self._first_slot = state["seed"], state["first_slot"]
        self._log.load_state_dict(state["streams"])
        self._shown.begin(np.ones(self.spec.num_envs, bool))
        for slot in range(self.spec.num_envs):
            try:
                self._start_episode(slot, int(self._log.seeds[slot]))
                for action in self._log.history(slot).tolist():
                    self._play(slot, action)
            except FaultyEnvironmentError as error:  # third-party code may refuse what it once accepted
                raise changed_environment(self._border.name, error.fault, self._maybe) from error
        self._shown.check(self._border.name, state["shown"], self._maybe)
        return map_obs(np.copy, self._obs)


def _why_not_resumable(verdict: Verdict, *, fresh_instances: bool) -> str | None:
    """Why episodes cannot be replayed from their seeds and actions; None if they can."""
    if not verdict.new_is_new:
        return "equal seeds and actions do not give equal episodes; all its randomness must come from reset(seed=...)"
    if verdict.used_is_new or fresh_instances:
        return None
    return (
        "an instance that has played differs from a new one for equal seeds and actions, since it learns or keeps "
        "something across episodes; env.fresh_instances=true makes a new instance for every episode"
    )


def _model(env: Env, env_id: str) -> TabularModel | None:
    """The model that the environment carries; None where a wrapper may change observations, actions or rewards.

    Raises:
        UserError: if it is invalid, as with FrozenLake's `success_rate: 2`, which Gymnasium accepts.
    """
    model = model_of(env) if is_bare(env) else None
    if model is not None and ((model.probability < 0) | (model.probability > 1)).any():
        wrong = max(model.probability.tolist(), key=lambda each: abs(each - 0.5))
        raise UserError(f"env.options do not fit env.id={env_id}: a transition would have the probability {wrong:g}")
    return model
