"""Legal actions: observations say which (`action_mask`), or all are."""

from __future__ import annotations

from rlrun.errors import UserError
from rlrun.types import EnvSpec


def require_mask(spec: EnvSpec) -> None:
    """Refuses illegal actions without a mask, for agents that learn from experience.

    Raises:
        UserError: if some actions are illegal, and observations do not say which.
    """
    if spec.model is not None and spec.model.forbids_actions and not spec.shows_mask:
        raise UserError(
            f"not every action is legal in every state of {spec.name}, and its observations have no action_mask"
        )
