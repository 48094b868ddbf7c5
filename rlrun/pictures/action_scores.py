"""What an agent thinks of its actions: their values or their probabilities, and the bars that show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rlrun.numerics.distributions import allowed
from rlrun.pictures.caption import cut
from rlrun.protocols import Agent, NamesActions, Stochastic, Tabular, ValuesActions, VecEnv
from rlrun.types import Carry, Float64Array, Obs, action_mask, seen

_SIZE, _ROW, _PAD, _HEAD = 13, 18, 8, 22  # pixels: of letters, of an action at least, of the margin, of the heading
_WIDTH, _NAME, _NUMBER = 250, 92, 56  # pixels: of all, of the names, of the numbers
_BAR, _CHOSEN, _INK = (166, 190, 216), (31, 90, 180), (0, 0, 0)
Q, PROBABILITY = "Q", "probability"


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """A number for every action in one situation."""

    kind: str  # Q or PROBABILITY
    values: Float64Array  # [A]; -inf where an action is not allowed


def names_of_actions(env: VecEnv) -> tuple[str, ...]:
    """What the actions of an environment are called; their numbers where it does not say."""
    if isinstance(env, NamesActions):
        return env.action_names
    names = env.spec.model.action_names if env.spec.model is not None else ()
    return names or tuple(map(str, range(env.spec.num_actions)))


def scores_of(agent: Agent, obs: Obs, carry: Carry, num_actions: int) -> Scores | None:
    """What `agent` thinks of its actions for one observation [1, ...]; None if it does not say."""
    with torch.no_grad():
        if isinstance(agent, ValuesActions):
            q = allowed(agent.q_values(obs), action_mask(obs))
            return Scores(Q, q[0].double().numpy().copy())
        if isinstance(agent, Stochastic):
            policy, _ = agent.policy(obs, carry)
            each = [policy.log_prob(torch.tensor([action])).exp() for action in range(num_actions)]
            return Scores(PROBABILITY, torch.cat(each).double().numpy())
    if isinstance(agent, Tabular) and seen(obs).ndim == 1:
        tables = agent.tables()
        state = int(seen(obs)[0])
        if np.isfinite(tables.q[state]).any():
            return Scores(Q, tables.q[state])
        return Scores(PROBABILITY, tables.policy[state])
    return None


def draw_scores(
    scores: Scores | None,
    chosen: int | None,
    names: Sequence[str],
    limits: tuple[float, float],
    kind: str,
    height: int,
) -> NDArray[np.uint8]:
    """A bar for every action, uint8 [h, 250, 3]: the chosen one dark, with a mark; h is `height` or what they need.

    Args:
        scores: None draws no bars: the episode is over.
        chosen: the action; None: none was chosen.
        names: of the actions.
        limits: the values at the left and the right end of the bars.
        kind: of the scores, as the heading.
        height: in pixels.
    """
    least = _HEAD + _ROW * len(names) + _PAD
    row = min(_ROW * 2, (max(height, least) - _HEAD - _PAD) // len(names))
    image = Image.new("RGB", (_WIDTH, max(height, least)), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(_SIZE)
    left, right = _PAD + _NAME, _WIDTH - _PAD - _NUMBER
    low, high = limits
    axis = f"{kind}, {low:.3g} to {high:.3g}"
    draw.text((_PAD, _PAD // 2), axis, fill=_INK, font=font)
    for action, name in enumerate(names):
        top, is_chosen = _HEAD + action * row, action == chosen
        middle = top + row / 2
        text = f"› {name}" if is_chosen else name
        draw.text((_PAD, middle), cut(text, _NAME - 4, font), fill=_INK, font=font, anchor="lm")
        draw.line((left, top + 2, left, top + row - 2), fill=_BAR)
        value = None if scores is None else float(scores.values[action])
        if value is None or not np.isfinite(value):
            continue
        share = min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 1.0
        box = (left, top + 2, left + max(1, round(share * (right - left))), top + row - 3)
        draw.rectangle(box, fill=_CHOSEN if is_chosen else _BAR)
        draw.text((_WIDTH - _PAD, middle), f"{value:.3g}", fill=_INK, font=font, anchor="rm")
    return np.asarray(image, np.uint8)


def limits_of(every: Sequence[Scores]) -> tuple[float, float]:
    """The least and greatest value of a video; 0 and 1 for probabilities."""
    values = np.concatenate([scores.values[np.isfinite(scores.values)] for scores in every])
    if every[0].kind == PROBABILITY or not values.size:
        return 0.0, 1.0
    return float(values.min()), float(values.max())
