"""The collector: steps B environment slots and returns a `Rollout` [T, B]; NumPy arrays become tensors here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from operator import itemgetter

import numpy as np
import torch
from gymnasium.spaces import Discrete
from torch import Tensor

from rlrun.compute.transfer import Upload, as_tensor, upload_to
from rlrun.errors import changed_environment
from rlrun.loop.slots import Slots
from rlrun.numerics.tree import tree_leaves, tree_like
from rlrun.protocols import Agent, VecEnv
from rlrun.rng import named_seed, torch_generator
from rlrun.runs.episode_recorder import NULL_RECORDER, Recorder
from rlrun.runs.state_comparison import first_difference
from rlrun.types import (
    ActorOutput,
    Array,
    BoolArray,
    Carry,
    Collection,
    EnvSpec,
    Episodes,
    Int64Array,
    NoSteps,
    Obs,
    Rollout,
    State,
    Steps,
    TimeStep,
    WholeEpisodes,
    map_obs,
)


class Collector:
    """Acts in `env` as `collection` asks: T steps of every slot, or whole episodes of every slot.

    Args:
        env: the training environment; the collector resets it on first use.
        collection: what the agent learns from.
        device: where rollouts live; uint8 observations are transferred as uint8, once.
        seed: the run's seed, from which the seeds of the environment and of acting are derived.
        recorder: is told every action.
        upload: how arrays are transferred to `device`; None: the fastest way for the observations of `env`.
        first_slot: the global number of slot 0 (over all processes), which determines environment streams.
    """

    def __init__(
        self,
        env: VecEnv,
        collection: Collection,
        device: torch.device,
        seed: int,
        recorder: Recorder = NULL_RECORDER,
        upload: Upload | None = None,
        first_slot: int = 0,
    ) -> None:
        self.env = env
        self._upload = upload or upload_to(device, env.spec)
        self._slots = Slots(env, self._upload)
        self._collection = collection
        self._device = device
        self._seed, self._first_slot = seed, first_slot
        self.recorder = recorder
        self._num_envs = env.spec.num_envs
        self._rng = torch_generator(seed, "collector/act", device)
        self._saved_carry: list[Tensor] | None = None  # leaves, until the agent gives their structure
        self.seconds = self._slots.seconds

    def collect(self, agent: Agent) -> Rollout:
        """Acts until the agent's collection is complete."""
        if isinstance(self._collection, NoSteps):
            return empty_rollout(self._device)
        slots, begun = self._slots, agent.initial_carry(self._num_envs)
        if slots.obs is None:
            env_seed = named_seed(self._seed, "collector/env")
            slots.reset(env_seed, self._first_slot, begun)
            self.recorder.begin(env_seed)
        if self._saved_carry is not None:  # `begun` has the right structure and device
            saved = [leaf.to(like.device) for leaf, like in zip(self._saved_carry, tree_leaves(begun), strict=True)]
            slots.carry, self._saved_carry = tree_like(begun, saved), None
        if isinstance(self._collection, WholeEpisodes):
            self._restart_unfinished()
            slots.carry = begun
        return self._play(agent)

    def _restart_unfinished(self) -> None:
        """Restarts slots that kept acting while others finished, so that every batch holds whole episodes."""
        unfinished = self._slots.meter.running_length > 0
        if unfinished.any():
            self._slots.restart(unfinished)
            self.recorder.restarted(unfinished)

    def _play(self, agent: Agent) -> Rollout:
        slots, act, initial_carry = self._slots, partial(agent.act, explore=True), agent.initial_carry(self._num_envs)
        carry, sequence = slots.carry, [slots.obs]
        outputs: list[ActorOutput] = []
        time_steps: list[TimeStep] = []
        masks: list[BoolArray] = []
        episodes_left = self._quota()
        mask = np.ones(self._num_envs, bool)
        while self._wants_more(len(time_steps), episodes_left):
            if episodes_left is not None:
                mask = episodes_left > 0
            output, action, time_step, ended = slots.step(act, self._rng, initial_carry, mask)
            if episodes_left is not None:
                episodes_left = episodes_left - time_step.last
            self.recorder.played(action, time_step.last, mask, ended)
            sequence.append(slots.obs)
            outputs.append(output)
            time_steps.append(time_step)
            masks.append(mask)
        return self._assemble(sequence, outputs, time_steps, masks, carry)

    def _quota(self) -> Int64Array | None:
        """[B] how many more episodes of each slot count; None when it is steps that are collected."""
        if isinstance(self._collection, WholeEpisodes):
            return np.full(self._num_envs, self._collection.per_slot)
        return None

    def _wants_more(self, played: int, episodes_left: Int64Array | None) -> bool:
        if isinstance(self._collection, Steps):
            return played < self._collection.num_steps
        return episodes_left is not None and bool((episodes_left > 0).any())

    def _assemble(
        self,
        sequence: list[Obs],
        outputs: list[ActorOutput],
        time_steps: list[TimeStep],
        masks: list[BoolArray],
        carry: Carry,
    ) -> Rollout:
        def stacked(name: str) -> Tensor:
            return self._upload.array(_stacked([getattr(time_step, name) for time_step in time_steps]))

        def finals(first: Tensor, *parts: Array) -> Tensor:
            """One leaf of the observations that end episodes, in order; `first` [B, ...] gives the shape if none."""
            return self._upload.array(np.concatenate(parts)) if parts else first[:0]

        ended = [map_obs(itemgetter(step.last), step.next_obs) for step in time_steps if step.last.any()]
        mask = _stacked(masks)
        extras = {name: torch.stack([output.extras[name] for output in outputs]) for name in outputs[0].extras}
        for name in self.env.spec.extras:
            extras[name] = self._upload.array(_stacked([time_step.extras[name] for time_step in time_steps]))
        return Rollout(
            obs_sequence=map_obs(_stacked_tensors, *sequence),
            final_obs=map_obs(finals, sequence[0], *ended),
            action=torch.stack([output.action for output in outputs]),
            reward=stacked("reward"),
            discount=stacked("discount"),
            last=stacked("last"),
            mask=self._upload.array(mask),
            extras=extras,
            episodes=self._slots.meter.pop(),
            num_steps=int(mask.sum()),
            ends=np.array([time_step.last.sum() for time_step in time_steps], np.int64),
            carry=carry,
        )

    def state_dict(self) -> State:
        """The environment, the random stream of acting and the running episodes."""
        if self._slots.obs is None:
            return {"started": False, "spaces": _spaces(self.env.spec)}
        return {
            "started": True,
            "spaces": _spaces(self.env.spec),
            "env": self.env.state_dict(),
            "rng": self._rng.get_state(),
            "obs": map_obs(Tensor.cpu, self._slots.obs),
            # State files have no named tuples, so leaves are saved; those that were loaded, until they are in use.
            "carry": [leaf.cpu() for leaf in self._saved_carry or tree_leaves(self._slots.carry)],
            "meter": self._slots.meter.state_dict(),
            "recorder": self.recorder.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Continues in the middle of the running episodes.

        Raises:
            UserError: if the environment is not the one that was played, or its episodes were not recorded.
        """
        spaces = _spaces(self.env.spec)
        for name in spaces | state["spaces"]:
            before, now = state["spaces"].get(name), spaces.get(name)
            if before != now:
                raise changed_environment(self.env.spec.name, f"{name} was {before} and is {now}")
        if not state["started"]:
            return
        shown = map_obs(partial(as_tensor, device=torch.device("cpu")), self.env.load_state_dict(state["env"]))
        if first_difference(shown, state["obs"]) is not None:
            raise changed_environment(self.env.spec.name, "its observations are not those of the checkpoint")
        self._rng.set_state(state["rng"])
        # Uploaded whole: they are not the successors of earlier observations.
        self._slots.obs = self._upload.begun(map_obs(Tensor.numpy, state["obs"]))
        self._slots.carry, self._saved_carry = (), state["carry"]
        self._slots.meter.load_state_dict(state["meter"])
        self.recorder.load_state_dict(state["recorder"])


def _stacked_tensors(*tensors: Tensor) -> Tensor:
    return torch.stack(tensors)


def _stacked(arrays: list[Array]) -> Array:
    """`np.stack` of arrays [B, ...] -> [T, B, ...], in a third of the time for small ones."""
    return np.concatenate(arrays).reshape(len(arrays), *arrays[0].shape)


def _spaces(spec: EnvSpec) -> State:
    """What an agent was built for, as messages name it."""
    space = spec.obs_space
    parts = {"the parts of observations": list(spec.observation)} if isinstance(spec.observation, Mapping) else {}
    return {
        **parts,
        "the shape of observations": list(spec.obs_shape),
        "the type of observations": str(space.dtype),
        "the number of observations": int(space.n) if isinstance(space, Discrete) else None,
        "the number of actions": spec.num_actions,
    }


def empty_rollout(device: torch.device) -> Rollout:
    """What a planner learns from: no steps, counted as one sweep."""
    nothing = torch.zeros(0, 0, device=device)
    return Rollout(
        obs_sequence=torch.zeros(1, 0, device=device),
        final_obs=torch.zeros(0, device=device),
        action=nothing.long(),
        reward=nothing,
        discount=nothing,
        last=nothing.bool(),
        mask=nothing.bool(),
        extras={},
        episodes=Episodes.none(),
        num_steps=1,
    )
