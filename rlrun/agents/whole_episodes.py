"""Batches of whole episodes, as many from every slot."""

from __future__ import annotations

from rlrun.errors import ArgumentError
from rlrun.types import EnvSpec, WholeEpisodes


def whole_episodes(episodes_per_batch: int, spec: EnvSpec) -> WholeEpisodes:
    """The share of each slot in a batch.

    Raises:
        ArgumentError: if the episodes do not divide evenly among the slots.
    """
    if episodes_per_batch % spec.num_envs:
        raise ArgumentError(
            "episodes_per_batch",
            f"={episodes_per_batch} must be a multiple of the {spec.num_envs} environments (num_envs): every "
            "environment plays the same number of episodes",
        )
    return WholeEpisodes(episodes_per_batch // spec.num_envs)
