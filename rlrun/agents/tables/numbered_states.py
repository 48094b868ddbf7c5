"""What every table needs: observations that are state numbers."""

from __future__ import annotations

from gymnasium import spaces

from rlrun.errors import DoesNotFitError
from rlrun.types import EnvSpec

_MOST_PAIRS = 2**26  # of state and action: 512 MiB for each table of them, and an agent keeps a few


def count_states(spec: EnvSpec) -> int:
    """How many rows a table needs.

    Raises:
        DoesNotFitError: if observations are not state numbers, or so many that a table would not fit.
    """
    if not isinstance(spec.obs_space, spaces.Discrete):
        raise DoesNotFitError(
            f"a table needs numbered states, and {spec.name} shows {spec.shown}: choose observations that are "
            "state numbers, if the environment has them, or an agent with a network (dqn, actor_critic)"
        )
    num_states = int(spec.obs_space.n)
    if num_states * spec.num_actions > _MOST_PAIRS:
        raise DoesNotFitError(
            f"a table of {num_states:,} states and {spec.num_actions} actions, which {spec.name} needs, would not fit "
            f"(at most {_MOST_PAIRS:,} entries): choose an agent with a network, or wrappers that show less"
        )
    return num_states
