"""Policies of runs, ready to be seen playing."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from rlrun.build import build_player
from rlrun.config.saved import config_of_run
from rlrun.errors import UserError
from rlrun.pictures.policy_video import Actor
from rlrun.protocols import Renderable
from rlrun.runs.manifest import manifest_of_run
from rlrun.runs.policies import SavedPolicy, policy_of


def actor_of(directory: Path, which: str | None, stack: ExitStack) -> tuple[Actor, SavedPolicy]:
    """A policy of a run, in its evaluation environment of one slot.

    Args:
        directory: of the run.
        which: as for `policy_of`.
        stack: closes the environment.

    Raises:
        UserError: if there is no such run or policy, or the environment cannot be drawn.
    """
    manifest, policy = manifest_of_run(directory), policy_of(directory, which)
    player = build_player(config_of_run(directory, manifest), num_envs=1)
    stack.callback(player.close)
    if not isinstance(player.env, Renderable):
        raise UserError(f"{player.env.spec.name} draws no pictures (see rlrun.protocols.Renderable)")
    policy.load_into(player.agent)
    scored = "" if policy.evaluation_mean is None else f", evaluation {policy.evaluation_mean:.2f}"
    labels = manifest["labels"]
    title = f"{labels['algo']} on {labels['env']}, step {policy.step:,}{scored}"
    return Actor(agent=player.agent, act=player.actions.act, env=player.env, title=title), policy
