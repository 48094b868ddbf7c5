"""Whether an environment replays: equal seeds and actions give equal episodes, which exact resume rests on.

It is tried once for every environment that a process makes, in instances that nobody trains in afterwards, and for a
limited time: a simulator whose steps take seconds must not be waited for. A resumed run sees more: it compares all that
its running episodes show with what they had shown. Neither sees what an instance counts in silence, and what matters
only in later episodes: a curriculum that begins after hundreds of them begins anew when a run is resumed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from rlrun.envs.gymnasium_border import Border
from rlrun.envs.gymnasium_making import Env, Maker
from rlrun.rng import numpy_generator
from rlrun.types import ObsArray

_LOG = logging.getLogger(__name__)
_STEPS = 40  # of each episode; enough for caches (physics, terrain) to show
_EPISODES = 7  # that are played in all
_SLOT = 0  # that they are told of as
_A_MOMENT_SECONDS = 0.5  # what takes longer is said

Episode: TypeAlias = list[tuple[Any, ...]]  # what was shown; bytes, so that equal means equal bits


class Verdict(NamedTuple):
    """What was found; True also where time ran out before a difference was seen."""

    used_is_new: bool  # an instance that has played shows what a new one does
    new_is_new: bool  # two new instances show the same


_FOUND: list[tuple[object, Verdict]] = []  # training and evaluation ask, and every job of a sweep in this process


def known_verdict(key: object) -> Verdict | None:
    """What was found of the environment that `key` defines; None if it was not tried yet."""
    return next((verdict for known, verdict in _FOUND if known == key), None)


def try_replay(key: object, border: Border, maker: Maker, first: Env, seconds: float) -> Verdict:
    """Plays some episodes again, and says so where that takes more than a moment.

    Args:
        key: all that defines the environment, to remember the verdict by.
        border: of it.
        maker: makes instances.
        first: one that has not played yet; it is closed.
        seconds: time to spend. A beginning and a step are always played.

    Raises:
        FaultyEnvironmentError: if what it shows cannot be used.
    """
    trial = _Trial(border, maker, seconds)
    try:
        first_1 = trial.play(first, 1)
        for seed in (3, 4):
            trial.play(first, seed)
        used_1, used_2 = trial.play(first, 1), trial.play(first, 2)
    finally:
        maker.close(first)
    second_1, third_2 = trial.play_new(1), trial.play_new(2)
    verdict = Verdict(
        used_is_new=_same(used_1, first_1) and _same(used_2, third_2), new_is_new=_same(second_1, first_1)
    )
    trial.tell()
    _FOUND.append((key, verdict))
    return verdict


def _same(left: Episode | None, right: Episode | None) -> bool:
    """Whether two episodes are, as far as they were played."""
    return left is None or right is None or left == right


def _bytes(obs: ObsArray) -> bytes:
    parts = obs.values() if isinstance(obs, dict) else [obs]
    return b"".join(part.tobytes() for part in parts)


def _allowed(action: int, obs: ObsArray) -> int:
    """The action itself, or one that the mask allows."""
    if not isinstance(obs, dict):
        return action
    places = np.flatnonzero(obs["action_mask"])
    return int(places[action % len(places)])


class _Trial:
    """Plays episodes within a time, each as far as all of them can be played in it.

    Args:
        border: of the environment.
        maker: of its instances.
        seconds: for all of them.
    """

    def __init__(self, border: Border, maker: Maker, seconds: float) -> None:
        self._border, self._maker, self._seconds = border, maker, seconds
        self._actions = numpy_generator(0, "gymnasium/probe").integers(border.action.n, size=_STEPS).tolist()
        self._began = perf_counter()
        self._is_said = False
        self._played = 0  # whole episodes

    @property
    def _spent(self) -> float:
        return perf_counter() - self._began

    @property
    def _is_over(self) -> bool:
        return self._spent > self._seconds

    def play_new(self, seed: int) -> Episode | None:
        """The same in a new instance, which is not made if the time is up."""
        if self._is_over:
            return None
        env = self._maker.make()
        try:
            return self.play(env, seed)
        finally:
            self._maker.close(env)

    def play(self, env: Env, seed: int) -> Episode | None:
        """An episode until it ends or the actions do; None if the time was up before. The first fixes the actions."""
        if self._played and self._is_over:
            return None
        seen: Episode = []
        for shown in self._episode(env, seed):
            seen.append(shown)
            if self._played and self._is_over:
                return None
            if not self._played and len(seen) > 1 and self._spent > self._seconds / (_EPISODES + 1):
                self._actions = self._actions[: len(seen) - 1]
                break
        self._played += 1
        return seen

    def _episode(self, env: Env, seed: int) -> Iterator[tuple[Any, ...]]:
        obs = self._border.reset(_SLOT, env, seed)
        yield (_bytes(obs),)
        for action in self._actions:
            self._say_if_slow()
            shown = self._border.step(_SLOT, env, _allowed(action, obs))
            obs = shown.obs
            yield (_bytes(obs), *shown[1:])
            if shown.terminated or shown.truncated:
                return

    def _say_if_slow(self) -> None:
        if not self._is_said and self._spent > _A_MOMENT_SECONDS:
            self._is_said = True
            _LOG.info(f"trying whether {self._border.name} replays exactly, for {self._seconds:g} seconds at most")

    def tell(self) -> None:
        """Says how far it came, if that is not as far as it should be."""
        if len(self._actions) < _STEPS or self._played < _EPISODES:
            _LOG.info(
                f"{self._border.name} is slow: whether it replays was tried in {self._spent:.1f} seconds, in "
                f"{self._played} of {_EPISODES} episodes of {len(self._actions)} of {_STEPS} steps; "
                "a resumed run compares all that its running episodes show"
            )
