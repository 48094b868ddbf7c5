"""`rlrun watch DIR`: the policy of a run plays in the terminal, live; a run in training is followed."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from rlrun.cli.arguments import Arguments, positive_number
from rlrun.errors import UserError
from rlrun.runs.manifest import manifest_of_run

if TYPE_CHECKING:
    from rlrun.pictures.action_scores import Scores
    from rlrun.pictures.playing import Shot
    from rlrun.pictures.policy_video import Actor
    from rlrun.runs.policies import SavedPolicy

_LOOK_SECONDS = 2.0  # between looks at the run's files
_END_SECONDS = 1.0  # an episode's end stays on the screen


def declare(parser: Arguments) -> None:
    """Adds the arguments."""
    parser.add_argument("directory", metavar="DIR", help="of a run, which may be in training", kind="run")
    parser.add_argument(
        "--checkpoint", metavar="WHICH", help="whose policy: best, last, or the step of a checkpoint (default: last)"
    )
    parser.add_argument("--fps", metavar="F", type=positive_number, help="steps per second (default: real time)")


def run(chosen: Namespace) -> int:
    """Plays until q or Ctrl-C.

    Raises:
        UserError: if there is no terminal, or no such run or policy.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError("rlrun watch needs a terminal; `rlrun video DIR` makes a file")
    directory = Path(chosen.directory)
    manifest_of_run(directory)
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # Gymnasium draws without a window

    import torch
    from rich.console import Console
    from rich.live import Live

    from rlrun.cli.actors import actor_of
    from rlrun.cli.keys import keys
    from rlrun.cli.live_view import LiveView

    torch.set_num_threads(1)  # a training may be running beside it
    with ExitStack() as stack:
        actor, policy = actor_of(directory, chosen.checkpoint, stack)
        watched = _Watched(directory, chosen.checkpoint, actor, policy)
        seconds = 1 / (chosen.fps or actor.env.steps_per_second)
        try:
            live = stack.enter_context(Live(console=Console(), screen=True, auto_refresh=False))
            pressed = stack.enter_context(keys())
            for shot, facts in watched.shots():
                started = monotonic()
                live.update(LiveView(facts, shot, watched.names, watched.limits(shot.scores)), refresh=True)
                if _asked_to_end(pressed, started + (max(seconds, _END_SECONDS) if shot.last else seconds)):
                    return 0
        except KeyboardInterrupt:
            return 0
    return 0


def _asked_to_end(pressed: Callable[[float], str], until: float) -> bool:
    """Waits until then; True as soon as q is pressed."""
    while True:
        if "q" in pressed(until - monotonic()).lower():
            return True
        if monotonic() >= until:
            return False


class _Watched:
    """A run that is watched: its newest policy plays, episode after episode.

    Args:
        directory: of the run.
        which: policy is asked for.
        actor: into whose agent `policy` was loaded.
        policy: the first one.
    """

    def __init__(self, directory: Path, which: str | None, actor: Actor, policy: SavedPolicy) -> None:
        from rlrun.pictures.action_scores import names_of_actions

        self._directory, self._which, self._actor, self._policy = directory, which, actor, policy
        self._seed = manifest_of_run(directory)["seed"]
        self._limits: tuple[float, float] | None = None  # of what was seen so far
        self._looked = -_LOOK_SECONDS
        self._facts: list[str] = []
        self.names = names_of_actions(actor.env)

    def shots(self) -> Iterator[tuple[Shot, list[str]]]:
        """Moments of one episode after the other, and what the run is just now."""
        from rlrun.pictures.playing import play

        for episode in count(1):
            for shot in play(self._actor.agent, self._actor.act, self._actor.env, self._seed, episode):
                if monotonic() - self._looked >= _LOOK_SECONDS:
                    self._look()
                yield shot, self._facts

    def limits(self, scores: Scores | None) -> tuple[float, float]:
        """The least and greatest value of an action so far."""
        from rlrun.pictures.action_scores import limits_of

        if scores is not None:
            low, high = limits_of([scores])
            before = self._limits or (low, high)
            self._limits = min(before[0], low), max(before[1], high)
        return self._limits or (0.0, 1.0)

    def _look(self) -> None:
        """Reads how far the run is, and its newest policy; one that is just being replaced is read the next time."""
        from rlrun.runs.policies import newest_of, policy_of
        from rlrun.runs.summary import summarise

        try:
            if newest_of(self._directory, self._which) != (self._policy.path, self._policy.step):
                policy = policy_of(self._directory, self._which)
                policy.load_into(self._actor.agent)
                self._policy, self._limits = policy, None
            summary = summarise(self._directory)
        except UserError:
            return
        finally:
            self._looked = monotonic()
        mean = self._policy.evaluation_mean
        self._facts = [
            f"{summary.labels['algo']} on {summary.labels['env']}",
            f"{summary.state}, step {summary.step:,} of {summary.manifest['total_steps']:,}",
            "evaluation " + ("none yet" if summary.score is None else f"{summary.score:.2f}, the newest"),
            f"plays: step {self._policy.step:,}" + ("" if mean is None else f" ({mean:.2f})"),
        ]
