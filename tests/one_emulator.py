"""Atari with as many slots as asked for and a single emulator behind them, for what is built and never played."""

from __future__ import annotations

from typing import Any

import pytest
from ale_py.vector_env import AtariVectorEnv


def one_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each emulator takes a tenth of a second to load."""

    def single(game: str, num_envs: int, *, batch_size: int, **rest: Any) -> AtariVectorEnv:
        del num_envs, batch_size
        return AtariVectorEnv(game, 1, batch_size=1, **rest)

    monkeypatch.setattr("rlrun.envs.atari.AtariVectorEnv", single)
