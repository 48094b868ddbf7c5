"""Clipped rewards to learn from."""

from __future__ import annotations

import dataclasses

from rlrun.types import Rollout


def clip_reward(rollout: Rollout, limit: float | None) -> Rollout:
    """The rollout with rewards clipped to +- `limit`; None: unchanged. Its episodes keep their raw returns."""
    if limit is None:
        return rollout
    return dataclasses.replace(rollout, reward=rollout.reward.clamp(-limit, limit))
