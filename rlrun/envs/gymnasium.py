"""Any Gymnasium environment with discrete actions, by its id. Here `terminated` and `truncated` become two facts.

One stream is one episode. The slots are plain single environments that are reset and seeded one by one, which steps
as fast as Gymnasium's `SyncVectorEnv` and lets a slot be replayed, or replaced by a fresh instance, on its own.
"""

from __future__ import annotations

import logging
import operator
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Annotated, Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium import spaces
from pydantic import Field

from rlrun.annotations import Takes
from rlrun.envs.gymnasium_options import Option, checked_options
from rlrun.envs.stream_digest import StreamDigest
from rlrun.envs.stream_log import StreamLog
from rlrun.envs.toy_text import model_of
from rlrun.errors import UserError, changed_environment, nearest
from rlrun.rng import numpy_generator, stream_seeds
from rlrun.types import Array, BoolArray, EnvSpec, Int64Array, State, TabularModel, TimeStep

Env: TypeAlias = gymnasium.Env[Any, Any]

_LOG = logging.getLogger(__name__)
_PICTURES = "rgb_array"  # Gymnasium's name of the render mode that returns pictures
_STEPS_PER_SECOND = 30.0  # of films, where the environment does not say; ours
_PROBED_STEPS = 40  # of each of two episodes; enough for caches (physics, terrain) to show


class GymnasiumEnv:
    """B instances of one Gymnasium environment.

    `spec.episodic` is whether there is a time limit: without one, nobody can know that episodes end.

    Args:
        id: a registered id, `Acrobot-v1`; `ALE/...` registers Atari's.
        num_envs: slots that step together.
        max_episode_steps: the time limit in agent steps (discount 1, last True); None takes the registered one.
        imports: packages to import first, because they register environments.
        options: keyword arguments of the environment's own constructor.

    Raises:
        UserError: if the id is unknown or outdated, a package is missing, an option does not exist or is of another
            type, or the spaces are not supported: actions must be Discrete, observations Box or Discrete.
    """

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 Gymnasium's own word
        num_envs: Annotated[int, Field(gt=0), Takes(1_700)],
        max_episode_steps: Annotated[int, Field(gt=0)] | None,
        imports: list[str],
        options: dict[str, bool | int | float | str] | None,
    ) -> None:
        _import(imports, id)
        given: dict[str, Option] = dict(options or {})
        registered = gymnasium.registry.get(id)
        if registered is not None:  # before it is made, which may raise anything
            given = checked_options(given, registered.entry_point, id)
        self._make: Callable[[], Env] = lambda: _make(id, max_episode_steps, given)
        self._make_shown: Callable[[], Env] = lambda: _make(id, max_episode_steps, given | {"render_mode": _PICTURES})
        first = self._make()
        if first.spec is not None and registered is None:  # "package:id", or an id without its version
            first.close()
            given = checked_options(given, first.spec.entry_point, id)
            first = self._make()
        self._envs = [first]
        action, self._first_action = _counted_from_0(_supported_action(first.action_space, id))
        observation, self._first_index = _observation(first.observation_space, id)
        self._num_indices = int(observation.n) if isinstance(observation, spaces.Discrete) else 0
        limit = max_episode_steps or (first.spec.max_episode_steps if first.spec else None)
        self.spec = EnvSpec(id, observation, action, num_envs, episodic=limit is not None, model=_model(first, id))
        self._fresh_instances = not self._replays_exactly(used=True)
        if self._fresh_instances and not self._replays_exactly(used=False):
            self.spec = replace(self.spec, resumable=False)
            _LOG.warning(
                f"env.id={id} does not replay: equal seeds and actions do not give equal episodes, so this run makes "
                "no checkpoints and cannot be resumed"
            )
        self._envs += [self._make() for _ in range(num_envs - 1)]
        self._log = StreamLog(num_envs)
        self._shown = StreamDigest(num_envs)
        self._seed = 0
        self._obs = np.zeros((num_envs, *self.spec.obs_shape), observation.dtype)
        self._end_picture: Array | None = None  # of slot 0 when an episode ended; only where pictures are drawn

    def reset(self, seed: int) -> Array:
        """Starts episode 0 of every slot. Returns obs [B, ...]."""
        self._seed = seed
        everywhere = np.ones(self.spec.num_envs, bool)
        self._begin(everywhere, np.zeros(self.spec.num_envs, np.int64))
        return self._obs.copy()

    def restart(self, slots: BoolArray) -> Array:
        """Begins the next episode in the slots of the mask [B]. Returns obs [B, ...]."""
        self._begin(slots, self._log.numbers[slots] + 1)
        return self._obs.copy()

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
        next_obs = obs_now = self._obs.copy()
        if last.any():
            self._end_picture = self._picture() if self._envs[0].render_mode == _PICTURES else None
            obs_now = self.restart(last)
        return TimeStep(next_obs, reward, discount, last, obs_now, {})

    def _play(self, slot: int, action: int) -> tuple[float, bool, bool]:
        """The slot's next observation goes into its place. Returns reward, terminated and truncated."""
        obs, reward, terminated, truncated, _ = self._envs[slot].step(action + self._first_action)
        self._obs[slot] = self._index(obs) if self._num_indices else obs
        self._shown.add(slot, float(reward), 2 * bool(terminated) + bool(truncated), self._obs[slot])
        return float(reward), bool(terminated), bool(truncated)

    @property
    def steps_per_second(self) -> float:
        """What the environment says of itself; 30 where it says nothing."""
        return float(self._envs[0].metadata.get("render_fps") or _STEPS_PER_SECOND)

    def stream_numbers(self) -> Int64Array:
        """[B] the number of each slot's running episode."""
        return self._log.numbers.copy()

    def begin_streams(self, seeds: Int64Array) -> Array:
        """Starts the episodes with these seeds [B], in fresh instances that draw pictures. Returns obs [B, ...].

        Raises:
            UserError: if the environment draws none.
        """
        if _PICTURES not in (self._envs[0].metadata.get("render_modes") or ()):
            raise UserError(f"env.id={self.spec.name} draws no pictures: it has no render mode {_PICTURES}")
        self.close()
        self._make = self._make_shown
        self._envs = [self._make() for _ in self._envs]
        self._log.begin(np.ones(self.spec.num_envs, bool), seeds, np.zeros(self.spec.num_envs, np.int64))
        for slot, seed in enumerate(seeds.tolist()):
            self._start_episode(slot, seed)
        return self._obs.copy()

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
                f"pictures of env.id={self.spec.name} need a package that is not installed: {_advice(error)}"
            ) from None
        if not isinstance(picture, np.ndarray) or picture.ndim != 3 or picture.shape[2] != 3:
            raise UserError(f"env.id={self.spec.name} draws no pictures: render() returns a {type(picture).__name__}")
        return picture.astype(np.uint8)

    def close(self) -> None:
        """Closes every instance."""
        for env in self._envs:
            env.close()

    def _begin(self, slots: BoolArray, numbers: Int64Array) -> None:
        """Stream `numbers[i]` begins in the i-th slot of the mask."""
        (chosen,) = np.nonzero(slots)
        seeds = stream_seeds(self._seed, chosen, numbers)
        self._log.begin(slots, seeds, numbers)
        self._shown.begin(slots)
        for slot, seed in zip(chosen.tolist(), seeds.tolist(), strict=True):
            self._start_episode(slot, seed)

    def _start_episode(self, slot: int, seed: int) -> None:
        if self._fresh_instances:
            self._envs[slot].close()
            self._envs[slot] = self._make()
        obs, _ = self._envs[slot].reset(seed=seed)
        self._obs[slot] = self._index(obs) if self._num_indices else obs

    def _index(self, obs: int) -> int:
        """Counted from 0. Tables would take -1 for their last row, and networks see nothing in what is too large."""
        with suppress(TypeError):  # a fraction, a tuple
            index = operator.index(obs) - self._first_index
            if 0 <= index < self._num_indices:
                return index
        raise UserError(
            f"env.id={self.spec.name} shows {obs}, which is not in its observation_space ({self._num_indices} "
            f"indices from {self._first_index}): correct the environment"
        )

    def state_dict(self) -> State:
        """The seeds and actions of the running episodes.

        Raises:
            UserError: if two fresh instances with one seed and the same actions differ.
        """
        if not self.spec.resumable:
            raise UserError(
                f"env.id={self.spec.name} cannot be resumed exactly: equal seeds and actions do not give equal "
                "episodes; checkpoints need an environment whose randomness all comes from reset(seed=...)"
            )
        return {"seed": self._seed, "streams": self._log.state_dict(), "shown": self._shown.values()}

    def load_state_dict(self, state: State) -> Array:
        """Plays the running episodes again up to where they were. Returns obs [B, ...].

        Raises:
            UserError: if they are not what they were: other code, or randomness that does not come from the seed.
        """
        self._seed = state["seed"]
        self._log.load_state_dict(state["streams"])
        self._shown.begin(np.ones(self.spec.num_envs, bool))
        for slot in range(self.spec.num_envs):
            try:
                self._start_episode(slot, int(self._log.seeds[slot]))
                for action in self._log.history(slot).tolist():
                    self._play(slot, action)
            except Exception as error:  # third parties' code may refuse anything that it once did
                raise changed_environment(
                    f"env.id={self.spec.name}", f"playing it again ends in {type(error).__name__}: {_first_line(error)}"
                ) from error
        self._shown.check(f"env.id={self.spec.name}", state["shown"])
        return self._obs.copy()

    def _replays_exactly(self, *, used: bool) -> bool:
        """Whether a (used or fresh) instance and a fresh one show the same for equal seeds and actions, twice."""
        actions = numpy_generator(0, "gymnasium/probe").integers(self.spec.num_actions, size=_PROBED_STEPS)
        actions += self._first_action
        if used:
            for seed in (3, 4):
                _episode(self._envs[0], seed, actions[::-1])
        for seed in (1, 2):
            env, fresh = self._envs[0] if used else self._make(), self._make()
            same = _episode(env, seed, actions) == _episode(fresh, seed, actions)
            fresh.close()
            if not used:
                env.close()
            if not same:
                return False
        return True


def _episode(env: Env, seed: int, actions: Int64Array) -> list[tuple[Any, ...]]:
    """What an episode shows until it ends or the actions do; bytes, so that equal means equal bits, NaN included."""
    obs, _ = env.reset(seed=seed)
    seen: list[tuple[Any, ...]] = [(np.asarray(obs).tobytes(),)]
    for action in actions:
        obs, reward, terminated, truncated, _ = env.step(int(action))
        seen.append((np.asarray(obs).tobytes(), float(reward), terminated, truncated))
        if terminated or truncated:
            break
    return seen


def _import(packages: list[str], env_id: str) -> None:
    """Lets third parties register their environments."""
    if env_id.startswith("ALE/"):
        gymnasium.register_envs(import_module("ale_py"))
    for package in packages:
        try:
            import_module(package)
        except ImportError as error:
            raise UserError(
                f"env.imports: cannot import {package} ({error}); install it, or correct its name"
            ) from None


def _model(env: Env, env_id: str) -> TabularModel | None:
    """The model that it carries.

    Raises:
        UserError: if that is none, as with FrozenLake's `success_rate: 2`, which Gymnasium takes.
    """
    model = model_of(env)
    if model is not None and ((model.probability < 0) | (model.probability > 1)).any():
        wrong = max(model.probability.tolist(), key=lambda each: abs(each - 0.5))
        raise UserError(f"env.options do not fit env.id={env_id}: a transition would have the probability {wrong:g}")
    return model


def _make(env_id: str, max_episode_steps: int | None, options: dict[str, Option]) -> Env:
    """`gymnasium.make` whose errors are one readable line."""
    try:
        # The checker only warns, and would do so in every slot.
        return gymnasium.make(env_id, max_episode_steps=max_episode_steps, disable_env_checker=True, **options)
    except gymnasium.error.DeprecatedEnv as error:
        raise UserError(f"env.id={env_id} is outdated: {_first_line(error)}") from None
    except gymnasium.error.DependencyNotInstalled as error:
        raise UserError(f"env.id={env_id} needs a package that is not installed: {_advice(error)}") from None
    except gymnasium.error.Error as error:  # also malformed ids
        if env_id in gymnasium.registry:
            raise UserError(f"env.id={env_id} cannot be made: {_first_line(error)}") from None
        close = ", ".join(nearest(env_id, gymnasium.registry))
        raise UserError(
            f"unknown env.id={env_id}; nearest: {close} (third parties' need env.imports=[package])"
        ) from None
    except ImportError as error:
        raise UserError(f"env.id={env_id} needs a package that is not installed: {_first_line(error)}") from None
    except (TypeError, ValueError, LookupError, AssertionError) as error:
        if not options:
            raise  # the environment's own fault
        raise UserError(f"env.options do not fit env.id={env_id}: {_first_line(error)}") from None


def _advice(error: Exception) -> str:
    extra = re.search(r"gymnasium\[([\w-]+)\]", str(error))
    return f'pip install "gymnasium[{extra[1]}]"' if extra else _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _supported_action(space: spaces.Space[Any], env_id: str) -> spaces.Discrete:
    if not isinstance(space, spaces.Discrete):
        raise UserError(f"env.id={env_id} has actions {space}; only Discrete actions are supported")
    return space


def _observation(space: spaces.Space[Any], env_id: str) -> tuple[spaces.Box | spaces.Discrete, int]:
    """The space as agents see it, and what to subtract from observations to get there."""
    if isinstance(space, spaces.Discrete):
        return _counted_from_0(space)
    if not isinstance(space, spaces.Box):
        raise UserError(f"env.id={env_id} has observations {space}; only Box and Discrete ones are supported")
    if space.dtype == np.uint8:
        return space, 0
    return spaces.Box(space.low.astype(np.float32), space.high.astype(np.float32), dtype=np.float32), 0


def _counted_from_0(space: spaces.Discrete) -> tuple[spaces.Discrete, int]:
    return spaces.Discrete(int(space.n)), int(space.start)
