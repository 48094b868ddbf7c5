"""A video of policies that play, side by side, with the values or probabilities of their actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rlrun.loop.slots import Act
from rlrun.pictures.action_scores import draw_scores, limits_of, names_of_actions
from rlrun.pictures.caption import captioned
from rlrun.pictures.frames import Frames
from rlrun.pictures.playing import Shot, play
from rlrun.protocols import Agent, Renderable

_GAP = 12  # pixels between videos side by side
_NOTHING = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Actor:
    """A policy, and the environment in which it plays."""

    agent: Agent
    act: Act  # how it acts in evaluation
    env: Renderable  # one slot
    title: str


@dataclass(frozen=True, slots=True, eq=False)
class PolicyVideo:
    """The frames of a video, and how far each episode of each actor came in it."""

    frames: Frames
    ends: Sequence[Sequence[Shot]]  # by actor and episode, without pictures
    is_whole: bool  # False: there was more to play


def policy_video(
    actors: Sequence[Actor], seed: int, num_episodes: int, every: int, most_frames: float, most_pixels: int
) -> PolicyVideo:
    """Plays the same episodes with every actor and draws them side by side; the shorter ones wait at their end.

    Args:
        actors: at least one.
        seed: of the episodes.
        num_episodes: how many, one after the other.
        every: 1 shows all steps, K every K-th and the last.
        most_frames: where the video is cut off.
        most_pixels: of all frames together; the same.

    Raises:
        UserError: if an environment cannot draw pictures.
    """
    columns = [_Column(actor) for actor in actors]
    is_whole = True
    for shots in _together(actors, seed, num_episodes, every):
        if len(columns[0].shots) >= most_frames:
            is_whole = False
            break
        for column, shot in zip(columns, shots, strict=True):
            column.append(shot)
        if len(columns[0].shots) == 1:
            first = _beside([next(column.drawn()) for column in columns])
            most_frames = max(1, min(most_frames, most_pixels // (first.shape[0] * first.shape[1])))
    frames = Frames()
    for pictures in zip(*(column.drawn() for column in columns), strict=True):
        frames.append(_beside(pictures))
    ends = [list({shot.episode: shot for shot in column.shots}.values()) for column in columns]
    return PolicyVideo(frames, ends, is_whole)


def _together(actors: Sequence[Actor], seed: int, num_episodes: int, every: int) -> Iterator[Sequence[Shot]]:
    for episode in range(1, num_episodes + 1):
        playing = [_thinned(play(actor.agent, actor.act, actor.env, seed, episode), every) for actor in actors]
        shots = [next(each) for each in playing]
        yield shots
        while not all(shot.last for shot in shots):
            shots = [next(each, shot) for each, shot in zip(playing, shots, strict=True)]
            yield shots


def _thinned(shots: Iterator[Shot], every: int) -> Iterator[Shot]:
    return (shot for shot in shots if shot.step % every == 0 or shot.last)


class _Column:
    """What one actor showed; its pictures are compressed until the limits of its bars are known.

    Args:
        actor: of the column.
    """

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._pictures = Frames()
        self.shots: list[Shot] = []  # without pictures

    def append(self, shot: Shot) -> None:
        """Adds a frame."""
        self._pictures.append(shot.picture)
        self.shots.append(replace(shot, picture=_NOTHING))

    def drawn(self) -> Iterator[NDArray[np.uint8]]:
        """Every frame with its bars and its caption."""
        scores = [shot.scores for shot in self.shots if shot.scores is not None]
        limits = limits_of(scores) if scores else (0.0, 1.0)
        names = names_of_actions(self._actor.env)
        for number, shot in enumerate(self.shots):
            picture = self._pictures[number]
            if scores:
                bars = draw_scores(shot.scores, shot.action, names, limits, scores[0].kind, picture.shape[0])
                picture = _beside([picture, bars])
            yield captioned(picture, _caption(self._actor.title, shot, names))


def _caption(title: str, shot: Shot, names: Sequence[str]) -> list[list[str]]:
    doing = "end" if shot.action is None else f"action {names[shot.action]}"
    return [
        [title],
        [f"episode {shot.episode:,}", f"step {shot.step:,}"],
        [f"return {shot.episode_return:,.6g}", doing],
    ]


def _beside(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Side by side on white, aligned at the top: [h, w, 3] each."""
    height = max(picture.shape[0] for picture in pictures)
    width = sum(picture.shape[1] for picture in pictures) + _GAP * (len(pictures) - 1)
    sheet = np.full((height, width, 3), 255, np.uint8)
    left = 0
    for picture in pictures:
        sheet[: picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1] + _GAP
    return sheet
