"""The contract of environments: inherit from `VecEnvContract`, define how to make one, run pytest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from inspect import signature

import numpy as np
from gymnasium import spaces

from rlrun.loop.meter import EpisodeMeter
from rlrun.protocols import VecEnv, reset
from rlrun.testing.agent import same
from rlrun.types import Array, BoolArray, EnvSpec, Int64Array, ObsArray, State, TimeStep, map_obs, obs_at

Histories = list[TimeStep]  # T steps of B slots


class VecEnvContract(ABC):
    """Tests of an environment through its public methods, with random actions.

    Attributes:
        num_steps: how many steps to play; enough for some episodes to end, if they end at all.
        stochastic_start: episodes begin differently, depending on the seed; False: they all begin alike.
        true_successor_shows: an episode's last observation differs from the next episode's first, at least sometimes.

    A test's docstring says what to do where it fails; `rlrun check` prints it.
    """

    num_steps = 300
    stochastic_start = True
    true_successor_shows = True

    @abstractmethod
    def make(self, num_envs: int) -> VecEnv:
        """A new environment of `num_envs` slots, always configured alike."""

    def make_limited(self, num_envs: int, max_episode_steps: int) -> VecEnv | None:
        """The same with another time limit, agent steps; None if it cannot be set."""
        del num_envs, max_episode_steps
        return None

    def _made(self, num_envs: int) -> VecEnv:
        return permitted(self.make(num_envs))

    def _made_limited(self, num_envs: int, max_episode_steps: int) -> VecEnv | None:
        env = self.make_limited(num_envs, max_episode_steps)
        return None if env is None else permitted(env)

    def test_arrays_have_the_shapes_and_dtypes_of_the_spec(self) -> None:
        """Compare what reset, restart and step return with the `spec` that the environment declares."""
        env = self._made(3)
        assert env.spec.num_envs == 3, "spec.num_envs must be the number of slots that was requested"
        _check_obs(env.reset(0), env.spec, "reset")
        _check_obs(env.restart(np.array([True, False, True])), env.spec, "restart")
        for step in _play(env, random_actions(env.spec, self.num_steps)):
            _check_obs(step.obs, env.spec, "step (obs)")
            _check_obs(step.next_obs, env.spec, "step (next_obs)")
            _check_array(step.reward, (3,), np.float32, "reward")
            _check_array(step.discount, (3,), np.float32, "discount")
            _check_array(step.last, (3,), np.bool_, "last")
            assert step.extras.keys() == env.spec.extras.keys(), "extras must be those that spec.extras declares"
            for name, space in env.spec.extras.items():
                _check_array(step.extras[name], (3, *space.shape), space.dtype, f"extras[{name!r}]")
        env.close()

    def test_what_is_shown_is_finite_and_discounts_are_those_of_the_game(self) -> None:
        """Set discount to 0 where the episode terminates and to 1 elsewhere; gamma is a key of the algorithm.

        In a two-player game it is -1 where the other player moves next: what is good for one is bad for the other.
        """
        env = self._made(3)
        everywhere = np.ones(3, bool)
        meter = EpisodeMeter(env.spec.name, 3)
        meter.begun(env.reset(0), everywhere)
        allowed = (0.0, 1.0) if env.spec.num_players == 1 else (-1.0, 0.0, 1.0)
        for step in _play(env, random_actions(env.spec, self.num_steps)):
            meter.record(step, everywhere)  # refuses values that are not finite
            assert np.isin(step.discount, allowed).all(), (
                f"a discount must be one of {allowed}: gamma belongs to the agent"
            )
        env.close()

    def test_a_time_limit_ends_an_episode_and_not_the_future(self) -> None:
        """Set last to True at the time limit and leave discount at 1, unless the episode also terminates there."""
        reached = 0
        for limit in (1, 3, 10):
            env, longer = self._made_limited(3, limit), self._made_limited(3, limit + 5)
            if env is None or longer is None:
                return
            for seed in range(5):
                env.reset(seed)
                longer.reset(seed)
                running = np.ones(3, bool)  # slots that are in their first episode in both
                for time, action in enumerate(random_actions(env.spec, limit, seed), 1):
                    step, expected = env.step(action), longer.step(action)
                    at_limit = running & (time == limit)
                    reached += int((at_limit & ~expected.last).sum())
                    ends = expected.last | at_limit
                    message = f"with a time limit of {limit} steps, the episode must end"
                    assert (step.last == ends)[running].all(), (
                        f"{message} after step {limit}, or as early as without it"
                    )
                    wrong = running & (step.discount != expected.discount)
                    assert not wrong.any(), (
                        f"at the time limit (step {limit}) discount is {step.discount[wrong][0]:g}, and without the "
                        f"limit {expected.discount[wrong][0]:g}: a limit must not change what the future is worth"
                    )
                    running &= ~ends
            env.close()
            longer.close()
        assert reached > 0, "no time limit was reached, not even a limit of one step"

    def test_only_the_end_of_an_episode_separates_obs_from_next_obs(self) -> None:
        """Return the observation before the reset as next_obs and the one after it as obs, in the same step."""
        env = self._made(3)
        env.reset(0)
        ends = differing = 0
        for step in _play(env, random_actions(env.spec, self.num_steps)):
            assert _equal(obs_at(step.obs, ~step.last), obs_at(step.next_obs, ~step.last)), (
                "within an episode, obs must equal next_obs: the next action follows what the step led to"
            )
            ends += int(step.last.sum())
            for slot in np.flatnonzero(step.last):
                differing += not _equal(obs_at(step.obs, slot), obs_at(step.next_obs, slot))
        if env.spec.episodic:
            assert ends > 0, "no episode ended: raise num_steps, or make environments with shorter episodes"
        if ends and self.true_successor_shows:
            assert differing > 0, (
                "where an episode ends, next_obs must be its true last observation, not the next episode's first"
            )
        env.close()

    def test_equal_seeds_and_actions_show_equal_things(self) -> None:
        """Draw everything from rlrun.rng.stream_seeds(seed, slot, episode), and nothing from global generators."""
        env, other = self._made(3), self._made(3)
        actions = random_actions(env.spec, self.num_steps)
        assert _equal(env.reset(5), other.reset(5)), "equal seeds must begin alike"
        _check_same(_play(env, actions), _play(other, actions), "equal seeds and actions must give equal results")
        env.close()
        other.close()

    def test_a_reset_forgets_what_was_played_before(self) -> None:
        """Set every attribute that steps change in reset, including episode numbers and caches."""
        env = self._made(3)
        actions = random_actions(env.spec, self.num_steps)
        first = env.reset(5)
        history = _play(env, actions)
        assert _equal(first, env.reset(5)), "reset(seed) must not depend on earlier episodes"
        _check_same(history, _play(env, actions), "after reset(seed), nothing may depend on earlier episodes")
        env.close()

    def test_different_seeds_slots_and_episodes_begin_differently(self) -> None:
        """Begin each episode from rlrun.rng.stream_seeds(seed, slot, episode); all three must matter."""
        if not self.stochastic_start:
            return
        env = self._made(3)
        first = env.reset(5)
        seeds, slots, episodes = False, False, False
        for seed in range(6, 26):  # with few initial states two episodes may begin alike
            second = env.reset(seed)
            again = env.restart(np.ones(3, bool))
            seeds |= not _equal(first, second)
            slots |= any(not _equal(obs_at(second, 0), obs_at(second, slot)) for slot in (1, 2))
            episodes |= not _equal(second, again)
            if seeds and slots and episodes:
                break
        env.close()
        assert seeds, "reset must use its seed"
        assert slots, "slots must have streams of their own"
        assert episodes, "the next episode must not begin like the previous one"

    def test_a_slot_depends_neither_on_the_other_slots_nor_on_their_number(self) -> None:
        """Give every slot a random stream of its own, from rlrun.rng.stream_seeds(seed, slot, episode)."""
        env, other, alone = self._made(3), self._made(3), self._made(1)
        actions = random_actions(env.spec, self.num_steps)
        elsewhere = random_actions(env.spec, self.num_steps, seed=1)
        elsewhere[:, 1] = actions[:, 1]
        for each in (env, other, alone):
            each.reset(5)
        history = _play(env, actions)
        message = "what slot 1 shows must not depend on the actions of other slots"
        _check_same(_of(history, 1), _of(_play(other, elsewhere), 1), message)
        message = "what slot 0 shows must not depend on how many slots there are"
        _check_same(_of(history, 0), _play(alone, actions[:, :1]), message)
        for each in (env, other, alone):
            each.close()

    def test_slots_of_a_larger_world_show_what_it_shows(self) -> None:
        """Add `first_slot` of reset to the slots that stream_seeds is given, and keep it in state_dict."""
        alone = self.make(1)
        alone.close()
        if "first_slot" not in signature(alone.reset).parameters:
            return  # it supports one process only
        large, small, other = self._made(5), self._made(2), self._made(2)
        middle = slice(2, 4)
        actions = random_actions(large.spec, self.num_steps)
        first, mine = large.reset(5), reset(small, 5, first_slot=2)
        message = "slots k to k + n of a larger world must show what reset(seed, first_slot=k) shows in n slots"
        assert _equal(obs_at(first, middle), mine), message
        half = self.num_steps // 2
        history = [_of_slots(step, middle) for step in _play(large, actions)]
        _check_same(history[:half], _play(small, actions[:half, middle]), message)
        if large.spec.resumable:
            other.load_state_dict(small.state_dict())
            _check_same(history[half:], _play(other, actions[half:, middle]), f"{message}, also after a resume")
        for each in (large, small, other):
            each.close()

    def test_restart_touches_only_the_slots_it_is_asked_for(self) -> None:
        """Use the mask for everything that restart sets, and return the current observations of the other slots."""
        env, other = self._made(3), self._made(3)
        actions = random_actions(env.spec, self.num_steps)
        env.reset(5)
        other.reset(5)
        before = _play(env, actions[:20])[-1].obs
        _play(other, actions[:20])
        slots = np.array([False, True, False])
        after = env.restart(slots)
        assert _equal(obs_at(after, ~slots), obs_at(before, ~slots)), (
            "restart must return the current observations of the other slots"
        )
        history, undisturbed = _play(env, actions[20:]), _play(other, actions[20:])
        for slot in (0, 2):
            message = "restart must not change what the other slots show"
            _check_same(_of(history, slot), _of(undisturbed, slot), message)
        env.close()
        other.close()

    def test_restarting_nothing_changes_nothing(self) -> None:
        """Count, draw and reset only where the mask is True."""
        env, other = self._made(2), self._made(2)
        actions = random_actions(env.spec, self.num_steps)
        first = env.reset(5)
        other.reset(5)
        assert _equal(env.restart(np.zeros(2, bool)), first), "restart of no slot must return the current observations"
        _check_same(_play(env, actions), _play(other, actions), "restart of no slot must change nothing")
        env.close()
        other.close()

    def test_a_loaded_state_continues_as_if_never_interrupted(self) -> None:
        """Put everything that steps change into state_dict: positions, times, episode numbers, the seed."""
        env = self._made(2)
        for played in (0, 1, 23, self.num_steps):
            actions = random_actions(env.spec, played + 52)
            env.reset(5)
            _play(env, actions[:played])
            env.restart(np.array([False, True]))
            before = _play(env, actions[played : played + 2])[-1].obs
            state = deepcopy(env.state_dict())
            expected = _play(env, actions[played + 2 :])
            fresh, used = self._made(2), self._made(2)
            used.reset(9)
            _play(used, random_actions(env.spec, 15, seed=2))
            for other, kind in ((fresh, "new"), (used, "used")):
                shown = other.load_state_dict(state)
                _check_obs(shown, env.spec, "load_state_dict")
                assert _equal(shown, before), (
                    "load_state_dict must return the observations at which the state was taken"
                )
                assert same(other.state_dict(), state), "a loaded environment must save what it was loaded from"
                message = f"a {kind} environment with a loaded state must continue as the saved one did"
                _check_same(_play(other, actions[played + 2 :]), expected, message)
                other.close()
        env.close()

    def test_a_saved_state_does_not_change_when_the_environment_goes_on(self) -> None:
        """Copy arrays in state_dict and in load_state_dict."""
        env = self._made(2)
        env.reset(5)
        actions = random_actions(env.spec, 60)
        _play(env, actions[:20])
        state = env.state_dict()
        kept = deepcopy(state)
        _play(env, actions[20:])
        env.restart(np.ones(2, bool))
        assert same(state, kept), "state_dict must return copies"
        env.load_state_dict(state)
        _play(env, actions[20:])
        assert same(state, kept), "load_state_dict must make copies"
        env.close()

    def test_what_is_handed_in_is_not_changed_and_what_is_handed_out_is_not_overwritten(self) -> None:
        """Return new arrays from every call, and copy arguments before changing them."""
        env = self._made(2)
        observations = [env.reset(5)]
        kept = [map_obs(np.copy, observations[0])]
        actions = random_actions(env.spec, self.num_steps)
        actions_before = actions.copy()
        history = [env.step(action) for action in actions]
        history_before = [_of_slots(step, slice(None)) for step in history]
        slots = np.array([False, True])
        observations.append(env.restart(slots))
        kept.append(map_obs(np.copy, observations[1]))
        _play(env, actions[:20])
        env.reset(6)
        _play(env, actions[:20])
        assert _equal(actions, actions_before), "step must not write into the actions it is given"
        assert slots.tolist() == [False, True], "restart must not write into the mask it is given"
        assert all(map(_equal, observations, kept)), "an observation that was returned changed later"
        _check_same(history_before, history, "a time step that was returned changed later")
        env.close()

    def test_writing_into_what_was_handed_out_changes_nothing(self) -> None:
        """Return copies of the arrays that the environment continues to use."""
        env, other = self._made(2), self._made(2)
        actions = random_actions(env.spec, self.num_steps)
        _scribble(env.reset(5))
        other.reset(5)
        for action in actions:
            step, expected = env.step(action), other.step(action)
            message = "writing into returned arrays must not change later results"
            _check_same([step], [expected], message)
            for array in (*step[:5], step.extras):
                _scribble(array)
            _scribble(env.restart(np.zeros(2, bool)))
        env.close()
        other.close()


def _scribble(obs: ObsArray) -> None:
    map_obs(_overwrite, obs)


def _overwrite(array: Array) -> None:
    if array.flags.writeable:
        array[...] = 1


class Permitted:
    """An environment with masks, playable by any action: action i means number i mod k of the k allowed actions.

    Args:
        env: with an action mask in its observations.
    """

    def __init__(self, env: VecEnv) -> None:
        self._env = env
        self.spec = env.spec
        self._mask: BoolArray = np.zeros((env.spec.num_envs, env.spec.num_actions), bool)  # of the current observations

    def _shown(self, obs: ObsArray) -> ObsArray:
        mask: BoolArray = obs["action_mask"]
        assert mask.any(axis=1).all(), "the mask of an observation to act on must allow some action"
        self._mask = mask.copy()
        return obs

    def reset(self, seed: int, first_slot: int = 0) -> ObsArray:
        """See `VecEnv.reset`."""
        return self._shown(reset(self._env, seed, first_slot))

    def restart(self, slots: BoolArray) -> ObsArray:
        """See `VecEnv.restart`."""
        return self._shown(self._env.restart(slots))

    def step(self, action: Int64Array) -> TimeStep:
        """See `VecEnv.step`."""
        rank = action % self._mask.sum(axis=1)  # among those that are allowed
        place = (self._mask.cumsum(axis=1) > rank[:, None]).argmax(axis=1)
        step = self._env.step(place)
        over = ~step.next_obs["action_mask"].any(axis=1)
        assert (step.discount[over] == 0).all(), "an observation that allows no action must have discount 0"
        self._shown(step.obs)
        return step

    def close(self) -> None:
        """See `VecEnv.close`."""
        self._env.close()

    def state_dict(self) -> State:
        """See `VecEnv.state_dict`."""
        return self._env.state_dict()

    def load_state_dict(self, state: State) -> ObsArray:
        """See `VecEnv.load_state_dict`."""
        return self._shown(self._env.load_state_dict(state))


def permitted(env: VecEnv) -> VecEnv:
    """The environment, playable by actions that ignore its mask."""
    return Permitted(env) if env.spec.shows_mask and not isinstance(env, Permitted) else env


def random_actions(spec: EnvSpec, num_steps: int, seed: int = 0) -> Int64Array:
    """[T, B] random; a slot's column does not depend on the number of slots."""
    columns = [np.random.default_rng((seed, slot)).integers(spec.num_actions, size=2**10) for slot in range(9)]
    repeated = np.stack([np.resize(column, num_steps) for column in columns[: spec.num_envs]], axis=1)
    return np.ascontiguousarray(repeated, dtype=np.int64)


def _play(env: VecEnv, actions: Int64Array) -> Histories:
    return [_of_slots(env.step(action), slice(None)) for action in actions]


def _of(history: Histories, slot: int) -> Histories:
    """The history of one slot."""
    return [_of_slots(step, slice(slot, slot + 1)) for step in history]


def _of_slots(step: TimeStep, slots: slice) -> TimeStep:
    """A copy."""
    return TimeStep(
        next_obs=map_obs(lambda part: part[slots].copy(), step.next_obs),
        reward=step.reward[slots].copy(),
        discount=step.discount[slots].copy(),
        last=step.last[slots].copy(),
        obs=map_obs(lambda part: part[slots].copy(), step.obs),
        extras={name: extra[slots].copy() for name, extra in step.extras.items()},
    )


def _equal(left: ObsArray, right: ObsArray) -> bool:
    """Equal bit for bit, NaN included."""
    if isinstance(left, dict) or isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[name], right[name]) for name in left)
    return bool(left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes())


def _check_same(left: Histories, right: Histories, message: str) -> None:
    assert len(left) == len(right)
    for time, (mine, other) in enumerate(zip(left, right, strict=True)):
        for name in TimeStep._fields[:5]:
            assert _equal(getattr(mine, name), getattr(other, name)), f"{message}: {name} differs at step {time}"
        for name, extra in mine.extras.items():
            assert _equal(extra, other.extras[name]), f"{message}: extras[{name!r}] differs at step {time}"


def _check_array(array: Array, shape: tuple[int, ...], dtype: object, name: str) -> None:
    assert isinstance(array, np.ndarray), f"{name} must be a numpy array, not {type(array).__name__}"
    assert array.shape == shape, f"{name} must have shape {shape}, not {array.shape}"
    assert array.dtype == dtype, f"{name} must be {dtype}, not {array.dtype}"


def _check_obs(obs: ObsArray, spec: EnvSpec, source: str) -> None:
    what = f"the observation of {source}"
    if isinstance(spec.observation, Mapping):
        names = ", ".join(spec.observation)
        assert isinstance(obs, dict), f"{what} must be a dict of {names}"
        assert obs.keys() == spec.observation.keys(), f"{what} must have the parts {names}, not {', '.join(obs)}"
    for name, space in spec.parts_of_observation.items():
        part = obs[name] if isinstance(obs, dict) else obs
        place = f"{what}[{name!r}]" if isinstance(obs, dict) else what
        _check_array(part, (spec.num_envs, *(space.shape or ())), space.dtype, place)
        if isinstance(space, spaces.Discrete):
            inside: BoolArray = (part >= 0) & (part < space.n)
            assert inside.all(), f"{place} is outside 0 to {space.n - 1}"
