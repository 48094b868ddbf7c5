"""Which actions are legal where. An agent that may choose any action does not fit an environment that forbids some."""

from __future__ import annotations

from rlrun.errors import UserError
from rlrun.types import BoolArray, EnvSpec


def forbids_actions(spec: EnvSpec) -> bool:
    """Whether some action is illegal in some state that goes on; False where no model says so."""
    if spec.model is None:
        return False
    legal = spec.model.legal
    return not bool((legal | ~legal.any(axis=1, keepdims=True)).all())


def legal_actions(spec: EnvSpec) -> BoolArray | None:
    """[observations, A] what may be done, by the number that is observed; none where the episode is over.

    None: nothing is known of what is seen, and every action is legal.

    Raises:
        UserError: if some actions are illegal and observations do not say where.
    """
    if spec.legal_where_seen is not None:
        return spec.legal_where_seen
    if spec.seen_model is not None:
        return spec.seen_model.legal
    if forbids_actions(spec):
        raise UserError(
            f"not every action is legal in every state of {spec.name}, and {spec.shown} does not say which are: "
            "choose observation=index where the environment has it"
        )
    return None


def require_every_action(spec: EnvSpec, algorithm: str) -> None:
    """For agents that may choose any action anywhere.

    Raises:
        UserError: if some actions are illegal.
    """
    if forbids_actions(spec):
        raise UserError(
            f"not every action is legal in every state of {spec.name}, and {algorithm} does not know which are: choose "
            "an agent with a table (q_learning, sarsa or linear_q), or make every action legal"
        )
