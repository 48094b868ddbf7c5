"""Contracts that adapt to what they test: to the length of episodes, and to when learning begins."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from itertools import count
from math import isqrt
from time import perf_counter, thread_time

import numpy as np
import torch

from rlrun.errors import FaultyEnvironmentError
from rlrun.loop.collect import Collector
from rlrun.loop.meter import EpisodeMeter
from rlrun.protocols import Agent, Replay, VecEnv
from rlrun.testing.agent import AgentContract, same
from rlrun.testing.outcomes import describe_error
from rlrun.testing.replay import ReplayContract
from rlrun.testing.vec_env import VecEnvContract, permitted, random_actions
from rlrun.types import EnvSpec, obs_at

_CPU = torch.device("cpu")
_ENDS = 3  # episodes that a check needs to end
_FEWEST_STEPS, _MOST_STEPS = 60, 5_000  # of three slots, until they have ended
_FEWEST_ITERATIONS = 5  # of learning
# Agent steps; 5 iterations of one step would not reveal an incomplete state.
_FEWEST_LEARNED, _MOST_LEARNED = 200, 2_000
_LOOKING_SECONDS = 3.0  # to find out the length of episodes or the start of learning
_BUSY = 4.0  # a machine slowed down this much by others gives the same result
_OF_STATES = ("test_a_loaded_state_continues_as_if_never_interrupted",)
_OF_REPLAYS = (  # of environments
    *_OF_STATES,
    "test_a_saved_state_does_not_change_when_the_environment_goes_on",
    "test_a_reset_forgets_what_was_played_before",
)
_CHEAP_SECONDS = 0.2  # that each of a contract's dozen plays may take for extra steps
# Primes, as all numbers of iterations: what is due every 10, 25 or 50 is not due at the end.
_CHEAP_STEPS, _CHEAP_ITERATIONS = 307, 31
_ALIKE = 3  # episodes of one length that end with discount 0 look like a time limit


class _Clock:
    """Measures how long the work of this thread takes on a busy machine; mere waiting counts less."""

    def __init__(self) -> None:
        self._working, self._waiting = thread_time(), perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since it was made."""
        return max(thread_time() - self._working, (perf_counter() - self._waiting) / _BUSY)


def _fewer(what: str, number: int, usual: int) -> str:
    return f"{number} {what} instead of the usual {usual}, since they take long: --{what} {usual} makes as many"


class CheckedEnv(VecEnvContract):
    """The contract of any environment; plays until some episodes have ended.

    Args:
        make: makes one with a given number of slots.
        make_limited: makes one with another time limit; None if it cannot be set.
        steps: the least number of steps to play; None: as many as needed, and more if they are cheap.

    Raises:
        FaultyEnvironmentError: if its observations or rewards are invalid, with the message of a run.

    Attributes:
        notes: remarks on the check for the user, a line each.
        leaves_out: tests that do not apply.
    """

    def __init__(
        self,
        make: Callable[[int], VecEnv],
        make_limited: Callable[[int, int], VecEnv] | None,
        steps: int | None = None,
    ) -> None:
        self._make, self._make_limited = make, make_limited
        self.notes: list[str] = []
        self.leaves_out: tuple[str, ...] = ()
        self.num_steps = steps or _FEWEST_STEPS
        try:
            self.stochastic_start = not self._begins_alike()
            self._look(steps)
            self._look_at_ends()
        except FaultyEnvironmentError:
            raise
        except Exception as error:  # the tests will show which of them it concerns
            self.notes.append(f"while playing, it {describe_error(error)}")
        if not self.stochastic_start:
            self.notes.append("every episode begins alike; if it should not, reset(seed) ignores its seed")

    def make(self, num_envs: int) -> VecEnv:
        """One with this number of slots."""
        return permitted(self._make(num_envs))

    def make_limited(self, num_envs: int, max_episode_steps: int) -> VecEnv | None:
        """One with another time limit."""
        return permitted(self._make_limited(num_envs, max_episode_steps)) if self._make_limited is not None else None

    def _begins_alike(self) -> bool:
        env = self.make(3)
        first = [env.reset(seed) for seed in range(5)] + [env.restart(np.ones(3, bool)) for _ in range(5)]
        env.close()
        return all(same(obs_at(obs, slot), obs_at(first[0], 0)) for obs in first for slot in range(3))

    @property
    def range_in_words(self) -> str:
        """How much it tests."""
        return f"{self.num_steps} steps"

    def _look(self, steps: int | None) -> None:
        """Plays until episodes end, as the contract will, and examines how they end."""
        env = self.make(3)
        everywhere = np.ones(3, bool)
        meter = EpisodeMeter(env.spec.name, 3)
        meter.begun(env.reset(0), everywhere)
        ends = limits = 0
        lengths: Counter[int] = Counter()  # of the episodes that ended with discount 0
        clock = _Clock()
        played = 0
        for action in random_actions(env.spec, _MOST_STEPS):
            step = env.step(action)
            played += 1
            ended = meter.record(step, everywhere)
            ends += int(step.last.sum())
            limits += int((step.last & (step.discount != 0)).sum())
            lengths.update(ended.lengths[step.discount[step.last] == 0].tolist())
            if (played >= _FEWEST_STEPS and ends >= _ENDS) or clock.seconds > _LOOKING_SECONDS:
                break
        env.close()
        if steps is None and _CHEAP_STEPS * clock.seconds <= _CHEAP_SECONDS * played:
            steps = _CHEAP_STEPS
        self.num_steps = max(played, steps or 0)
        if steps is None and self.num_steps < _CHEAP_STEPS:
            self.notes.append(_fewer("steps", self.num_steps, _CHEAP_STEPS))
        if env.spec.episodic and not ends:
            self.notes.append(
                f"no episode ended in {played} random steps, so no end could be checked: set a shorter time limit"
            )
        longest = max(lengths, default=0)
        if self._make_limited is None and not limits and lengths[longest] >= _ALIKE:
            self.notes.append(
                f"{lengths[longest]} episodes ended after exactly {longest} steps, with discount 0: correct if they "
                "terminate there, but at a time limit discount must be 1"
            )
        if not env.spec.resumable:
            self.notes.append(
                "its episodes do not replay, so runs make no checkpoints; neither saving is checked nor whether a "
                "reset forgets earlier episodes"
            )
            self.leaves_out = _OF_REPLAYS

    def _look_at_ends(self) -> None:
        """Plays as long with a time limit that is not reached: an episode that still ends has terminated."""
        env = self.make_limited(3, self.num_steps + 1)
        if env is None:
            return
        env.reset(0)
        ends = cut = 0
        clock = _Clock()
        for action in random_actions(env.spec, self.num_steps):
            step = env.step(action)
            ends += int(step.last.sum())
            cut += int((step.last & (step.discount != 0)).sum())
            if clock.seconds > _LOOKING_SECONDS:
                break
        env.close()
        if cut:
            self.notes.append(
                f"{cut} of {ends} episodes ended before their time limit with discount 1: correct if something else "
                "truncated them, but where an episode terminates discount must be 0"
            )


class CheckedAgent(AgentContract):
    """The contract of any agent; continues until it has begun to learn.

    Args:
        make_env: makes the environment it trains in.
        make_agent: makes one from the environment's spec and a seed.
        iterations: of collecting and learning before a state is saved, and after it; None: until it has begun to
            learn, and more if they are cheap.

    Attributes:
        notes: remarks on the check for the user, a line each.
        leaves_out: tests that do not apply.
        trained: an agent that has learned for some iterations; None if it could not.
        steps: agent steps that it has learned from.
    """

    def __init__(
        self,
        make_env: Callable[[], VecEnv],
        make_agent: Callable[[EnvSpec, int], Agent],
        iterations: int | None = None,
    ) -> None:
        self._make_env, self._make_agent = make_env, make_agent
        self.leaves_out: tuple[str, ...] = ()
        self.trained: Agent | None = None
        self.steps = 0
        try:
            names = self._look()
        except FaultyEnvironmentError:
            raise
        except Exception as error:  # the tests will show which of them it concerns
            self.notes = [f"while learning, it {describe_error(error)}"]
        else:
            metrics = ", ".join(sorted(names)) or "none"
            self.iterations = iterations or self.iterations
            self.notes = [f"{self.iterations} iterations of collecting and learning; metrics: {metrics}"]
            if iterations is None and self.iterations < _CHEAP_ITERATIONS and not self._is_finished():
                self.notes.append(_fewer("iterations", self.iterations, _CHEAP_ITERATIONS))

    def _is_finished(self) -> bool:
        return self.trained is not None and self.trained.finished

    @property
    def range_in_words(self) -> str:
        """How much it tests."""
        return f"{self.iterations} iterations of learning"

    def make_env(self) -> VecEnv:
        """The environment it trains in."""
        return self._make_env()

    def make_agent(self, spec: EnvSpec, seed: int) -> Agent:
        """One with this seed."""
        return self._make_agent(spec, seed)

    def _look(self) -> frozenset[str]:
        """Plays until metrics show that learning has begun, and counts the iterations. Returns the metrics' names."""
        env = self.make_env()
        self.leaves_out = () if env.spec.resumable else _OF_STATES
        agent = self.make_agent(env.spec, 0)
        collector = Collector(env, agent.collection, _CPU, 0)
        names: frozenset[str] = frozenset()
        began = iteration = enough = 0
        clock = _Clock()
        while not agent.finished and (iteration < _FEWEST_ITERATIONS or self.steps < _MOST_LEARNED):
            rollout = collector.collect(agent)
            metrics = agent.learn(rollout)
            iteration += 1
            self.steps += rollout.num_steps
            enough += self.steps < _FEWEST_LEARNED
            if not names >= metrics.keys():
                names, began = names | metrics.keys(), iteration
            if iteration >= _FEWEST_ITERATIONS and clock.seconds > _LOOKING_SECONDS:
                break
        env.close()
        self.trained = agent
        cheap = not agent.finished and _CHEAP_ITERATIONS * clock.seconds <= _CHEAP_SECONDS * iteration
        self.iterations = _prime(max(began + _FEWEST_ITERATIONS, enough + 1, _CHEAP_ITERATIONS if cheap else 0))
        return names


def _prime(fewest: int) -> int:
    """The next prime: then a state that lacks the phase of something periodic is noticed."""
    return next(number for number in count(fewest) if all(number % each for each in range(2, isqrt(number) + 1)))


class CheckedReplay(ReplayContract):
    """The contract of an agent's replay."""

    notes: tuple[str, ...] = ()
    leaves_out: tuple[str, ...] = ()

    def __init__(self, kind: Callable[..., Replay], frame_stack: int) -> None:
        self._kind, self.frame_stack = kind, frame_stack

    def make(self, spec: EnvSpec, capacity_steps: int, n_step: int, gamma: float) -> Replay:
        """A new one on the CPU."""
        return self._kind(capacity_steps=capacity_steps, n_step=n_step, gamma=gamma, spec=spec, device=_CPU)


def checked_replay(agent: Agent | None, spec: EnvSpec) -> CheckedReplay | None:
    """The contract of the replay that `agent` holds; None without one, or if its constructor takes other arguments."""
    wanted = {"capacity_steps", "n_step", "gamma", "spec", "device"}
    for held in vars(agent).values() if hasattr(agent, "__dict__") else ():
        if isinstance(held, Replay) and set(inspect.signature(type(held)).parameters) == wanted:
            return CheckedReplay(type(held), spec.frame_stack)
    return None
