"""What every planner needs: a model, and observations that are its states."""

from __future__ import annotations

from gymnasium import spaces

from rlrun.agents.tables.numbered_states import count_states
from rlrun.errors import DoesNotFitError
from rlrun.types import EnvSpec, TabularModel


def require_model(spec: EnvSpec) -> TabularModel:
    """The model of an environment whose observations are its states.

    Raises:
        DoesNotFitError: if it has none, or shows something else.
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
            f"a plan needs to know the state, and the {model.num_states} states of {spec.name} look like {num_seen}: "
            "choose an agent that learns"
        )
    return model
