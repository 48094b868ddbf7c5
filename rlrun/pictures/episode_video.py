"""Replays an episode of training exactly, and records a video of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np

from rlrun.errors import UserError
from rlrun.pictures.caption import captioned
from rlrun.pictures.frames import Frames
from rlrun.pictures.video_file import most_pixels, write_video
from rlrun.protocols import Renderable
from rlrun.rng import stream_seeds
from rlrun.runs.episode_log import RESTARTED, Episode, EpisodeLog
from rlrun.types import EnvSpec, Float32Array, ObsArray, map_obs


class DifferentReplayError(Exception):
    """A replayed episode differs from the log."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """An episode after `step` of its steps; at step 0, its beginning."""

    step: int
    obs: ObsArray  # [...] the observation; at the end of the episode, its true last one
    action: int | None  # the action that led here; None at the beginning
    reward: float  # for that action, raw
    episode_return: float  # so far
    last: bool


def replay(env: Renderable, log: EpisodeLog, episode: Episode) -> Iterator[Moment]:
    """Replays `episode` of `log` in slot 0 of `env`, an environment like that of the log but with one slot.

    While a moment is yielded, the environment is in its state: `env.render_rgb(ended=moment.last)` renders it.

    Raises:
        DifferentReplayError: after the last moment, if length or return differ from the log.
    """
    here, everywhere = np.array([episode.stream]), np.ones(1, bool)
    obs = env.begin_streams(stream_seeds(log.header.seed, np.array([episode.slot]), here))
    for action in episode.history[: episode.start]:
        obs = env.restart(everywhere) if action == RESTARTED else env.step(np.array([action])).obs
    total, last = 0.0, False
    yield Moment(0, map_obs(itemgetter(0), obs), None, 0.0, total, last=False)
    for step, action in enumerate(episode.history[episode.start :], 1):
        time_step = env.step(np.array([action]))
        reward, last = time_step.reward[0], bool(time_step.last[0])
        total = _added(total, time_step.reward)
        yield Moment(step, map_obs(itemgetter(0), time_step.next_obs), int(action), float(reward), total, last)
        if last:
            break
    if (step, total, last) != (episode.length, episode.episode_return, True):
        raise DifferentReplayError(
            f"episode {episode.number} replayed differently: its return is {total:g} after {step:,} steps"
            f"{'' if last else ' without an end'}, and the log has {episode.episode_return:g} after "
            f"{episode.length:,}; the environment has another version (manifest.json lists versions) or a file has "
            "changed"
        )


def _added(total: float, reward: Float32Array) -> float:
    """In the same order and precision as the returns of the log."""
    return float(np.float64(total) + reward[0])


def record_video(
    env: Renderable,
    log: EpisodeLog,
    episode: Episode,
    path: Path,
    every: int,
    frames_per_second: float | None = None,
    most_seconds: float = math.inf,
) -> int:
    """Writes the video of an episode, and returns its number of frames.

    Args:
        env: as for `replay`.
        log: of the run.
        episode: one of the log.
        path: of the GIF or MP4; written whole or not at all.
        every: 1 shows all moments, K every K-th and the last; the video lasts as long.
        frames_per_second: None: real time.
        most_seconds: where the video is cut off.

    Raises:
        DifferentReplayError: if the episode differs from the log.
        UserError: if the video would be too large, or the environment cannot be rendered.
    """
    frames = Frames()
    frames_per_second = frames_per_second or env.steps_per_second / every
    most_frames = most_seconds * frames_per_second
    for moment in replay(env, log, episode):
        if (moment.step % every == 0 or moment.last) and len(frames) < most_frames:
            frames.append(captioned(env.render_rgb(ended=moment.last), _caption(moment, episode, env.spec)))
        if moment.step == 0:
            most = most_pixels(path) // (frames[0].shape[0] * frames[0].shape[1])
            _check_size(min(episode.length, int(min(most_frames, episode.length)) * every), every, most)
    write_video(path, frames, frames_per_second)
    return len(frames)


def _check_size(length: int, every: int, most: int) -> None:
    if length / every + 1 > most:
        enough = -(-length // max(most - 1, 1))
        raise UserError(
            f"a video of {length:,} steps would have more than the {most:,} frames that are allowed in memory; "
            f"use --every {enough} (or more) to show fewer"
        )


def _caption(moment: Moment, episode: Episode, spec: EnvSpec) -> list[list[str]]:
    names = spec.model.action_names if spec.model is not None else ()
    led_here = ["start", ""]
    if moment.action is not None:
        action = names[moment.action] if names else str(moment.action)
        led_here = [f"action {action}", f"reward {moment.reward:,.6g}"]
    return [
        [f"episode {episode.number:,}", f"step {moment.step:,} of {episode.length:,}"],
        led_here,
        [f"return {moment.episode_return:,.6g}", "end" if moment.last else ""],
    ]
