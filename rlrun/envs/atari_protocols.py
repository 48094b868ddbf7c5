"""Named evaluation protocols: every option of the emulator that changes what an agent sees, written out.

The defaults of `gymnasium.make`, `make_vec` and `AtariVectorEnv` differ from one another, so none is relied on.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AtariProtocol:
    """How a game is played."""

    repeat_action_probability: float  # sticky actions: the chance that an action is ignored for the previous one
    full_action_space: bool  # all 18 actions, or only those with an effect in this game
    noop_max: int  # no-ops at the start of an episode, drawn from 0 to noop_max - 1
    life_loss_ends_value: bool  # a lost life has discount 0; the game continues
    use_fire_reset: bool  # FIRE is pressed once after a reset

    @property
    def rules(self) -> dict[str, float | None]:
        """What scores depend on."""
        return {
            "repeat_action_probability": self.repeat_action_probability,
            "full_action_space": self.full_action_space,
            "noop_max": self.noop_max,
        }


# Mnih et al. 2015, Methods: up to 30 no-ops, the end of a life as the end of an episode for learning. The paper does
# not press FIRE for the agent; it has to learn to.
NATURE2015 = AtariProtocol(
    repeat_action_probability=0.0,
    full_action_space=False,
    noop_max=30,
    life_loss_ends_value=True,
    use_fire_reset=False,
)

# Machado et al. 2018, table 5: sticky actions instead of random starts, all 18 actions, no life-loss signal.
MACHADO2018 = AtariProtocol(
    repeat_action_probability=0.25,
    full_action_space=True,
    noop_max=0,
    life_loss_ends_value=False,
    use_fire_reset=False,
)

PROTOCOLS = {"nature2015": NATURE2015, "machado2018": MACHADO2018}
