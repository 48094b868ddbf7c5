"""The protocols. Nothing inherits from them: any class with these methods fits. `rlrun.testing` tests them."""

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

__all__ = [
    "Agent",
    "Discounting",
    "Distribution",
    "EvaluationPolicy",
    "HasPolicy",
    "NamesActions",
    "PartOfAWorld",
    "Planner",
    "Renderable",
    "Replay",
    "Stateful",
    "Stochastic",
    "Tabular",
    "ValuesActions",
    "VecEnv",
]

EvaluationPolicy = Literal["sampled", "greedy"]


class Stateful(Protocol):
    """Something with a state that a checkpoint must keep."""

    def state_dict(self) -> State:
        """The complete state, as tensors, arrays, numbers, strings, and lists and dicts of them."""
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
        """Abandons the running episodes of the slots in the mask [B] and begins new ones. Returns obs [B, ...]."""
        ...

    def step(self, action: Int64Array) -> TimeStep:
        """Plays action [B]; slots whose episode ends begin the next one in the same call."""
        ...

    def close(self) -> None:
        """Frees the environment's resources."""
        ...

    def state_dict(self) -> State:
        """The complete state, as tensors, arrays, numbers, strings, and lists and dicts of them."""
        ...

    def load_state_dict(self, state: State) -> ObsArray:
        """Continues exactly where `state` was taken. Returns the obs [B, ...] there.

        Raises:
            UserError: if its episodes cannot be replayed exactly.
        """
        ...


@runtime_checkable
class Renderable(VecEnv, Protocol):
    """An environment whose streams can be restarted from their seeds and drawn, as a video needs."""

    @property
    def steps_per_second(self) -> float:
        """The agent steps in a second of a video."""
        ...

    def stream_numbers(self) -> Int64Array:
        """[B] the number of each slot's running stream: its seed is `stream_seeds(seed, slot, number)`."""
        ...

    def begin_streams(self, seeds: Int64Array) -> ObsArray:
        """Starts the streams with these seeds [B], for drawing, whatever slots they ran in. Returns obs [B, ...].

        What follows the end of a stream is not specified.

        Raises:
            UserError: if it cannot be drawn.
        """
        ...

    def render_rgb(self, *, ended: bool) -> Array:
        """Slot 0 as a picture, uint8 [H, W, 3].

        Args:
            ended: the end of the episode that the last step ended, instead of the beginning of the next one.
        """
        ...


@runtime_checkable
class NamesActions(Protocol):
    """An environment that knows what its actions are called, for pictures; those of a model have names there."""

    @property
    def action_names(self) -> tuple[str, ...]:
        """One for each action, in order."""
        ...


@runtime_checkable
class Agent(Stateful, Protocol):
    """Acts, and learns from rollouts."""

    @property
    def collection(self) -> Collection:
        """The kind of rollouts that `learn` takes."""
        ...

    @property
    def finished(self) -> bool:
        """True once further learning would change nothing (a planner that has converged)."""
        ...

    def initial_carry(self, num_envs: int) -> Carry:
        """The memory of `num_envs` slots at the start of an episode; `()` for agents without memory."""
        ...

    def act(self, obs: Obs, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        """Chooses action [B] for obs [B, ...]; `explore=False` in evaluation.

        All randomness comes from `rng`, and no learning state may change here: evaluation never changes training.
        """
        ...

    def learn(self, rollout: Rollout) -> Metrics:
        """Learns from one rollout. Metrics may stay on the device: they are read only when they are written."""
        ...


class Distribution(Protocol):
    """A policy's distributions over actions, one for each entry of a batch [...].

    A draw is what the agent learns from: indices [...], or vectors [..., D].
    """

    def sample(self, rng: torch.Generator) -> Tensor:
        """A draw of each, on the generator's device."""
        ...

    def log_prob(self, draw: Tensor) -> Tensor:
        """The log of each draw's probability (density, if draws are vectors): [...]."""
        ...

    def entropy(self) -> Tensor:
        """In nats: [...]."""
        ...

    def mode(self) -> Tensor:
        """The most likely draw of each."""
        ...

    def kl(self, other: Self) -> Tensor:
        """KL(self || other) in nats: [...]; infinite where `other` excludes a draw that `self` allows."""
        ...


@runtime_checkable
class Stochastic(Protocol):
    """An agent that draws its actions from a policy, and could take the most likely one instead."""

    @property
    def evaluation_policy(self) -> EvaluationPolicy:
        """Which of the two `act(explore=False)` does; if it draws, the evaluator reports the other as well."""
        ...

    def policy(self, obs: Obs, carry: Carry) -> tuple[Distribution, Carry]:
        """The distribution of actions for obs [B, ...], and the memory after it; changes nothing."""
        ...


@runtime_checkable
class Discounting(Protocol):
    """An agent whose values are of discounted returns."""

    @property
    def gamma(self) -> float:
        """The discount factor per agent step."""
        ...


@runtime_checkable
class HasPolicy(Protocol):
    """An agent whose policy can be kept and loaded without what only learning needs, such as optimizers and replays.

    Of other agents the whole state is kept; one with a replay must have this for its policies to be kept.
    """

    @property
    def policy_entries(self) -> tuple[str, ...]:
        """The entries of `state_dict` on which `act(explore=False)` depends."""
        ...

    def load_policy(self, state: State) -> None:
        """Loads these entries, and ignores others; learning is then not possible."""
        ...


@runtime_checkable
class ValuesActions(Protocol):
    """An agent that chooses its actions by their values."""

    def q_values(self, obs: Obs) -> Tensor:
        """Q(s, a): obs [B, ...] to [B, A]; changes nothing."""
        ...


@runtime_checkable
class Tabular(Protocol):
    """An agent with tables: V, Q and the policy over numbered states."""

    def tables(self) -> Tables:
        """A copy of the current tables."""
        ...


@runtime_checkable
class Planner(Agent, Protocol):
    """An agent that sweeps over a model until its values converge; then it is `finished`."""

    @property
    def residual(self) -> float:
        """The largest change of a value in the last sweep, in reward units."""
        ...


@runtime_checkable
class Replay(Stateful, Protocol):
    """Keeps the newest transitions and samples them."""

    def __len__(self) -> int:
        """The number of transitions that can be drawn now."""
        ...

    def extend(self, rollout: Rollout) -> None:
        """Adds T steps of B slots, dropping the oldest when full."""
        ...

    def sample(self, batch_size: int, rng: torch.Generator) -> Batch:
        """Draws `batch_size` transitions, with replacement. Raises ValueError if there are none."""
        ...


class PartOfAWorld(VecEnv, Protocol):
    """An environment whose slots may be part of a larger world, which several processes play together."""

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
