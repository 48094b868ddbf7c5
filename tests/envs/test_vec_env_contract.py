"""The contract must notice what would make training silently wrong: each of these environments breaks it in one way."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest
from gymnasium import spaces

from rlrun.errors import FaultyEnvironmentError
from rlrun.protocols import VecEnv
from rlrun.rng import hash64, stream_seeds
from rlrun.testing import VecEnvContract
from rlrun.types import Array, BoolArray, EnvSpec, Int64Array, ObsArray, State, TimeStep, mask_space


class Walk:
    """A counter with slips: obs = (position, time); ends past 9 (discount 0) or after 12 steps (discount 1).

    All its randomness is a hash of (stream seed, time). Right in every respect; below, wrong in one each.
    """

    def __init__(self, num_envs: int) -> None:
        self.spec = EnvSpec("walk", spaces.Box(-np.inf, np.inf, (2,), np.float32), spaces.Discrete(3), num_envs)
        self.seed = 0
        self.slots = np.arange(num_envs)
        self.number, self.position, self.time = (np.zeros(num_envs, np.int64) for _ in range(3))

    def reset(self, seed: int) -> Array:
        self.seed = seed
        self.number[:] = -1
        return self.restart(np.ones(len(self.slots), bool))

    def restart(self, slots: BoolArray) -> Array:
        self.number[slots] += 1
        self.time[slots] = 0
        self.position[slots] = self.random(5)[slots]
        return self.obs()

    def step(self, action: Int64Array) -> TimeStep:
        self.time += 1
        self.position += action + self.random(2)
        reward = (self.position * 0.5 + action).astype(np.float32)
        ended, limit = self.position > 9, self.time >= 12
        next_obs = self.obs()
        obs = self.restart(ended | limit)
        return TimeStep(next_obs, reward, (~ended).astype(np.float32), ended | limit, obs, {})

    def close(self) -> None:
        pass

    def obs(self) -> Array:
        return np.stack([self.position, self.time], axis=1).astype(np.float32)

    def stream_seeds(self) -> Int64Array:
        return stream_seeds(self.seed, self.slots, self.number)

    def random(self, below: int) -> Int64Array:
        return (hash64(self.stream_seeds(), self.time) % np.uint64(below)).astype(np.int64)

    def state_dict(self) -> State:
        arrays = {"number": self.number, "position": self.position, "time": self.time}
        return {"seed": self.seed} | {name: array.copy() for name, array in arrays.items()}

    def load_state_dict(self, state: State) -> Array:
        self.seed = state["seed"]
        self.number, self.position, self.time = (state[name].copy() for name in ("number", "position", "time"))
        return self.obs()


class TestWalkContract(VecEnvContract):
    def make(self, num_envs: int) -> VecEnv:
        return Walk(num_envs)


class ShowsTheNewEpisodeAsSuccessor(Walk):
    def step(self, action: Int64Array) -> TimeStep:
        step = super().step(action)
        return step._replace(next_obs=step.obs)


class OverwritesAPart(Walk):
    """Shows a dict of arrays, and fills the same array every time."""

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs)
        parts: dict[str, spaces.Box | spaces.Discrete] = {"obs": self.spec.obs_space, "action_mask": mask_space(3)}
        self.spec = EnvSpec("walk", parts, self.spec.action, num_envs)
        self.buffer = np.zeros((num_envs, 2), np.float32)

    def obs(self) -> ObsArray:
        self.buffer[:] = super().obs()
        return {"obs": self.buffer, "action_mask": np.ones((len(self.buffer), 3), bool)}


class ResetsOneStepLate(Walk):
    """As Gymnasium's default does."""

    def step(self, action: Int64Array) -> TimeStep:
        step = super().step(action)
        return step._replace(obs=step.next_obs)


class ActsOnStaleObservations(Walk):
    def step(self, action: Int64Array) -> TimeStep:
        before = self.obs()
        step = super().step(action)
        return step._replace(obs=np.where(step.last[:, None], step.obs, before))


class SharesOneGenerator(Walk):
    """Slots draw in turn, so how many there are, and when others end, changes everything."""

    generator = np.random.default_rng(0)

    def reset(self, seed: int) -> Array:
        self.generator = np.random.default_rng(seed)
        return super().reset(seed)

    def restart(self, slots: BoolArray) -> Array:
        super().restart(slots)
        self.position[slots] = self.generator.integers(5, size=int(slots.sum()))
        return self.obs()


class DrawsFromTheGlobalGenerator(Walk):
    def random(self, below: int) -> Int64Array:
        return np.random.randint(below, size=len(self.slots))  # noqa: NPY002


class RemembersAcrossResets(Walk):
    episodes = 0

    def restart(self, slots: BoolArray) -> Array:
        super().restart(slots)
        self.episodes += 1
        self.position[slots] += self.episodes % 2
        return self.obs()


class IgnoresItsSeed(Walk):
    def reset(self, seed: int) -> Array:
        return super().reset(0)


class PlaysOneEpisodeEverywhere(Walk):
    def stream_seeds(self) -> Int64Array:
        return stream_seeds(self.seed, self.slots * 0, self.number)


class PlaysOneEpisodeForever(Walk):
    def stream_seeds(self) -> Int64Array:
        return stream_seeds(self.seed, self.slots, self.number * 0)


class RestartsEverySlot(Walk):
    def restart(self, slots: BoolArray) -> Array:
        return super().restart(slots | (slots.any() & (self.time > 0)))


class ForgetsTheTimeInItsState(Walk):
    def load_state_dict(self, state: State) -> Array:
        obs = super().load_state_dict(state)
        self.time[:] = 0
        return obs


class ShowsTheBeginningWhenLoaded(Walk):
    def load_state_dict(self, state: State) -> Array:
        beginning = self.reset(state["seed"])
        super().load_state_dict(state)
        return beginning


class ForgetsTheSeedInItsState(Walk):
    def load_state_dict(self, state: State) -> Array:
        return super().load_state_dict({**state, "seed": self.seed})


class HandsOutItsOwnState(Walk):
    def state_dict(self) -> State:
        return {**super().state_dict(), "position": self.position}


class TakesTheStateItself(Walk):
    def load_state_dict(self, state: State) -> Array:
        super().load_state_dict(state)
        self.position = state["position"]
        return self.obs()


class ReusesItsBuffer(Walk):
    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs)
        self.buffer = np.zeros(num_envs, np.float32)

    def step(self, action: Int64Array) -> TimeStep:
        step = super().step(action)
        self.buffer[:] = step.reward
        return step._replace(reward=self.buffer)


class HandsOutItsPosition(Walk):
    """The observation is the state itself."""

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs)
        self.shown = np.zeros((num_envs, 2), np.float32)

    def obs(self) -> Array:
        self.shown = super().obs()
        return self.shown

    def step(self, action: Int64Array) -> TimeStep:
        self.position = self.shown[:, 0].astype(np.int64)
        return super().step(action)


class WritesIntoActions(Walk):
    def step(self, action: Int64Array) -> TimeStep:
        step = super().step(action)
        action[:] = 0
        return step


class PutsGammaIntoTheDiscount(Walk):
    def step(self, action: Int64Array) -> TimeStep:
        step = super().step(action)
        return step._replace(discount=step.discount * np.float32(0.99))


class GivesDoubleRewards(Walk):
    def step(self, action: Int64Array) -> TimeStep:
        step = super().step(action)
        return step._replace(reward=step.reward.astype(np.float64))


class GivesInfiniteRewards(Walk):
    def step(self, action: Int64Array) -> TimeStep:
        step = super().step(action)
        return step._replace(reward=np.where(step.last, np.float32(np.inf), step.reward))


class HasExtrasThatNobodyDeclared(Walk):
    def step(self, action: Int64Array) -> TimeStep:
        return super().step(action)._replace(extras={"lives": self.time.copy()})


class NeverEnds(Walk):
    def step(self, action: Int64Array) -> TimeStep:
        self.time[:] = 0
        self.position[:] = 0
        return super().step(action)


BROKEN = {
    ShowsTheNewEpisodeAsSuccessor: "true last observation",
    ResetsOneStepLate: "true last observation",
    ActsOnStaleObservations: "within an episode, obs must equal next_obs",
    SharesOneGenerator: "must not depend on",
    DrawsFromTheGlobalGenerator: "equal seeds must begin alike|equal seeds and actions",
    RemembersAcrossResets: "must not depend on earlier episodes",
    IgnoresItsSeed: "must use its seed",
    PlaysOneEpisodeEverywhere: "slots must have streams of their own",
    PlaysOneEpisodeForever: "must not begin like the previous one",
    RestartsEverySlot: "current observations of the other slots",
    ForgetsTheTimeInItsState: "save what it was loaded from",
    ShowsTheBeginningWhenLoaded: "return the observations at which the state was taken",
    ForgetsTheSeedInItsState: "save what it was loaded from",
    HandsOutItsOwnState: "must return copies",
    TakesTheStateItself: "must make copies",
    ReusesItsBuffer: "changed later",
    OverwritesAPart: "changed later",
    HandsOutItsPosition: "writing into returned arrays",
    WritesIntoActions: "must not write into the actions",
    PutsGammaIntoTheDiscount: "gamma belongs to the agent",
    GivesDoubleRewards: "reward must be",
    GivesInfiniteRewards: "its reward is inf",
    HasExtrasThatNobodyDeclared: "spec.extras declares",
    NeverEnds: "no episode ended",
}


@pytest.mark.parametrize(("broken", "complaint"), BROKEN.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_the_contract_refuses_an_environment_that(broken: Callable[[int], VecEnv], complaint: str) -> None:
    class Contract(VecEnvContract):
        num_steps = 40

        def make(self, num_envs: int) -> VecEnv:
            return broken(num_envs)

    contract = Contract()
    complaints = []
    for name, test in inspect.getmembers(contract, inspect.ismethod):
        if name.startswith("test_"):
            try:
                test()
            except (AssertionError, FaultyEnvironmentError) as error:
                complaints.append(str(error))
    matching = pytest.RaisesExc(AssertionError, match=complaint)
    assert any(matching.matches(AssertionError(text)) for text in complaints), complaints
