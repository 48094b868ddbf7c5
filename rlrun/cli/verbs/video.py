"""`rlrun video DIR --episode N`: any episode of a run's training as a video, played again exactly."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from rlrun.cli.arguments import Arguments, positive
from rlrun.errors import UserError
from rlrun.runs.manifest import manifest_of_run

if TYPE_CHECKING:
    from rlrun.config.config import Config
    from rlrun.protocols import Renderable

_DIFFERENT = 1  # exit status: the episode did not come out as it was


def declare(parser: Arguments) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "directory", metavar="DIR", help="of a run that was trained with record_episodes=true", kind="run"
    )
    parser.add_argument(
        "--episode", metavar="N", help="its number, from 1, in the order in which they ended; or last, best"
    )
    parser.add_argument(
        "--out", metavar="FILE.gif", help="where the video goes (default: DIR/episode-N.gif)", kind="file"
    )
    parser.add_argument("--every", metavar="K", type=positive, default=1, help="show only every K-th step")


def run(chosen: Namespace) -> int:
    """Makes the video; returns 0, or 1 if the episode did not come out as it was logged.

    Raises:
        UserError: if there is no such run or episode, or the video cannot be written.
    """
    directory = Path(chosen.directory)
    manifest = manifest_of_run(directory)

    from rlrun.config.saved import config_of_run
    from rlrun.runs.episode_log import read_episode_log  # here and below, what takes seconds to import comes late

    config = config_of_run(directory, manifest)
    log = read_episode_log(_log_path(directory, config.record_episodes))
    number = _number(chosen.episode, len(log), log.best if len(log) else 0, directory)
    out = Path(chosen.out) if chosen.out is not None else directory / f"episode-{number}.gif"
    if out.suffix.lower() != ".gif":
        raise UserError(f"--out {out}: videos are GIFs: give a name that ends in .gif")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: {out.parent} is not a directory")

    os.environ.setdefault(
        "SDL_VIDEODRIVER", "dummy"
    )  # Gymnasium's pictures need no window, nor a machine with a screen
    from rlrun.pictures.episode_video import DifferentReplayError, record_video

    episode = log.episode(number)
    with closing(_environment(config)) as env:
        try:
            count = record_video(env, log, episode, out, chosen.every)
        except DifferentReplayError as error:
            print(f"rlrun: {error}; no video was made", file=sys.stderr)
            return _DIFFERENT
        except OSError as error:
            raise UserError(f"{out} cannot be written: {error.strerror}") from error
    steps = f"{episode.length:,} step{'s' if episode.length > 1 else ''}"
    print(
        f"episode {number:,} of {len(log):,} (slot {episode.slot}, ended at step {episode.step:,}): return "
        f"{episode.episode_return:g} in {steps}, the same as in training\n{out} ({count:,} pictures)"
    )
    return 0


def _log_path(directory: Path, recorded: bool) -> Path:
    from rlrun.runs.episode_log import FILE

    path = directory / FILE
    if not path.is_file() and recorded:
        raise UserError(f"no episode of {directory} has begun: it has not trained yet, or its algorithm plays none")
    if not path.is_file():
        raise UserError(f"the episodes of {directory} were not recorded: train with record_episodes=true")
    return path


def _number(asked: str | None, count: int, best: int, directory: Path) -> int:
    """The episode's number, from 1."""
    if count == 0:
        raise UserError(f"no episode of {directory} is in its log yet: it is written when the run saves or ends")
    there = f"there are episodes 1 to {count}, and the best is {best}"
    if asked is None:
        raise UserError(f"choose one: --episode N, last or best; {there}")
    if asked in ("last", "best"):
        return count if asked == "last" else best
    if not asked.isdecimal() or not 1 <= int(asked) <= count:
        raise UserError(f"there is no episode {asked}: {there}")
    return int(asked)


def _environment(config: Config) -> Renderable:
    """The run's training environment, with one slot: what a slot shows does not depend on the others."""
    from rlrun.build import instantiate

    env: Renderable = instantiate(config.env, {}, num_envs=1)  # it could be recorded, so it can be drawn
    if not env.spec.resumable:
        env.close()
        raise UserError(f"episodes of {env.spec.name} do not replay, so a video would show another episode")
    return env
