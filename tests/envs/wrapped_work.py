"""Environments and wrappers as people write them: without annotations, with some, with mistakes."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Line(gymnasium.Env[Any, Any]):
    """Walks from 0 to 9; obs = [place]; every step pays 1."""

    observation_space: spaces.Box = spaces.Box(0, 9, (1,), np.float32)
    action_space = spaces.Discrete(2)
    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 as in Gymnasium

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = 0
        return np.array([0], np.float32), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place = min(max(self.place + 2 * action - 1, 0), 9)
        return np.array([self.place], np.float32), 1.0, self.place == 9, False, {}


class Picture(Line):
    """The same, seen as a picture [12, 11, 3]; its `high` is 4."""

    observation_space = spaces.Box(0, 4, (12, 11, 3), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.look(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        _, *rest = super().step(action)
        return self.look(), *rest

    def look(self) -> Any:
        picture = np.zeros((12, 11, 3), np.uint8)
        picture[self.place, 2, 1] = 4
        return picture


class Plus(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Adds to what is seen.

    Args:
        env: inside.
        amount: is added.
    """

    def __init__(self, env, amount=1.0, sizes=(1, 2), note=None):  # type: ignore[no-untyped-def]
        super().__init__(env)
        if amount < 0:
            raise ValueError("amount must not be negative")
        assert isinstance(sizes, tuple)
        self.amount, self.sizes, self.note = amount, sizes, note
        self.observation_space = spaces.Box(0, 1000, (1,), np.float32)

    def observation(self, observation: Any) -> Any:
        return observation + np.float32(self.amount)


class Times(Plus):
    def __init__(self, env, factor: int):  # type: ignore[no-untyped-def]
        super().__init__(env)  # type: ignore[no-untyped-call]
        self.factor = factor

    def observation(self, observation: Any) -> Any:
        return observation * np.float32(self.factor)


class Twice(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Every action is played twice."""

    def step(self, action: int) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, paid, terminated, truncated, info = self.env.step(action)
        if not (terminated or truncated):
            obs, more, terminated, truncated, info = self.env.step(action)
            paid = float(paid) + float(more)
        return obs, paid, terminated, truncated, info


def hundred_more(env: gymnasium.Env[Any, Any], *, times: int = 1) -> gymnasium.Wrapper[Any, Any, Any, Any]:
    return Plus(env, 100.0 * times)  # type: ignore[no-untyped-call]


def three(env: gymnasium.Env[Any, Any]) -> gymnasium.Wrapper[Any, Any, Any, Any]:
    return 3  # type: ignore[return-value] # that is the mistake


def open_ended(env: gymnasium.Env[Any, Any], **anything: Any) -> gymnasium.Wrapper[Any, Any, Any, Any]:
    return Plus(env, **anything)  # type: ignore[no-untyped-call]


class NoWrapper:
    def __init__(self, env: Any) -> None:
        raise AssertionError("it must not be built")


class Engine(Line):
    def __init__(self, size, names=("a",)):  # type: ignore[no-untyped-def]
        if size > 3:
            raise RuntimeError("the engine holds 3 at most")
        self.size, self.names = size, names


class Leaves(Line):
    def __init__(self) -> None:
        raise SystemExit(3)


class Stumbles(Plus):
    def __init__(self, env: Any) -> None:
        np.stack([np.zeros(2), np.zeros(3)])


def leaves(env: gymnasium.Env[Any, Any]) -> gymnasium.Wrapper[Any, Any, Any, Any]:
    raise SystemExit


gymnasium.register("wrapped_work/NoPackage-v0", entry_point="rlrun_no_such_package:Thing", max_episode_steps=20)
for name in ("Line", "Picture", "Engine", "NoSuch", "Leaves"):
    gymnasium.register(f"wrapped_work/{name}-v0", entry_point=f"{__name__}:{name}", max_episode_steps=20)
