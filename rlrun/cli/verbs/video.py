"""`rlrun video DIR`: a policy of a run plays; with `--episode N`, an episode of its training again, exactly."""

from __future__ import annotations

import math
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from rlrun.cli.arguments import Arguments, natural, positive, positive_number
from rlrun.errors import UserError
from rlrun.runs.manifest import manifest_of_run

if TYPE_CHECKING:
    from rlrun.config.config import Config
    from rlrun.protocols import Renderable

_DIFFERENT = 1  # exit status: the episode did not come out as it was
_MOST_SECONDS = 60.0  # of a policy's video


def declare(parser: Arguments) -> None:
    """Adds the arguments."""
    parser.add_argument("directories", nargs="+", metavar="DIR", help="of a run; several play side by side", kind="run")
    parser.add_argument(
        "--checkpoint",
        metavar="WHICH",
        help="whose policy: best, last, or the step of a checkpoint; several side by side: best,last (default: last)",
    )
    parser.add_argument("--episodes", metavar="K", type=positive, help="how many episodes it plays (default: 1)")
    parser.add_argument("--seed", metavar="N", type=natural, help="of the episodes (default: the run's seed)")
    parser.add_argument(
        "--episode",
        metavar="N",
        help="instead, an episode of a training with record_episodes=true: its number from 1, last or best",
    )
    parser.add_argument("--out", metavar="FILE", help="FILE.gif or FILE.mp4 (default: a GIF in DIR)", kind="file")
    parser.add_argument("--every", metavar="K", type=positive, default=1, help="show only every K-th step")
    parser.add_argument("--fps", metavar="F", type=positive_number, help="frames per second (default: real time)")
    parser.add_argument(
        "--max-seconds",
        metavar="S",
        type=positive_number,
        help=f"where the video is cut off (default: {_MOST_SECONDS:g}; for an episode of training its end)",
    )


def run(chosen: Namespace) -> int:
    """Makes the video; returns 0, or 1 if a recorded episode did not come out as it was logged.

    Raises:
        UserError: if there is no such run, policy or episode, or the video cannot be written.
    """
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # Gymnasium draws without a window, or a machine with a screen
    if chosen.episode is not None:
        for flag, value in (
            ("--checkpoint", chosen.checkpoint),
            ("--episodes", chosen.episodes),
            ("--seed", chosen.seed),
        ):
            if value is not None:
                raise UserError(f"{flag} has no effect with --episode, which plays an episode of training again")
        if len(chosen.directories) > 1:
            raise UserError("--episode shows one run: give one DIR")
        return _recorded(chosen, Path(chosen.directories[0]))
    return _played(chosen)


def _played(chosen: Namespace) -> int:
    """Policies play, side by side."""
    which: Sequence[str | None] = chosen.checkpoint.split(",") if chosen.checkpoint is not None else [None]
    wanted = [(Path(directory), each) for directory in chosen.directories for each in which]
    manifests = [manifest_of_run(directory) for directory, _ in wanted]
    if chosen.out is not None:
        _require_writable(Path(chosen.out))

    import torch

    from rlrun.cli.actors import actor_of
    from rlrun.pictures.policy_video import policy_video
    from rlrun.pictures.video_file import most_pixels, write_video

    torch.set_num_threads(1)  # batches of one; and equal bits whatever the number of cores
    with ExitStack() as stack:
        made = [actor_of(directory, each, stack) for directory, each in wanted]
        actors = [actor for actor, _ in made]
        name = f"video-step-{made[0][1].step}.gif" if len(actors) == 1 else "video-side-by-side.gif"
        out = Path(chosen.out) if chosen.out is not None else wanted[0][0] / name
        rate = chosen.fps or max(actor.env.steps_per_second for actor in actors) / chosen.every
        seconds = chosen.max_seconds or _MOST_SECONDS
        seed = manifests[0]["seed"] if chosen.seed is None else chosen.seed
        video = policy_video(actors, seed, chosen.episodes or 1, chosen.every, seconds * rate, most_pixels(out))
        write_video(out, video.frames, rate)
    for actor, ends in zip(actors, video.ends, strict=True):
        episodes = ", ".join(
            f"{end.episode_return:g} in {end.step:,} steps{'' if end.last else ' so far'}" for end in ends
        )
        print(f"{actor.title}: return {episodes}")
    cut_off = "" if video.is_whole else "; cut off: there is more with --max-seconds or --every"
    print(f"{out} ({len(video.frames):,} pictures{cut_off})")
    return 0


def _recorded(chosen: Namespace, directory: Path) -> int:
    """An episode of training, played again exactly."""
    manifest = manifest_of_run(directory)

    from rlrun.config.saved import config_of_run
    from rlrun.runs.episode_log import read_episode_log  # here and below, what takes seconds to import comes late

    config = config_of_run(directory, manifest)
    log = read_episode_log(_log_path(directory, config.record_episodes))
    number = _number_of(chosen.episode, len(log), log.best if len(log) else 0, directory)
    out = Path(chosen.out) if chosen.out is not None else directory / f"episode-{number}.gif"
    _require_writable(out)

    from rlrun.pictures.episode_video import DifferentReplayError, record_video

    episode = log.episode(number)
    with closing(_environment(config)) as env:
        try:
            most_seconds = chosen.max_seconds or math.inf
            count = record_video(env, log, episode, out, chosen.every, chosen.fps, most_seconds)
        except DifferentReplayError as error:
            print(f"rlrun: {error}; no video was made", file=sys.stderr)
            return _DIFFERENT
    steps = f"{episode.length:,} step{'s' if episode.length > 1 else ''}"
    print(
        f"episode {number:,} of {len(log):,} (slot {episode.slot}, ended at step {episode.step:,}): return "
        f"{episode.episode_return:g} in {steps}, the same as in training\n{out} ({count:,} pictures)"
    )
    return 0


def _require_writable(out: Path) -> None:
    from rlrun.pictures.video_file import require_writable

    require_writable(out)


def _log_path(directory: Path, recorded: bool) -> Path:
    from rlrun.runs.episode_log import FILE

    path = directory / FILE
    if not path.is_file() and recorded:
        raise UserError(f"no episode of {directory} has begun: it has not trained yet, or its algorithm plays none")
    if not path.is_file():
        raise UserError(f"the episodes of {directory} were not recorded: train with record_episodes=true")
    return path


def _number_of(asked: str, count: int, best: int, directory: Path) -> int:
    """The episode's number, from 1."""
    if count == 0:
        raise UserError(f"no episode of {directory} is in its log yet: it is written when the run saves or ends")
    if asked in ("last", "best"):
        return count if asked == "last" else best
    if not asked.isdecimal() or not 1 <= int(asked) <= count:
        raise UserError(f"there is no episode {asked}: there are episodes 1 to {count}, and the best is {best}")
    return int(asked)


def _environment(config: Config) -> Renderable:
    """The run's training environment, with one slot: what a slot shows does not depend on the others."""
    from rlrun.build import instantiate

    env: Renderable = instantiate(config.env, {}, num_envs=1)  # it could be recorded, so it can be drawn
    if not env.spec.resumable:
        env.close()
        raise UserError(f"episodes of {env.spec.name} do not replay, so a video would show another episode")
    return env
