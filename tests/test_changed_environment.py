"""A run whose environment is not the one that it has played is refused, for it would silently be another run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlrun.cli.main import run_command

ID = "RlrunChanging-v0"
OVERRIDES = ["algo=random", "env=gym", f"env.id={ID}", "env.num_envs=2", "device=cpu", "logger=none", "name=run"]
OVERRIDES += ["log_every_steps=50", "evaluation.every_steps=null", "evaluation.episodes=1"]


class Changing(gymnasium.Env[Any, Any]):
    """A walk in a circle of words; what differs between two programs is in the class."""

    size = 3
    num_actions = 2
    pay = 1.0
    scale = 1.0
    order = (0.1, 0.2, 0.3, 0.4, 0.5)
    length = 19
    most_actions = 3

    def __init__(self, **options: object) -> None:
        assert not options
        self.observation_space = spaces.Box(-2, 2, (self.size,), np.float32)
        self.action_space = spaces.Discrete(self.num_actions)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self.shown(), {}

    def shown(self) -> Any:
        return np.full(self.size, self.scale * self.order[self.time % len(self.order)], np.float32)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if action >= self.most_actions:
            raise IndexError("no such action")
        self.time += 1
        return self.shown(), self.pay, self.time >= self.length, False, {}


@pytest.fixture
def registered() -> Iterator[None]:
    gymnasium.register(ID, entry_point=Changing, max_episode_steps=50)
    yield
    del gymnasium.registry[ID]


def go(runs_dir: Path, total_steps: int) -> int:
    return run_command(["rlrun", *OVERRIDES, f"total_steps={total_steps}", f"runs_dir={runs_dir}"])


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("scale", 0.5, "replayed, slot 0 shows something else"),
        ("order", (0.3, 0.1, 0.2, 0.5, 0.4), "replayed, slot 0 shows something else"),
        ("pay", 0.5, "replayed, slot 0 shows something else"),
        ("length", 3, "replayed, slot 0 shows something else"),
        ("most_actions", 0, "raised IndexError: no such action"),
        ("size", 4, "the shape of observations was [3] and is [4]"),
        ("num_actions", 3, "the number of actions was 2 and is 3"),
    ],
)
def test_it_is_refused_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
    value: object,
    message: str,
) -> None:
    assert go(tmp_path, 20) == 0
    (directory,) = tmp_path.rglob("seed0")
    before = (directory / "metrics.jsonl").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Changing, name, value)
        capfd.readouterr()
        assert go(tmp_path, 60) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert message in said
    assert "it or its package was changed, or it draws from something that is not seeded" in said
    assert (directory / "metrics.jsonl").read_bytes() == before
    assert go(tmp_path, 60) == 0, "with what it began with it goes on"
