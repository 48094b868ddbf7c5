"""What every planner needs: a model whose states are the observations."""

from __future__ import annotations

from gymnasium import spaces

from rlrun.agents.tables.numbered_states import count_states
from rlrun.errors import DoesNotFitError
from rlrun.types import EnvSpec, TabularModel


def require_model(spec: EnvSpec) -> TabularModel:
    """The model of an environment whose observations are its states.

    Raises:
        DoesNotFitError: if it has no model, or other observations.
    """
    model = spec.model
    if model is None:
        learners = "q_learning" if isinstance(spec.obs_space, spaces.Discrete) else "dqn, actor_critic"
        raise DoesNotFitError(
            f"planning needs a model of every state and outcome, which {spec.name} does not have: choose an "
            "environment with a finite model (gridworld, racing_car, mdp, or a toy-text id), or an agent that learns "
            f"({learners})"
        )
    num_seen = count_states(spec)
    if num_seen != model.num_states:
        raise DoesNotFitError(
            f"planning needs to observe the state, but the {model.num_states} states of {spec.name} look like "
            f"{num_seen}: choose an agent that learns"
        )
    return model
