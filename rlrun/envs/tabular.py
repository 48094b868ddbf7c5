"""Finite MDPs as environments: samples of a `TabularModel` in many slots at once, and the random walk.

Randomness is a hash of (stream seed, step), drawn for all slots together. A stream is one episode, so the state of a
slot is its state in the MDP, its step and its episode number.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from gymnasium import spaces
from pydantic import Field

from rlrun.annotations import Takes
from rlrun.envs.render.names import render_name
from rlrun.rng import hash_uniform, stream_seeds
from rlrun.types import (
    Array,
    BoolArray,
    EnvSpec,
    Float64Array,
    Int64Array,
    ObsArray,
    Space,
    State,
    TabularModel,
    TimeStep,
    mask_space,
)

Observation = Literal["index", "one_hot"]


class TabularEnv:
    """`model` played in B slots.

    Args:
        model: the MDP; it is also `spec.model`. Its state numbers are not what the agent observes.
        name: what the environment is called.
        looks: [num_states] what each state looks like, a number from 0; states with the same number look alike.
            None: every state looks like itself, so observations are the states of the model.
        observation: `index` (an integer below the number of looks), or `one_hot` float32 [looks].
        max_episode_steps: time limit (discount 1, last True); None: no limit.
        num_envs: slots that step together.

    Raises:
        ValueError: if the rows of the model do not fit together.
    """

    steps_per_second = 2.0  # slow enough to read; our choice

    def __init__(
        self,
        *,
        model: TabularModel,
        name: str,
        looks: Int64Array | None,
        observation: Observation,
        max_episode_steps: int | None,
        num_envs: int,
    ) -> None:
        self._model = model
        self._outcomes = _Outcomes(model)
        self._starts = np.flatnonzero(model.initial > 0)
        self._start_cumulative = np.cumsum(model.initial[self._starts])
        self._looks = np.arange(model.num_states) if looks is None else looks.copy()
        self._num_looks = int(self._looks.max()) + 1
        self._one_hot = observation == "one_hot"
        self._max_episode_steps = max_episode_steps
        self._shows_mask = model.forbids_actions
        self.spec = EnvSpec(
            name=name,
            observation=with_mask(
                spaces.Box(0.0, 1.0, (self._num_looks,), np.float32)
                if self._one_hot
                else spaces.Discrete(self._num_looks),
                model,
            ),
            action=spaces.Discrete(model.num_actions),
            num_envs=num_envs,
            episodic=max_episode_steps is not None or always_ends(model),
            model=model,
            rules={"max_episode_steps": max_episode_steps},
        )
        self._seed = self._first_slot = 0
        self._slots = np.arange(num_envs)
        self._episode = np.zeros(num_envs, np.int64)
        self._stream = np.zeros(num_envs, np.int64)  # the running episode's seed
        self._time = np.zeros(num_envs, np.int64)
        self._state = np.zeros(num_envs, np.int64)
        self._end_state = 0  # where slot 0 was when an episode ended

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
        """Draws an outcome of (state, action) in every slot.

        Raises:
            ValueError: if an action is not legal in the state of its slot; no slot has moved then.
        """
        pair = self._pairs(action)
        self._time += 1
        row = self._outcomes.drawn(pair, hash_uniform(self._stream, self._time))
        self._state = self._outcomes.next_state[row]
        reward, discount = self._outcomes.reward[row], self._outcomes.discount[row]
        ends = discount == 0
        limit = self._max_episode_steps
        last = ends if limit is None else ends | (self._time >= limit)
        next_obs = obs = self._observe()
        if last.any():
            self._end_state = int(self._state[0])
            obs = self.restart(last)
        return TimeStep(next_obs, reward, discount, last, obs, {})

    def close(self) -> None:
        """Nothing is open."""

    def state_dict(self) -> State:
        """The state arrays."""
        arrays = {"episode": self._episode, "stream": self._stream, "time": self._time, "state": self._state}
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
        self._state = state["state"].copy()
        return self._observe()

    def stream_numbers(self) -> Int64Array:
        """[B] the number of each slot's running episode."""
        return self._episode.copy()

    def begin_streams(self, seeds: Int64Array) -> ObsArray:
        """Starts the episodes with these seeds [B]."""
        self._begin_from(self._slots, seeds)
        return self._observe()

    def render_rgb(self, *, ended: bool) -> Array:
        """The name of slot 0's state as a picture, uint8 [H, W, 3]; where its last episode `ended`, or now."""
        state = self._end_state if ended else int(self._state[0])
        names = self._model.state_names or tuple(map(str, range(self._model.num_states)))
        return render_name(names, state)

    def _begin(self, chosen: Int64Array) -> None:
        self._begin_from(chosen, stream_seeds(self._seed, self._first_slot + chosen, self._episode[chosen]))

    def _begin_from(self, chosen: Int64Array, seeds: Int64Array) -> None:
        self._stream[chosen] = seeds
        self._time[chosen] = 0
        # A draw is at most 1 - 2^-53, and that times a total of about 1 rounds to less than the total.
        draw = hash_uniform(self._stream[chosen], 0) * self._start_cumulative[-1]
        self._state[chosen] = self._starts[np.searchsorted(self._start_cumulative, draw, side="right")]

    def _observe(self) -> ObsArray:
        shown = self._look()
        return {"obs": shown, "action_mask": self._model.legal[self._state]} if self._shows_mask else shown

    def _look(self) -> Array:
        look: Int64Array = self._looks[self._state]
        if not self._one_hot:
            return look
        one_hot = np.zeros((len(look), self._num_looks), np.float32)
        one_hot[self._slots, look] = 1.0
        return one_hot

    def _pairs(self, action: Int64Array) -> Int64Array:
        model = self._model
        outside = (action < 0) | (action >= model.num_actions)
        if outside.any():
            raise ValueError(f"there is no action {action[outside][0]}: actions are 0 to {model.num_actions - 1}")
        pair: Int64Array = self._outcomes.pair_of[self._state, action]
        if pair.min() < 0:
            slot = int(pair.argmin())
            here, what = int(self._state[slot]), int(action[slot])
            legal = [
                _called(model.action_names, int(each)) for each in np.flatnonzero(self._outcomes.pair_of[here] >= 0)
            ]
            raise ValueError(
                f"action {_called(model.action_names, what)} is not legal in state {_called(model.state_names, here)}"
                f" (slot {slot}); legal there: {', '.join(legal) or 'none'}"
            )
        return pair


def differing_looks(legal: BoolArray, looks: Int64Array) -> tuple[int, int] | None:
    """Two states that look alike but differ in their legal actions; None if there are none.

    Terminal states may look like anything, since no action is taken in them.

    Args:
        legal: [S, A].
        looks: [S].
    """
    (playable,) = np.nonzero(legal.any(axis=1))
    _, first, group = np.unique(looks[playable], return_index=True, return_inverse=True)
    example = playable[first[group.reshape(-1)]]  # the first state of the same look
    (differing,) = np.nonzero((legal[playable] != legal[example]).any(axis=1))
    return (int(example[differing[0]]), int(playable[differing[0]])) if len(differing) else None


def with_mask(space: Space, model: TabularModel) -> Space | dict[str, Space]:
    """Observations of `space`, with an action mask beside them if `model` forbids some actions."""
    if not model.forbids_actions:
        return space
    return {"obs": space, "action_mask": mask_space(model.num_actions)}


def _called(names: tuple[str, ...], number: int) -> str:
    return names[number] if names else str(number)


class _Outcomes:
    """The possible outcomes of a model, sorted by (state, action), ready to be drawn from.

    The pairs (state, action) that have rows are numbered from 0. One ascending array holds pair + cumulative
    probability for every row, so that one search for pair + draw finds the rows of all slots.
    """

    def __init__(self, model: TabularModel) -> None:
        possible = np.flatnonzero(model.probability > 0)
        order = possible[np.lexsort((model.action[possible], model.state[possible]))]
        code = model.state[order] * model.num_actions + model.action[order]
        codes, first, count = np.unique(code, return_index=True, return_counts=True)
        has_rows = np.zeros(model.legal.shape, bool)
        has_rows.reshape(-1)[codes] = True
        if not np.array_equal(has_rows, model.legal):
            state, action = np.argwhere(has_rows != model.legal)[0]
            raise ValueError(f"state {state}, action {action}: legal must say where there are rows")
        self.pair_of = np.full(model.legal.shape, -1, np.int64)
        self.pair_of.reshape(-1)[codes] = np.arange(len(codes))
        self.next_state = model.next_state[order]
        self.reward = model.reward[order].astype(np.float32)
        self.discount = model.discount[order].astype(np.float32)
        self._last = first + count - 1

        cumulative = model.probability[order]
        for rank in range(1, int(count.max())):  # per pair, so that rounding errors do not add up over the whole array
            here = first[count > rank] + rank
            cumulative[here] += cumulative[here - 1]
        if not np.allclose(cumulative[self._last], 1.0, rtol=0.0, atol=1e-6):
            worst = int(np.abs(cumulative[self._last] - 1.0).argmax())
            state, action = divmod(int(codes[worst]), model.num_actions)
            raise ValueError(f"state {state}, action {action}: probabilities sum to {cumulative[self._last[worst]]}")
        pair = np.repeat(np.arange(len(codes)), count)
        self._cumulative = (pair + np.minimum(cumulative, 1.0)).astype(np.float64)  # never into the next pair

    def drawn(self, pair: Int64Array, draw: Float64Array) -> Int64Array:
        """The row of `pair` [B] that `draw` [B], uniform in [0, 1), picks.

        A pair's probabilities may sum to a little less than 1. And above pair 2^k, pair + draw keeps 52 - k bits of
        the draw and may round up to pair + 1, where the next pair begins. Both belong to the pair's last row.
        """
        row = np.searchsorted(self._cumulative, pair + draw, side="right")
        inside: Int64Array = np.minimum(row, self._last[pair])
        return inside


def random_walk_model(num_states: int, left_reward: float, right_reward: float) -> TabularModel:
    """A walk on states 1 to n, one step to the left or the right with probability 1/2; 0 and n + 1 end it and pay.

    Sutton and Barto (2018), examples 6.2 (n 5, rewards 0 and 1) and 7.1 (n 19, rewards -1 and 1). There is one
    action, so every policy is the walk, and its undiscounted values lie on the line from one end's reward to the
    other's: left + (right - left) * i / (n + 1).

    Args:
        num_states: n, without the two ends. The walk starts in the middle; if n is even, in one of two with 1/2 each.
        left_reward: paid on entering state 0.
        right_reward: paid on entering state n + 1.
    """
    inner = np.arange(1, num_states + 1)
    state = np.repeat(inner, 2)
    next_state = state + np.tile([-1, 1], num_states)
    initial = np.zeros(num_states + 2)
    middles = np.unique([(num_states + 1) // 2, (num_states + 2) // 2])
    initial[middles] = 1.0 / len(middles)
    legal = np.ones((num_states + 2, 1), bool)
    legal[[0, -1]] = False
    return TabularModel(
        num_states=num_states + 2,
        num_actions=1,
        state=state,
        action=np.zeros_like(state),
        next_state=next_state,
        probability=np.full(2 * num_states, 0.5),
        reward=np.where(next_state == 0, left_reward, np.where(next_state == num_states + 1, right_reward, 0.0)),
        discount=np.where((next_state == 0) | (next_state == num_states + 1), 0.0, 1.0),
        initial=initial,
        legal=legal,
        state_names=("left", *map(str, inner), "right"),
        action_names=("step",),
    )


class RandomWalk(TabularEnv):
    """`random_walk_model` in B slots.

    Args:
        num_states: states between the two ends; the walk starts in the middle.
        left_reward: paid for reaching the left end.
        right_reward: paid for reaching the right end.
        observation: `index`, 0 and num_states + 1 being the ends, or `one_hot` float32 [num_states + 2].
        max_episode_steps: time limit (discount 1, last True); None: no limit.
        num_envs: slots that step together.
    """

    def __init__(
        self,
        *,
        num_states: Annotated[int, Field(gt=0), Takes(100)],
        left_reward: float,
        right_reward: float,
        observation: Observation,
        max_episode_steps: Annotated[int, Field(gt=0)] | None,
        num_envs: Annotated[int, Field(gt=0)],
    ) -> None:
        super().__init__(
            model=random_walk_model(num_states, left_reward, right_reward),
            name="random_walk",
            looks=None,
            observation=observation,
            max_episode_steps=max_episode_steps,
            num_envs=num_envs,
        )


def always_ends(model: TabularModel) -> bool:
    """Whether every policy ends with probability 1: no set of states can be stayed in forever.

    Starts from all states and drops those that no action keeps inside, until nothing changes.
    """
    pair = model.state * model.num_actions + model.action
    inside: BoolArray = np.asarray(model.legal.any(axis=1))
    while inside.any():
        leaves = (model.probability > 0) & ((model.discount == 0) | ~inside[model.next_state])
        leaving = np.bincount(pair, leaves, model.legal.size).reshape(model.legal.shape)
        stays = model.legal & (leaving == 0)
        kept = inside & stays.any(axis=1)
        if (kept == inside).all():
            return False
        inside = kept
    return True
