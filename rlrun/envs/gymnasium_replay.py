"""Whether an environment replays: equal seeds and actions give equal episodes, which exact resume relies on.

This is tested once for every environment that a process makes, in instances that are not used for training, and for a
limited time: steps of a simulator may take seconds. A resumed run sees more: it compares everything that its running
episodes show with what they had shown. Neither sees hidden state that matters only in later episodes: a curriculum that
begins after hundreds of them starts over when a run is resumed.
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
_SLOT = 0  # in messages
_A_MOMENT_SECONDS = 0.5  # longer tests are announced

Episode: TypeAlias = list[tuple[Any, ...]]  # what was shown; bytes, so that equal means equal bits


class Verdict(NamedTuple):
    """What was found; True also where time ran out before a difference was seen."""

    used_is_new: bool  # an instance that has played shows what a new one does
    new_is_new: bool  # two new instances show the same


_FOUND: list[tuple[object, Verdict]] = []  # used by training, evaluation, and every job of a sweep in this process


def known_verdict(key: object) -> Verdict | None:
    """The verdict on the environment that `key` defines; None if it was not tested yet."""
    return next((verdict for known, verdict in _FOUND if known == key), None)


def try_replay(key: object, border: Border, maker: Maker, first: Env, seconds: float) -> Verdict:
    """Plays some episodes twice, and logs that if it takes more than a moment.

    Args:
        key: everything that defines the environment; the verdict is remembered by it.
        border: of it.
        maker: makes instances.
        first: one that has not played yet; it is closed.
        seconds: time to spend. A reset and one step are always played.

    Raises:
        FaultyEnvironmentError: if it returns something invalid.
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
    """Whether two episodes are equal, as far as they were played."""
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
        """The same in a new instance; None if time ran out."""
        if self._is_over:
            return None
        env = self._maker.make()
        try:
            return self.play(env, seed)
        finally:
            self._maker.close(env)

    def play(self, env: Env, seed: int) -> Episode | None:
        """An episode until it or the actions end; None if time ran out before. The first one determines the actions."""
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
            _LOG.info(f"testing whether {self._border.name} replays exactly, for at most {self._seconds:g} seconds")

    def tell(self) -> None:
        """Logs how much was tested, if that is less than planned."""
        if len(self._actions) < _STEPS or self._played < _EPISODES:
            _LOG.info(
                f"{self._border.name} is slow: whether it replays was tested for {self._spent:.1f} seconds, in "
                f"{self._played} of {_EPISODES} episodes of {len(self._actions)} of {_STEPS} steps; "
                "a resumed run compares everything that its running episodes show"
            )
