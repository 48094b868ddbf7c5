"""Whether an environment replays: equal seeds and actions give equal episodes, which exact resume rests on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rlrun.envs.gymnasium_border import Border
from rlrun.envs.gymnasium_making import Env
from rlrun.rng import numpy_generator
from rlrun.types import Int64Array

_PROBED_STEPS = 40  # of each of two episodes; enough for caches (physics, terrain) to show


def replays_exactly(border: Border, make: Callable[[], Env], used: Env | None) -> bool:
    """Whether an instance (`used`, or a fresh one) and a fresh one show the same for equal seeds and actions, twice."""
    actions = numpy_generator(0, "gymnasium/probe").integers(border.action.n, size=_PROBED_STEPS)
    if used is not None:
        for seed in (3, 4):
            _episode(border, used, seed, actions[::-1])
    for seed in (1, 2):
        env, fresh = used or make(), make()
        same = _episode(border, env, seed, actions) == _episode(border, fresh, seed, actions)
        fresh.close()
        if used is None:
            env.close()
        if not same:
            return False
    return True


def _episode(border: Border, env: Env, seed: int, actions: Int64Array) -> list[tuple[Any, ...]]:
    """What an episode shows until it ends or the actions do; bytes, so that equal means equal bits."""
    seen: list[tuple[Any, ...]] = [(border.reset(env, seed).tobytes(),)]
    for action in actions.tolist():
        shown = border.step(env, action)
        seen.append((shown.obs.tobytes(), *shown[1:]))
        if shown.terminated or shown.truncated:
            break
    return seen
