"""The data that flows between environments, collector and agents.

`discount` and `last` are two different facts. `discount` says what the future after a step is worth (0 on termination
or, where a protocol says so, on a lost life; 1 otherwise; no gamma in it). `last` says that the sequence ends here.
A time limit is `discount 1, last True`. The idea is dm_env's (google-deepmind/dm_env, docs/index.md).

Numpy below the collector (`TimeStep`), torch above it (`Rollout`, `Batch`). T is time, B the environment slots.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "ActorOutput",
    "Array",
    "Batch",
    "BoolArray",
    "Carry",
    "Collection",
    "EnvSpec",
    "Episodes",
    "Float32Array",
    "Float64Array",
    "GridLayout",
    "Int64Array",
    "Metrics",
    "NoSteps",
    "Obs",
    "ObsArray",
    "Progress",
    "Rollout",
    "Space",
    "State",
    "Steps",
    "Tables",
    "TabularModel",
    "TimeStep",
    "WholeEpisodes",
    "action_mask",
    "map_obs",
    "mask_space",
    "obs_at",
    "seen",
]

Array: TypeAlias = NDArray[Any]
BoolArray: TypeAlias = NDArray[np.bool_]
Float32Array: TypeAlias = NDArray[np.float32]
Float64Array: TypeAlias = NDArray[np.float64]
Int64Array: TypeAlias = NDArray[np.int64]
Metrics: TypeAlias = Mapping[str, Tensor | float]
State: TypeAlias = dict[str, Any]  # tensors, arrays, numbers, strings, and lists and dicts of them
Carry: TypeAlias = Any  # a tree of tensors [B, ...]; `()` for agents without memory
Space: TypeAlias = spaces.Box | spaces.Discrete
# What is observed: an array (above the collector a tensor) [..., ...], or a dict of them by the keys of
# `EnvSpec.observation`. `seen` and `action_mask` take it apart.
Obs: TypeAlias = Any
ObsArray: TypeAlias = Any


class TimeStep(NamedTuple):
    """The result of `VecEnv.step` for its B slots."""

    next_obs: ObsArray  # [B, ...] the true successor, also on the last step of an episode
    reward: Float32Array  # [B] raw; clipping belongs to the agent
    discount: Float32Array  # [B] 0 where the future has no value, 1 elsewhere; gamma-free
    last: BoolArray  # [B] the episode ends with this step
    obs: ObsArray  # [B, ...] what to act on now: a new episode's first observation where `last`
    extras: dict[str, Array]  # [B, ...] more about the step, as declared in `EnvSpec.extras` (lives, an outcome ...)


@dataclass(frozen=True, slots=True, eq=False)
class GridLayout:
    """The positions of a grid's states, for pictures: state = row * W + column."""

    wall: BoolArray  # [H, W] not a state
    terminal: BoolArray  # [H, W] the episode is over here
    marks: tuple[str, ...] = ()  # H rows of W characters, labels of the cells; empty: none
    moves: tuple[tuple[int, int], ...] = ((-1, 0), (0, 1), (1, 0), (0, -1))  # (row, column) step of each action

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.wall.shape
        return height, width


@dataclass(frozen=True, slots=True, eq=False)
class TabularModel:
    """A finite MDP, as planners see it: one row for each (state, action, outcome). Sparse, so its size is linear.

    Rewards belong to outcomes, so both conventions (paid on leaving, paid on entering) fit.
    """

    num_states: int
    num_actions: int
    state: Int64Array  # [N]
    action: Int64Array  # [N]
    next_state: Int64Array  # [N]
    probability: Float64Array  # [N] sums to 1 over the outcomes of each legal (state, action)
    reward: Float64Array  # [N]
    discount: Float64Array  # [N] 0 where the outcome terminates, 1 elsewhere; gamma-free
    initial: Float64Array  # [num_states] the distribution of first states
    legal: BoolArray  # [num_states, num_actions]; terminal states have no legal action
    state_names: tuple[str, ...] = ()  # [num_states], or empty: states are numbers
    action_names: tuple[str, ...] = ()  # [num_actions], or empty: actions are numbers
    layout: GridLayout | None = None  # where states are cells

    @property
    def forbids_actions(self) -> bool:
        """Whether some action is illegal in some non-terminal state."""
        return not bool((self.legal | ~self.legal.any(axis=1, keepdims=True)).all())


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """The tables of an agent, for pictures, files and other runs."""

    values: Float64Array  # [S]
    q: Float64Array  # [S, A]; -inf where an action is illegal, NaN where unknown
    policy: Float64Array  # [S, A] the policy in evaluation; 0 in terminal states
    visits: Int64Array | None = None  # [S, A] how often each was learned from; [S, 1] where states alone are counted
    sample_averages: Float64Array | None = None  # [S] mean return from each state; NaN: no complete one
    best: BoolArray | None = None  # [S, A] all best actions, of which `policy` may play only some
    gamma: float | None = None  # discount factor per step of the values; None: unknown

    @property
    def arrows(self) -> Float64Array:
        """[S, A] the policy in pictures: equal shares of all best actions if they are known, else `policy`."""
        if self.best is None:
            return self.policy
        shares: Float64Array = self.best / np.maximum(self.best.sum(axis=1, keepdims=True), 1.0)
        return shares


def bytes_of(space: Space) -> int:
    """The shape of one element of a space."""
    return math.prod(space.shape or ()) * int(np.dtype(space.dtype).itemsize)


def space_in_words(space: Space) -> str:
    """A space on one line; the `repr` of a Box takes many for its bounds."""
    if isinstance(space, spaces.Discrete):
        return f"Discrete({space.n})" if space.start == 0 else f"Discrete({space.n}, start={space.start})"
    return f"Box of shape {list(space.shape)} ({space.dtype})"


class Part(NamedTuple):
    """One of the numbers that an index is composed of."""

    size: int  # how many values it has
    features: int  # the number of inputs of a network: one for each value, or 1 for a bit


@dataclass(frozen=True, slots=True, eq=False)
class EnvSpec:
    """What an agent knows of an environment before it acts.

    Raises:
        ValueError: if a dict of observations has no `obs`, or an `action_mask` that is not bool [num_actions].
    """

    name: str
    observation: Space | Mapping[str, Space]  # or a dict of spaces; `obs` is for networks and tables; see `PARTS`
    action: spaces.Discrete
    num_envs: int
    episodic: bool = True  # False: episodes may never end, so agents that need whole episodes are refused
    resumable: bool = True  # False: episodes cannot be replayed, so a run cannot be saved midway
    frame_stack: int = 1  # > 1: obs is [frame_stack, H, W] uint8, oldest plane first, zeros before an episode's first
    extras: Mapping[str, spaces.Box] = field(default_factory=dict)
    model: TabularModel | None = None
    parts: tuple[Part, ...] = ()  # of an index composed of several numbers, the first one most significant; empty: one
    channels_known: bool = True  # False: obs has three axes that may not be [C, H, W]
    remarks: tuple[str, ...] = ()  # notes for the user on how observations are converted, a line each
    # what scores depend on besides the name: limits of an episode, no-ops at its start, sticky actions
    rules: Mapping[str, float | str | None] = field(default_factory=dict)
    num_players: int = 1  # 2: rewards are the mover's, and discount is -1 where the other player moves next

    def __post_init__(self) -> None:
        parts = self.parts_of_observation
        if unknown := [name for name in parts if name not in PARTS]:
            raise ValueError(
                f"{self.name} shows {', '.join(unknown)}; parts of observations are called {', '.join(PARTS)}"
            )
        if "obs" not in parts:
            raise ValueError(f"observations of {self.name} have the parts {', '.join(parts)}, but none called obs")
        mask = parts.get("action_mask")
        if mask is not None and (mask.shape != (self.num_actions,) or mask.dtype != np.bool_):
            raise ValueError(f"the action_mask of {self.name} must be bool [{self.num_actions}], not {mask}")

    @property
    def parts_of_observation(self) -> Mapping[str, Space]:
        """The spaces of observations by name; a single one is called `obs`."""
        return self.observation if isinstance(self.observation, Mapping) else {"obs": self.observation}

    @property
    def obs_space(self) -> Space:
        """The space that networks and tables see."""
        return self.parts_of_observation["obs"]

    @property
    def shows_mask(self) -> bool:
        """Whether observations have an action mask."""
        return "action_mask" in self.parts_of_observation

    @property
    def obs_shape(self) -> tuple[int, ...]:
        """Shape of `obs_space`; `()` for an index."""
        return tuple(self.obs_space.shape or ())

    @property
    def obs_bytes(self) -> int:
        """The size of one observation, all parts together."""
        return sum(map(bytes_of, self.parts_of_observation.values()))

    @property
    def shown(self) -> str:
        """A description of the observations."""
        return space_in_words(self.obs_space)

    @property
    def largest_byte(self) -> int:
        """The divisor that brings bytes to [0, 1]: the space's largest `high`. 1 for other observations."""
        space = self.obs_space
        if space.dtype != np.uint8 or not isinstance(space, spaces.Box):
            return 1
        return max(1, int(space.high.max(initial=1)))

    @property
    def num_actions(self) -> int:
        """The number of discrete actions."""
        return int(self.action.n)

    @property
    def seen_model(self) -> TabularModel | None:
        """The model, if observations are its states; None without one, or where states look alike or are pictures."""
        space = self.obs_space
        if self.model is None or not isinstance(space, spaces.Discrete):
            return None
        return self.model if space.n == self.model.num_states else None


# The names that parts of an observation may have: `obs` for networks and tables; `action_mask` bool [A], the allowed
# actions (all False only where the episode is over); `player` who moves, 0 or 1; `state` for agents that search, never
# given to networks or kept by a replay.
PARTS = ("obs", "action_mask", "player", "state")


def map_obs(function: Callable[..., Any], obs: Any, *others: Any) -> Any:
    """Applies `function` to an observation and the others; if they are dicts, to each part."""
    if isinstance(obs, Mapping):
        return {name: function(part, *(other[name] for other in others)) for name, part in obs.items()}
    return function(obs, *others)


def mask_space(num_actions: int) -> spaces.Box:
    """The space of an `action_mask`: bool [num_actions]."""
    return spaces.Box(0, 1, (num_actions,), np.bool_)  # type: ignore[arg-type] # Gymnasium takes it, its types do not


def obs_at(obs: Obs, index: Any) -> Obs:
    """Observations [index], for example of a time or of some slots."""
    return map_obs(itemgetter(index), obs)


def seen(obs: Obs) -> Tensor:
    """The part of observations that networks and tables see: [..., ...]."""
    part: Tensor = obs["obs"] if isinstance(obs, dict) else obs
    return part


def action_mask(obs: Obs) -> Tensor | None:
    """Which actions are allowed, bool [..., A]; None without a mask: all of them."""
    return obs.get("action_mask") if isinstance(obs, dict) else None


class Episodes(NamedTuple):
    """The N episodes that ended in a rollout, ordered by time and then slot."""

    returns: Float64Array  # [N] sum of raw rewards, undiscounted
    lengths: Int64Array  # [N] agent steps
    slots: Int64Array  # [N]

    @staticmethod
    def none() -> Episodes:
        """No episode ended."""
        return _NO_EPISODES


_NO_EPISODES = Episodes(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """T steps of B slots.

    Observations are kept once, as a sequence with one more entry than there are steps; only where an episode ended does
    the true successor differ from the next entry, and those few are kept separately. `next_obs` combines both.
    """

    obs_sequence: Obs  # [T + 1, B, ...]; step t acted on entry t; entry T is to be acted on next
    final_obs: Obs  # [N, ...] the true successors of the steps with `last`, in row-major order of `last`
    action: Tensor  # [T, B] int64
    reward: Tensor  # [T, B] float32, raw
    discount: Tensor  # [T, B] float32
    last: Tensor  # [T, B] bool
    mask: Tensor  # [T, B] bool: False where a slot has played its episodes and waits for the others
    extras: dict[str, Tensor]  # [T, B, ...] from `act` (log_prob, value ...) and from the environment
    episodes: Episodes
    num_steps: int  # agent steps: those in `mask`
    ends: Int64Array | None = None  # [T] the number of slots where an episode ended; None: see `last`
    carry: Carry = ()  # the agent's memory at t = 0, for the first observation

    @property
    def num_env_steps(self) -> int:
        """T * B interactions with the environment: steps of waiting slots included."""
        return self.last.numel()

    @property
    def obs(self) -> Obs:
        """[T, B, ...] the observation that each step acted on."""
        return map_obs(_but_last, self.obs_sequence)

    @property
    def next_obs(self) -> Obs:
        """[T, B, ...] the true successor of each step, never a new episode's first observation."""
        return map_obs(self._following, self.obs_sequence, self.final_obs)

    def _following(self, sequence: Tensor, finals: Tensor) -> Tensor:
        if finals.shape[0] == 0:
            return sequence[1:]
        following = sequence[1:].clone()
        following[self.last] = finals
        return following


def _but_last(sequence: Tensor) -> Tensor:
    return sequence[:-1]


class Batch(NamedTuple):
    """N transitions from a replay; `reward` and `discount` already span n steps and include gamma."""

    obs: Obs  # [N, ...]
    action: Tensor  # [N] int64
    reward: Tensor  # [N] float32: sum over i < k of gamma^i r_{t+i}, where k <= n stops at an episode's end
    discount: Tensor  # [N] float32: gamma^k times the product of the k discounts
    next_obs: Obs  # [N, ...] the true successor of the k-th step
    weight: Tensor  # [N] float32 importance weights; ones for uniform sampling
    index: Tensor  # type: ignore[assignment]  # [N] int64: its place in the replay; hides tuple.index
    extras: Mapping[str, Tensor] = MappingProxyType({})  # [N, ...] of the first step, if the replay keeps them

    def split(self, size: int) -> Iterator[Batch]:
        """Batches of `size` transitions each, in order; the last may be smaller."""
        for start in range(0, len(self.action), size):
            yield Batch(*(obs_at(field, slice(start, start + size)) for field in self))


class ActorOutput(NamedTuple):
    """The result of `Agent.act` for B slots."""

    action: Tensor  # [B] int64
    carry: Carry
    extras: dict[str, Tensor]  # [B, ...]


@dataclass(frozen=True, slots=True)
class Steps:
    """For an agent that learns from `num_steps` steps of every slot at a time."""

    num_steps: int


@dataclass(frozen=True, slots=True)
class WholeEpisodes:
    """For an agent that learns from `per_slot` whole episodes of every slot at a time.

    A fixed number from *every* slot: the first N to finish would be biased towards short ones.
    """

    per_slot: int


@dataclass(frozen=True, slots=True)
class NoSteps:
    """For an agent that learns without acting: a planner. Its rollouts are empty and count as one sweep."""


Collection: TypeAlias = Steps | WholeEpisodes | NoSteps


class Progress(NamedTuple):
    """What the loop yields after every `learn`."""

    step: int  # agent steps so far, all slots together
    num_env_steps: int  # interactions of this iteration, all slots together; 0 for a planner
    episodes: Episodes
    metrics: Metrics
