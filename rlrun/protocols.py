"""The contracts. Nothing inherits from them: whatever has these methods, fits. `rlrun.testing` tests them."""

from __future__ import annotations

from typing import Literal, Protocol, Self, cast, runtime_checkable

import torch
from torch import Tensor

from rlrun.types import (
    ActorOutput,
    Array,
    Batch,
    BoolArray,
    Carry,
    Collection,
    EnvSpec,
    Int64Array,
    Metrics,
    Obs,
    ObsArray,
    Rollout,
    State,
    Tables,
    TimeStep,
)

__all__ = ["Agent", "EvaluationPolicy", "Filmable", "Planner", "Replay", "Stateful", "Stochastic", "Tabular", "VecEnv"]

EvaluationPolicy = Literal["sampled", "greedy"]


class Stateful(Protocol):
    """Something whose future depends on a state that a checkpoint must keep."""

    def state_dict(self) -> State:
        """All that steers the future, as tensors, arrays, numbers, strings, and lists and dicts of them."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Continues exactly where `state` was taken."""
        ...


@runtime_checkable
class VecEnv(Protocol):
    """B environment slots that step together.

    Every slot plays streams of episodes. A stream starts from `stream_seeds(seed, slot, stream number)`, and what a
    slot shows is a pure function of (stream seed, actions and restarts since).
    """

    @property
    def spec(self) -> EnvSpec:
        """Spaces, number of slots, and the model where there is one."""
        ...

    def reset(self, seed: int) -> ObsArray:
        """Starts stream 0 of every slot. Returns obs [B, ...]."""
        ...

    def restart(self, slots: BoolArray) -> ObsArray:
        """Abandons the running episode of the slots in the mask [B] and begins a new one. Returns obs [B, ...]."""
        ...

    def step(self, action: Int64Array) -> TimeStep:
        """Plays action [B]; slots whose episode ends begin the next one in the same call."""
        ...

    def close(self) -> None:
        """Frees what the environment holds."""
        ...

    def state_dict(self) -> State:
        """All that steers the future, as tensors, arrays, numbers, strings, and lists and dicts of them."""
        ...

    def load_state_dict(self, state: State) -> ObsArray:
        """Continues exactly where `state` was taken. Returns obs [B, ...] as it is shown there.

        Raises:
            UserError: if what led there cannot be played again as it was.
        """
        ...


@runtime_checkable
class Filmable(VecEnv, Protocol):
    """An environment whose streams can be begun again from their seeds, and looked at: what a film needs."""

    @property
    def steps_per_second(self) -> float:
        """How many agent steps a person would watch in a second."""
        ...

    def stream_numbers(self) -> Int64Array:
        """[B] which of its slot's streams is running: its seed is `stream_seeds(seed, slot, number)`."""
        ...

    def begin_streams(self, seeds: Int64Array) -> ObsArray:
        """Starts the streams with these seeds [B], whichever slots they once ran in, to be looked at.

        Whatever follows them, after a stream has ended, is not specified. Returns obs [B, ...].

        Raises:
            UserError: if it cannot be looked at.
        """
        ...

    def render_rgb(self, *, ended: bool) -> Array:
        """Slot 0 as a picture, uint8 [H, W, 3].

        Args:
            ended: as its episode ended with the last step, instead of the next one's beginning.
        """
        ...


@runtime_checkable
class Agent(Stateful, Protocol):
    """Acts, and learns from rollouts."""

    @property
    def collection(self) -> Collection:
        """What `learn` wants to be handed."""
        ...

    @property
    def finished(self) -> bool:
        """True when learning on would change nothing (a planner that has converged)."""
        ...

    def initial_carry(self, num_envs: int) -> Carry:
        """The memory of `num_envs` slots at the start of an episode; `()` for agents without memory."""
        ...

    def act(self, obs: Obs, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """Chooses action [B] for obs [B, ...]; `explore=False` is how the agent wants to be evaluated.

        All randomness comes from `rng`, and nothing that steers learning may change here: evaluating never changes
        training.
        """
        ...

    def learn(self, rollout: Rollout) -> Metrics:
        """Learns from one rollout. Metrics may stay on the device: nobody reads them before a flush."""
        ...


class Distribution(Protocol):
    """A policy's distributions over actions, one for each entry of a batch [...].

    A draw is what the policy draws and the agent learns from: an index, or the number before it is squashed. `to_env`
    makes of it what the environment is given. Draws are [...] of indices, or [..., D] of vectors.
    """

    def sample(self, rng: torch.Generator) -> Tensor:
        """A draw of each, on the generator's device."""
        ...

    def log_prob(self, draw: Tensor) -> Tensor:
        """The log of the probability (density, where draws are vectors) of each draw: [...]."""
        ...

    def entropy(self) -> Tensor:
        """In nats: [...]."""
        ...

    def mode(self) -> Tensor:
        """The likeliest draw of each."""
        ...

    def kl(self, other: Self) -> Tensor:
        """KL(self || other) in nats: [...]; infinite where `other` excludes what `self` may draw."""
        ...

    def to_env(self, draw: Tensor) -> Tensor:
        """The actions that draws stand for."""
        ...


@runtime_checkable
class Stochastic(Protocol):
    """An agent whose policy draws its actions, and that could take the likeliest instead."""

    @property
    def evaluation_policy(self) -> EvaluationPolicy:
        """Which of both `act(explore=False)` does; where it draws, the evaluator shows the other beside it."""
        ...

    def policy(self, obs: Obs, carry: Carry) -> tuple[Distribution, Carry]:
        """What actions for obs [B, ...] are drawn from, and the memory after it; it changes nothing."""
        ...


@runtime_checkable
class Tabular(Protocol):
    """An agent that can show its tables: V, Q and the policy over numbered states."""

    def tables(self) -> Tables:
        """A copy of what it knows now."""
        ...


@runtime_checkable
class Planner(Agent, Protocol):
    """An agent that sweeps over a model until its values settle; `finished` says that they have."""

    @property
    def residual(self) -> float:
        """The largest change of a value in the last sweep, reward units."""
        ...


@runtime_checkable
class Replay(Stateful, Protocol):
    """Keeps the newest transitions and gives them back at random."""

    def __len__(self) -> int:
        """How many transitions can be drawn now."""
        ...

    def extend(self, rollout: Rollout) -> None:
        """Adds T steps of B slots, forgetting the oldest when full."""
        ...

    def sample(self, batch_size: int, rng: torch.Generator) -> Batch:
        """Draws `batch_size` transitions, with replacement. Raises ValueError if there is none to draw."""
        ...


class PartOfAWorld(VecEnv, Protocol):
    """An environment whose slots may be some of those of a larger world, which many processes play together."""

    def reset(self, seed: int, first_slot: int = 0) -> ObsArray:
        """Starts stream 0 of every slot. Returns obs [B, ...].

        Args:
            seed: of the world's streams.
            first_slot: the number of slot 0 there: slots 0 to B - 1 show what the world's slots first_slot to
                first_slot + B - 1 show. It is part of the state.
        """
        ...


def reset(env: VecEnv, seed: int, first_slot: int) -> ObsArray:
    """Resets an environment, which must be a `PartOfAWorld` where `first_slot` is not 0."""
    return cast(PartOfAWorld, env).reset(seed, first_slot) if first_slot else env.reset(seed)
