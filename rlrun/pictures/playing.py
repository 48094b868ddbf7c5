"""Plays episodes with a policy, a picture and what it thinks of its actions at every step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from rlrun.compute.transfer import as_tensor
from rlrun.loop.slots import Act
from rlrun.pictures.action_scores import Scores, scores_of
from rlrun.protocols import Agent, Renderable
from rlrun.rng import named_seed, stream_seeds, torch_generator
from rlrun.types import map_obs

_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A moment of an episode: what is seen, and what the policy is about to do."""

    picture: NDArray[np.uint8]  # [h, w, 3]
    episode: int  # from 1
    step: int  # agent steps since it began
    episode_return: float  # so far, raw
    last: bool  # the episode is over: nothing more is done
    action: int | None  # the next one; None at the end
    scores: Scores | None  # of all actions; None at the end, or if the agent does not say


def play(agent: Agent, act: Act, env: Renderable, seed: int, episode: int) -> Iterator[Shot]:
    """Plays one episode in an environment of one slot, as in evaluation; equal arguments, equal episodes.

    Args:
        agent: whose policy it is.
        act: how it acts in evaluation.
        env: of one slot.
        seed: of all episodes together.
        episode: its number, from 1.

    Raises:
        UserError: if the environment cannot draw pictures.
    """
    rng = torch_generator(seed, f"video/{episode}/act")
    obs = env.begin_streams(stream_seeds(named_seed(seed, "video/env"), np.zeros(1, np.int64), np.array([episode])))
    carry, step, total = agent.initial_carry(1), 0, 0.0
    while True:
        shown = map_obs(partial(as_tensor, device=_CPU), obs)
        scores = scores_of(agent, shown, carry, env.spec.num_actions)
        with torch.no_grad():
            output = act(shown, carry, rng)
        action = output.action.numpy()
        yield Shot(env.render_rgb(ended=False), episode, step, total, last=False, action=int(action[0]), scores=scores)
        time_step = env.step(action)
        obs, carry, step, total = time_step.obs, output.carry, step + 1, total + float(time_step.reward[0])
        if time_step.last[0]:
            yield Shot(env.render_rgb(ended=True), episode, step, total, last=True, action=None, scores=None)
            return
